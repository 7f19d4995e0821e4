"""Periodic embeddings of numbers: mixed cosines of trained frequencies, and the number itself."""

import math

import torch
from torch import Tensor, nn

from afina.process_state import Drawing


class Periodic(nn.Module):
    """Embed each number with trained waves: `concat(cos(2 pi w x + b) @ W + c, x)`.

    Shape:
        (n, n_columns) -> (n, n_columns * d_embedding)

    Args:
        n_columns: at least 1.
        d_embedding: outputs for each column, including the number itself, at least 2.
        n_frequencies: waves for each column, at least 1.
        sigma: standard deviation of the initial frequencies, above 0; a good value is about the
            inverse of the smallest relevant difference between numbers.

    Raises:
        ValueError: an argument is out of range.

    Example:
        >>> Periodic(3, 4)(torch.zeros(5, 3)).shape
        torch.Size([5, 12])

    Source: Holzmueller, Grinsztajn & Steinwart 2024, arXiv:2407.04491 (PBLD).
    """

    def __init__(
        self, n_columns: int, d_embedding: int, *, n_frequencies: int = 16, sigma: float = 0.1
    ) -> None:
        if n_columns < 1 or d_embedding < 2 or n_frequencies < 1 or not sigma > 0:
            raise ValueError(
                "n_columns and n_frequencies must be at least 1, d_embedding at least 2 and sigma "
                f"above 0; got {n_columns=}, {n_frequencies=}, {d_embedding=}, {sigma=}."
            )
        super().__init__()
        self.sigma = sigma
        self.frequency = nn.Parameter(torch.empty(n_columns, n_frequencies))
        self.phase = nn.Parameter(torch.empty(n_columns, n_frequencies))
        self.weight = nn.Parameter(torch.empty(n_columns, n_frequencies, d_embedding - 1))
        self.bias = nn.Parameter(torch.empty(n_columns, d_embedding - 1))
        self.reset_parameters()

    @Drawing()
    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Redraw all parameters."""
        bound = self.frequency.shape[1] ** -0.5
        self.frequency.normal_(0.0, self.sigma, generator=generator)
        self.phase.uniform_(-math.pi, math.pi, generator=generator)
        self.weight.uniform_(-bound, bound, generator=generator)
        self.bias.uniform_(-bound, bound, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        columns = x.t().unsqueeze(2)  # (n, f) -> (f, n, 1): one matrix product for each column
        turns = torch.addcmul(
            self.phase.unsqueeze(1), columns, self.frequency.unsqueeze(1), value=2 * math.pi
        )
        waves = torch.baddbmm(self.bias.unsqueeze(1), turns.cos(), self.weight)
        return torch.cat([waves, columns], dim=2).transpose(0, 1).flatten(1)

    def extra_repr(self) -> str:
        n_columns, n_frequencies, d_waves = self.weight.shape
        return f"{n_columns=}, d_embedding={d_waves + 1}, {n_frequencies=}, sigma={self.sigma}"
