"""Turn category codes into numbers: one-hot, ordinal, and embeddings that include unknown levels.

A code is 0 for missing, 1 for unknown, and 2, 3, ... for the levels of a column in order. Any other
code, such as one from a damaged table, counts as unknown. Each module encodes all columns of its
encoding at once, so a thousand columns take a few calls instead of a thousand.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from afina.nn.arguments import check_sizes
from afina.process_state import Drawing

MISSING, UNKNOWN, FIRST_LEVEL = 0, 1, 2


def embedding_width(n_levels: int) -> int:
    """Return the width for a column with n levels: the power of two nearest to 1.6 n^0.56.

    The width is from 4 to 32. Powers of two let columns with similar numbers of levels share a
    table.

    Example:
        >>> [embedding_width(n) for n in (2, 17, 50, 1000, 10**6)]
        [4, 8, 16, 32, 32]
    """
    width = 1.6 * max(n_levels, 1) ** 0.56
    return int(2 ** min(max(round(math.log2(width)), 2), 5))


def hide_codes(codes: Tensor, rate: float, *, training: bool) -> Tensor:
    """Replace random codes with "unknown" while training, so that it is trained too.

    Shape:
        (n, n_columns) -> (n, n_columns)

    Args:
        rate: probability for each cell, in [0, 1). Draws from torch's global generator.

    Example:
        >>> hide_codes(torch.tensor([[2, 3]]), 0.5, training=False).tolist()
        [[2, 3]]
    """
    if not training or rate == 0.0:
        return codes
    chance = torch.rand(codes.shape, dtype=torch.float32, device=codes.device)
    return codes.masked_fill(chance < rate, UNKNOWN)


class OneHot(nn.Module):
    """Encode each level as a column of 0 and 1; an unknown level is 0 in all columns.

    The first column stands for missing cells, if there were any in training; otherwise they count
    as unknown.

    Shape:
        (n, n_columns) int64 -> (n, d_out)

    Args:
        n_levels: number of levels of each column, at least 0.
        has_missing: for each column, whether missing cells occurred in training.

    Example:
        >>> OneHot([3], [False])(torch.tensor([[2], [4], [1], [0], [99]])).tolist()
        [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0], [0.0, 0.0, 0.0]]
    """

    # Output j is 1 if the column `column[j]` holds the code `code[j]`.
    column: Tensor
    code: Tensor

    def __init__(self, n_levels: Sequence[int], has_missing: Sequence[bool]) -> None:
        _check_levels(n_levels, has_missing)
        super().__init__()
        pairs = [
            (column, code)
            for column, (n, missing) in enumerate(zip(n_levels, has_missing, strict=True))
            for code in ([MISSING] * missing + list(range(FIRST_LEVEL, FIRST_LEVEL + n)))
        ]
        columns, codes = torch.tensor(pairs, dtype=torch.int64).view(len(pairs), 2).t().contiguous()
        self.register_buffer("column", columns, persistent=False)
        self.register_buffer("code", codes, persistent=False)
        self.d_out = len(pairs)

    def forward(self, codes: Tensor) -> Tensor:
        return (codes.index_select(1, self.column) == self.code).float()

    def extra_repr(self) -> str:
        return f"d_out={self.d_out}"


class Ordinal(nn.Module):
    """Encode each column as two numbers: the level's rank, from -1 to 1, and a mark: 1 if known.

    Missing and unknown cells are (0, 0): the middle rank, with the mark of an unknown level. All
    ranks come first, then all marks.

    Shape:
        (n, n_columns) int64 -> (n, 2 * n_columns)

    Args:
        n_levels: number of levels of each column, at least 0.

    Example:
        >>> Ordinal([3])(torch.tensor([[2], [3], [4], [1]])).tolist()
        [[-1.0, 1.0], [0.0, 1.0], [1.0, 1.0], [0.0, 0.0]]
    """

    n_levels: Tensor

    def __init__(self, n_levels: Sequence[int]) -> None:
        _check_levels(n_levels)
        super().__init__()
        self.register_buffer(
            "n_levels", torch.tensor(n_levels, dtype=torch.int64), persistent=False
        )
        self.d_out = 2 * len(n_levels)

    def forward(self, codes: Tensor) -> Tensor:
        rank = codes - FIRST_LEVEL
        known = (rank >= 0) & (rank < self.n_levels)
        steps = (self.n_levels - 1).clamp(
            min=1
        )  # a single level has rank -1; its mark distinguishes it from unknown
        scaled = 2.0 * rank.float() / steps.float() - 1.0
        return torch.cat([scaled.masked_fill(~known, 0.0), known.float()], dim=1)

    def extra_repr(self) -> str:
        return f"d_out={self.d_out}"


class CategoryEmbedding(nn.Module):
    """Encode each level of each column, "unknown" and "missing" as trained vectors.

    The vectors of levels are drawn from N(0, 1 / d_embedding), so each has a length of about 1,
    like a one-hot row. "Unknown" and "missing" start at 0, the mean of the levels, and are separate
    1-D parameters, which weight decay does not shrink. In columns without missing cells in
    training, missing cells count as unknown, so that no untrained vector is ever used.

    Shape:
        (n, n_columns) int64 -> (n, n_columns * d_embedding)

    Args:
        n_levels: number of levels of each column, at least 0.
        has_missing: for each column, whether missing cells occurred in training.
        d_embedding: width of each column's vector.

    Example:
        >>> CategoryEmbedding([20, 50], [True, False], 8)(torch.tensor([[2, 1], [0, 51]])).shape
        torch.Size([2, 16])
    """

    n_levels: Tensor
    first_row: Tensor
    has_missing: Tensor

    def __init__(
        self, n_levels: Sequence[int], has_missing: Sequence[bool], d_embedding: int
    ) -> None:
        _check_levels(n_levels, has_missing)
        check_sizes(d_embedding=d_embedding)
        super().__init__()
        self.d_embedding = d_embedding
        self.d_out = len(n_levels) * d_embedding
        counts = torch.tensor(n_levels, dtype=torch.int64)
        self.register_buffer("n_levels", counts, persistent=False)
        self.register_buffer("first_row", counts.cumsum(0) - counts, persistent=False)
        self.register_buffer(
            "has_missing", torch.tensor(has_missing, dtype=torch.bool), persistent=False
        )
        # At least one row, so that a column with only rare levels still has a table.
        self.weight = nn.Parameter(torch.empty(max(sum(n_levels), 1), d_embedding))
        self.unknown = nn.Parameter(torch.empty(self.d_out))
        self.missing = nn.Parameter(torch.empty(self.d_out))
        self.reset_parameters()

    @Drawing()
    @torch.no_grad()
    def reset_parameters(self, generator: torch.Generator | None = None) -> None:
        """Redraw the levels, and set "unknown" and "missing" to 0."""
        self.weight.normal_(0.0, self.d_embedding**-0.5, generator=generator)
        self.unknown.zero_()
        self.missing.zero_()

    def forward(self, codes: Tensor) -> Tensor:
        rank = codes - FIRST_LEVEL
        known = (rank >= 0) & (rank < self.n_levels)
        row = (rank + self.first_row).masked_fill(~known, 0)
        vectors = functional.embedding(row, self.weight)  # (n, n_columns, d_embedding)
        missing = ((codes == MISSING) & self.has_missing).unsqueeze(-1)
        shape = (-1, self.d_embedding)
        other = torch.where(missing, self.missing.view(shape), self.unknown.view(shape))
        return torch.where(known.unsqueeze(-1), vectors, other).flatten(1)

    def extra_repr(self) -> str:
        return f"n_columns={len(self.n_levels)}, d_embedding={self.d_embedding}"


def _check_levels(n_levels: Sequence[int], has_missing: Sequence[bool] | None = None) -> None:
    if any(n < 0 for n in n_levels):
        raise ValueError(f"n_levels must all be at least 0; got {list(n_levels)}.")
    if has_missing is not None and len(has_missing) != len(n_levels):
        raise ValueError(
            f"has_missing must have one value for each of the {len(n_levels)} columns; "
            f"got {len(has_missing)} values."
        )
