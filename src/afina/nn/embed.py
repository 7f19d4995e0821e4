"""Category codes to numbers: one-hot, ordinal, and embeddings with a trained unknown.

A code is 0 for missing, 1 for unknown, and 2, 3, ... for the levels of a column in their order. Any
other code, as from a damaged table, counts as unknown. Each module takes all columns of its
encoding at once, so that a thousand columns cost a few calls and not a thousand.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

MISSING, UNKNOWN, FIRST_LEVEL = 0, 1, 2


def embedding_width(n_levels: int) -> int:
    """Return the width that suits a column of so many levels: near 1.6 n^0.56, and a power of two.

    From 4 to 32. Powers of two let columns of about the same size share a table.

    Example:
        >>> [embedding_width(n) for n in (2, 17, 50, 1000, 10**6)]
        [4, 8, 16, 32, 32]
    """
    wanted = 1.6 * max(n_levels, 1) ** 0.56
    return int(2 ** min(max(round(math.log2(wanted)), 2), 5))


def hide_codes(codes: Tensor, rate: float, *, training: bool) -> Tensor:
    """Show each code as unknown by chance while training, so that unknown is trained too.

    Shape:
        (n, n_columns) -> (n, n_columns)

    Args:
        rate: chance of each cell, in [0, 1). The draws are from torch's global generator.

    Example:
        >>> hide_codes(torch.tensor([[2, 3]]), 0.5, training=False).tolist()
        [[2, 3]]
    """
    if not training or rate == 0.0:
        return codes
    return codes.masked_fill(torch.rand(codes.shape, device=codes.device) < rate, UNKNOWN)


class OneHot(nn.Module):
    """Return each level a column that is 1 in its rows; unknown is 0 in all of them.

    Missing has a column of its own, the first, where it occurred in training; elsewhere it is
    unknown.

    Shape:
        (n, n_columns) int64 -> (n, d_out)

    Args:
        n_levels: levels of each column, at least 0.
        has_missing: for each column, whether missing cells occurred in training.

    Example:
        >>> OneHot([3], [False])(torch.tensor([[2], [4], [1], [0], [99]])).tolist()
        [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """

    # Output j is 1 where column `column[j]` holds the code `code[j]`.
    column: Tensor
    code: Tensor

    def __init__(self, n_levels: Sequence[int], has_missing: Sequence[bool]) -> None:
        _check_levels(n_levels, has_missing)
        super().__init__()
        columns: list[int] = []
        codes: list[int] = []
        for i, (n, missing) in enumerate(zip(n_levels, has_missing, strict=True)):
            mine = [MISSING] * missing + list(range(FIRST_LEVEL, FIRST_LEVEL + n))
            columns += [i] * len(mine)
            codes += mine
        self.register_buffer("column", torch.tensor(columns, dtype=torch.int64), persistent=False)
        self.register_buffer("code", torch.tensor(codes, dtype=torch.int64), persistent=False)
        self.d_out = len(codes)

    def forward(self, codes: Tensor) -> Tensor:
        return (codes.index_select(1, self.column) == self.code).float()

    def extra_repr(self) -> str:
        return f"d_out={self.d_out}"


class Ordinal(nn.Module):
    """Return each column two numbers: its level's rank from -1 to 1, and 1 if the level is known.

    Missing and unknown are (0, 0): the middle rank, marked as not known. The ranks come first, then
    the marks.

    Shape:
        (n, n_columns) int64 -> (n, 2 * n_columns)

    Args:
        n_levels: levels of each column, at least 0.

    Example:
        >>> Ordinal([3])(torch.tensor([[2], [3], [4], [1]])).tolist()
        [[-1.0, 1.0], [0.0, 1.0], [1.0, 1.0], [0.0, 0.0]]
    """

    n_levels: Tensor

    def __init__(self, n_levels: Sequence[int]) -> None:
        _check_levels(n_levels)
        super().__init__()
        counts = torch.tensor(n_levels, dtype=torch.int64)
        self.register_buffer("n_levels", counts, persistent=False)
        self.d_out = 2 * len(n_levels)

    def forward(self, codes: Tensor) -> Tensor:
        rank = codes - FIRST_LEVEL
        known = (rank >= 0) & (rank < self.n_levels)
        steps = (self.n_levels - 1).clamp(min=1)  # an only level has rank -1, its mark tells it
        scaled = 2.0 * rank.float() / steps.float() - 1.0
        return torch.cat([scaled.masked_fill(~known, 0.0), known.float()], dim=1)

    def extra_repr(self) -> str:
        return f"d_out={self.d_out}"


class CategoryEmbedding(nn.Module):
    """Return each level of each column a trained vector, and unknown and missing one of their own.

    Levels start as N(0, 1 / d_embedding), a vector of length about 1 as a one-hot row has. Unknown
    and missing start at 0, the mean of the levels, and are separate 1-D parameters, which weight
    decay leaves alone. Missing counts as unknown in columns where it did not occur in training, and
    so never shows a vector that was not trained.

    Shape:
        (n, n_columns) int64 -> (n, n_columns * d_embedding)

    Args:
        n_levels: levels of each column, at least 0.
        has_missing: for each column, whether missing cells occurred in training.
        d_embedding: width of each column's vector.
        unknown_rate: chance that a cell is shown as unknown while training, in [0, 1).

    Example:
        >>> CategoryEmbedding([20, 50], [True, False], 8)(torch.tensor([[2, 1], [0, 51]])).shape
        torch.Size([2, 16])
    """

    n_levels: Tensor
    first_row: Tensor
    has_missing: Tensor

    def __init__(
        self,
        n_levels: Sequence[int],
        has_missing: Sequence[bool],
        d_embedding: int,
        *,
        unknown_rate: float = 0.0,
    ) -> None:
        _check_levels(n_levels, has_missing)
        if d_embedding < 1:
            raise ValueError(f"d_embedding must be at least 1, however: {d_embedding=}.")
        check_rate(unknown_rate)
        super().__init__()
        self.d_embedding = d_embedding
        self.d_out = len(n_levels) * d_embedding
        self.unknown_rate = unknown_rate
        counts = torch.tensor(n_levels, dtype=torch.int64)
        self.register_buffer("n_levels", counts, persistent=False)
        self.register_buffer("first_row", counts.cumsum(0) - counts, persistent=False)
        flags = torch.tensor(has_missing, dtype=torch.bool)
        self.register_buffer("has_missing", flags, persistent=False)
        # One row at least, so that a column whose levels were all rare still has a table to look in.
        self.weight = nn.Parameter(torch.empty(max(sum(n_levels), 1), d_embedding))
        self.unknown = nn.Parameter(torch.empty(self.d_out))
        self.missing = nn.Parameter(torch.empty(self.d_out))
        self.reset_parameters()

    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Draw the levels anew and put unknown and missing back to 0."""
        self.weight.normal_(0.0, self.d_embedding**-0.5, generator=generator)
        self.unknown.zero_()
        self.missing.zero_()

    def forward(self, codes: Tensor) -> Tensor:
        codes = hide_codes(codes, self.unknown_rate, training=self.training)
        rank = codes - FIRST_LEVEL
        known = (rank >= 0) & (rank < self.n_levels)
        row = (rank + self.first_row).masked_fill(~known, 0)
        vectors = functional.embedding(row, self.weight)  # (n, n_columns, d_embedding)
        missing = ((codes == MISSING) & self.has_missing).unsqueeze(-1)
        shape = (-1, self.d_embedding)
        other = torch.where(missing, self.missing.view(shape), self.unknown.view(shape))
        return torch.where(known.unsqueeze(-1), vectors, other).flatten(1)

    def extra_repr(self) -> str:
        n_columns = len(self.n_levels)
        return f"{n_columns=}, d_embedding={self.d_embedding}, unknown_rate={self.unknown_rate}"


def check_rate(unknown_rate: float) -> None:
    """Raise ValueError unless the rate is in [0, 1)."""
    if not 0.0 <= unknown_rate < 1.0:
        raise ValueError(f"unknown_rate must be in [0, 1), however: {unknown_rate=}.")


def _check_levels(n_levels: Sequence[int], has_missing: Sequence[bool] | None = None) -> None:
    if any(n < 0 for n in n_levels):
        raise ValueError(f"n_levels must be at least 0 everywhere, however: {list(n_levels)}.")
    if has_missing is not None and len(has_missing) != len(n_levels):
        raise ValueError(
            "has_missing must have a value a column, however: "
            f"{len(has_missing)} for {len(n_levels)} columns."
        )
