"""Periodic embeddings of numbers: cosines of trained frequencies, mixed, beside the number."""

import math

import torch
from torch import Tensor, nn


class Periodic(nn.Module):
    """Return each number trained waves: `concat(cos(2 pi w x + b) @ W + c, x)`.

    Shape:
        (n, n_columns) -> (n, n_columns * d_embedding)

    Args:
        n_columns: at least 1.
        d_embedding: outputs a column, the number itself among them, at least 2.
        n_frequencies: waves a column, at least 1.
        sigma: standard deviation of the frequencies at the start, above 0: the inverse of about
            how far apart two numbers are that should be told apart.

    Raises:
        ValueError: a number that cannot be.

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
                "There must be a column, two outputs and a frequency, however: "
                f"{n_columns=}, {d_embedding=}, {n_frequencies=}, {sigma=}."
            )
        super().__init__()
        self.sigma = sigma
        self.frequency = nn.Parameter(torch.empty(n_columns, n_frequencies))
        self.phase = nn.Parameter(torch.empty(n_columns, n_frequencies))
        self.weight = nn.Parameter(torch.empty(n_columns, n_frequencies, d_embedding - 1))
        self.bias = nn.Parameter(torch.empty(n_columns, d_embedding - 1))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw everything anew."""
        bound = self.frequency.shape[1] ** -0.5
        self.frequency.normal_(0.0, self.sigma, generator=generator)
        self.phase.uniform_(-math.pi, math.pi, generator=generator)
        self.weight.uniform_(-bound, bound, generator=generator)
        self.bias.uniform_(-bound, bound, generator=generator)

    def forward(self, x: Tensor) -> Tensor:
        columns = x.t().unsqueeze(2)  # (n, f) -> (f, n, 1): then one matrix product a column
        turns = torch.addcmul(
            self.phase.unsqueeze(1), columns, self.frequency.unsqueeze(1), value=2 * math.pi
        )
        waves = torch.baddbmm(self.bias.unsqueeze(1), turns.cos(), self.weight)
        return torch.cat([waves, columns], dim=2).transpose(0, 1).flatten(1)

    def extra_repr(self) -> str:
        n_columns, n_frequencies, d_waves = self.weight.shape
        return f"{n_columns=}, d_embedding={d_waves + 1}, {n_frequencies=}, sigma={self.sigma}"
