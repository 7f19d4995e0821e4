"""Linear layers side by side, one for each of several networks that share no weights."""

import torch
from torch import Tensor, nn

from afina.nn.arguments import check_sizes
from afina.process_state import Drawing

ALL = slice(None)
"""Every network of a stack."""


class StackedLinear(nn.Module):
    """Apply k linear layers at once, one for each network.

    Shape:
        (n, d_in), the same rows for every network; or (k, n, d_in), different rows for each; or (n,
        d_in - d_own), shared inputs, with `own` (k, n, d_own) as the last inputs -> (k, n, d_out)

    Args:
        k: networks, at least 1.
        follows: what comes after the layer, for `initialize_`: an activation's name, `output`, or
            `zero` to start at 0 regardless of the scheme.

    Raises:
        ValueError: a size is below 1.

    Example:
        >>> layer = StackedLinear(3, 2, 4)
        >>> layer(torch.ones(5, 2)).shape, layer(torch.ones(3, 5, 2)).shape
        (torch.Size([3, 5, 4]), torch.Size([3, 5, 4]))
    """

    def __init__(self, k: int, d_in: int, d_out: int, *, follows: str = "none") -> None:
        check_sizes(k=k, d_in=d_in, d_out=d_out)
        super().__init__()
        self.follows = follows
        self.weight = nn.Parameter(torch.empty(k, d_in, d_out))
        self.bias = nn.Parameter(torch.empty(k, d_out))
        self.reset_parameters()

    @Drawing()
    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw weights and biases like torch's linear layer, or set them to 0."""
        if self.follows == "zero":
            self.weight.zero_()
            self.bias.zero_()
            return
        bound = self.weight.shape[1] ** -0.5
        self.weight.uniform_(-bound, bound, generator=generator)
        self.bias.uniform_(-bound, bound, generator=generator)

    def forward(self, x: Tensor, some: slice = ALL, own: Tensor | None = None) -> Tensor:
        """Apply the layers of some networks; `own` holds the inputs that differ between them."""
        weight, bias = self.weight[some], self.bias[some]
        if own is not None:
            n_same = x.shape[1]
            return torch.baddbmm(_apply(x, weight[:, :n_same], bias), own, weight[:, n_same:])
        return _apply(x, weight, bias)

    def extra_repr(self) -> str:
        k, d_in, d_out = self.weight.shape
        return f"{k=}, {d_in=}, {d_out=}, follows={self.follows!r}"


def _apply(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    if x.ndim == 2:  # one large product is faster than k small ones
        k, d_in, d_out = weight.shape
        flat = weight.transpose(0, 1).reshape(d_in, k * d_out)
        return torch.addmm(bias.reshape(-1), x, flat).view(-1, k, d_out).transpose(0, 1)
    return torch.baddbmm(bias.unsqueeze(1), x, weight)
