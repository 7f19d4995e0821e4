"""Print the standard deviation of activations by depth, in 30-layer networks by scheme.

python bench/init_depth.py
"""

from itertools import pairwise

import torch
from torch import nn

from afina.nn import Block, initialize_

DEPTH, D_BLOCK, N_SEEDS = 30, 128, 10
SHOWN = (1, 2, 5, 10, 20, 30)


@torch.no_grad()
def stds(activation: str, scheme: str, seed: int, *, residual: bool) -> list[float]:
    """Return the standard deviation after each block, on unit-normal rows."""
    generator = torch.Generator().manual_seed(seed)
    widths = [D_BLOCK] * (DEPTH + 1)
    blocks = [Block(a, b, activation=activation, residual=residual) for a, b in pairwise(widths)]
    net = nn.Sequential(*blocks, nn.Linear(D_BLOCK, 1))
    initialize_(net, scheme, generator=generator)
    x = torch.randn(512, D_BLOCK, generator=generator)
    deviations = []
    for block in blocks:
        x = block(x)
        deviations.append(x.std().item())
    return deviations


def main() -> None:
    """Print one line per network: the median over seeds at some depths, and the whole range."""
    depths = "".join(f"{depth:>9}" for depth in SHOWN)
    print(f"{'activation':12}{'scheme':16}{'form':10}{depths}   smallest to largest")
    forms = [(False, ("auto", "kaiming_normal", "torch")), (True, ("auto", "kaiming_normal"))]
    for residual, schemes in forms:
        for activation in ("relu", "gelu", "silu", "mish", "selu", "tanh"):
            for scheme in schemes:
                runs = [stds(activation, scheme, s, residual=residual) for s in range(N_SEEDS)]
                middle = torch.tensor(runs).median(0).values.tolist()
                cells = "".join(f"{middle[depth - 1]:9.2g}" for depth in SHOWN)
                low, high = min(map(min, runs)), max(map(max, runs))
                form = "residual" if residual else "plain"
                print(f"{activation:12}{scheme:16}{form:10}{cells}   {low:.2g} to {high:.2g}")


if __name__ == "__main__":
    main()
