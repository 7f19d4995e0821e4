"""Time the two ways to compute the piecewise-linear embedding, forward and backward.

    python bench/piecewise.py

On one thread. Each figure is the median over rounds of the lookup's time divided by the product's
time.
"""

import statistics
import time

import torch

from afina.nn import PiecewiseLinear, piecewise

ROUNDS, REPEATS = 15, 20
SHAPES = [(64, 10, 8), (256, 10, 8), (1024, 10, 8), (256, 50, 4)]
N_BINS = [8, 24, 32, 64, 128, 256]


def seconds(layer: PiecewiseLinear, x: torch.Tensor, most_multiplied: int) -> float:
    """Return the seconds of one pass through a layer that multiplies up to `most_multiplied` bins."""
    piecewise._MOST_MULTIPLIED = most_multiplied  # noqa: SLF001 - times both ways for any number of bins
    start = time.perf_counter()
    for _ in range(REPEATS):
        layer.zero_grad(set_to_none=True)
        layer(x).square().sum().backward()
    return (time.perf_counter() - start) / REPEATS


def main() -> None:
    torch.set_num_threads(1)
    print("| rows, columns, outputs | " + " | ".join(f"{n} bins" for n in N_BINS) + " |")
    print("| --- |" + " --- |" * len(N_BINS))
    for n, n_columns, d in SHAPES:
        cells = []
        for n_bins in N_BINS:
            layer = PiecewiseLinear([n_bins] * n_columns, d)
            layer.set_edges_([torch.linspace(-2, 2, n_bins + 1)] * n_columns)
            x = torch.randn(n, n_columns)
            seconds(layer, x, 0)
            rounds = [(seconds(layer, x, 10**6), seconds(layer, x, 0)) for _ in range(ROUNDS)]
            cells.append(f"{statistics.median(b / a for a, b in rounds):.2f}")
        print(f"| {n}, {n_columns}, {d} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
