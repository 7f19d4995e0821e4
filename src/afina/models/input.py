"""The input layer: turn numbers and category codes of a table into one row of floats."""

from collections.abc import Sequence
from typing import Literal, TypeAlias, get_args

import torch
from torch import Tensor, nn

from afina.models.numbers import EmbeddedNumbers, Numbers
from afina.nn import (
    CategoryEmbedding,
    FeatureScale,
    OneHot,
    Ordinal,
    embedding_width,
    hide_codes,
)
from afina.nn.arguments import check_choice, check_probability
from afina.preprocess.settings import Encoding

CatEncoding: TypeAlias = tuple[Encoding, int, bool]
"""How one categorical column is encoded, its number of levels, and whether it had missing cells."""


class RawBatchNorm(nn.Module):
    """Batch-normalize raw numbers in float64, then scale and shift them in the network's precision.

    This way, nanosecond timestamps keep their differences. The running statistics are the plain
    mean over all batches so far (torch's momentum=None): unlike hidden units, raw numbers do not
    drift, and a moving average would start from 0 and need hundreds of steps to reach a timestamp.

    Shape:
        (n, n_num) float64 -> (n, n_num) float32

    Example:
        >>> x = torch.tensor([[1.7e18], [1.7e18 + 2e9]], dtype=torch.float64)
        >>> RawBatchNorm(1)(x).flatten().round(decimals=3).tolist()
        [-1.0, 1.0]
    """

    def __init__(self, n_num: int) -> None:
        super().__init__()
        self.batch = nn.BatchNorm1d(n_num, momentum=None, affine=False, dtype=torch.float64)
        self.scale = nn.Parameter(torch.ones(n_num))
        self.shift = nn.Parameter(torch.zeros(n_num))

    def forward(self, x: Tensor) -> Tensor:
        centered: Tensor = self.batch(x.to(self.batch.get_buffer("running_mean").dtype))
        return centered.to(self.scale.dtype) * self.scale + self.shift


class InputLayer(nn.Module):
    """Concatenate numbers and encoded categories.

    The outputs are, in this order: plain numbers, embedded numbers, one-hot columns, ordinal ranks,
        ordinal marks, embeddings. `chunks` holds the column of each output.

    With `normalize`, the inputs are raw numbers, and batch normalization is their only scaler: see
    `RawBatchNorm`.

    Shape:
        x_num (n, n_num) float, x_cat (n, n_cat) int64 -> (n, d_out)

    Args:
        n_num: number of numeric columns, at least 0.
        cat_encodings: (encoding, n_levels, has_missing) for each categorical column. If a column
            had no missing cells in training, later missing cells count as unknown.
        embedding_dim: width of each embedded category. `auto`: depends on the number of levels; see
            `embedding_width`.
        unknown_rate: probability that a level is replaced by unknown while training, in [0, 1).
        normalize: apply batch normalization to raw numbers.
        embedded: which numbers are embedded, and how. None: none of them.
        scales: give each output a trained factor.
        members: number of networks with separate embeddings. These embeddings come last, beginning
            with the `d_own` outputs of the first network.

    Raises:
        ValueError: there is no column, an encoding is unknown, or an argument is out of range.

    Example:
        >>> layer = InputLayer(2, [("onehot", 3, False), ("embedding", 40, True)], embedding_dim=8)
        >>> layer(torch.zeros(5, 2), torch.ones(5, 2, dtype=torch.int64)).shape
        torch.Size([5, 13])
    """

    like: Tensor

    def __init__(
        self,
        n_num: int,
        cat_encodings: Sequence[CatEncoding] = (),
        *,
        embedding_dim: int | Literal["auto"] = 8,
        unknown_rate: float = 0.0,
        normalize: bool = False,
        embedded: EmbeddedNumbers | None = None,
        scales: bool = False,
        members: int = 1,
    ) -> None:
        if n_num < 0 or n_num + len(cat_encodings) < 1:
            raise ValueError(
                f"A network must have an input column; got {n_num=} and no categories."
            )
        check_probability(unknown_rate, name="unknown_rate")
        super().__init__()
        self.n_num, self.n_cat, self.n_members = n_num, len(cat_encodings), members
        self.unknown_rate = unknown_rate
        # Empty; it has the dtype of the weights, even after .double() or .half().
        self.register_buffer("like", torch.empty(0), persistent=False)
        self.normalize = RawBatchNorm(n_num) if normalize and n_num else None
        self.numbers = None if embedded is None else Numbers(n_num, embedded)
        self.encoders = nn.ModuleDict()
        self.chunks = list(range(n_num)) if self.numbers is None else list(self.numbers.chunks)
        own: list[int] = []
        for name, columns in _columns_by_encoding(cat_encodings, embedding_dim).items():
            mine = [cat_encodings[i] for i in columns]
            width = embedding_width(mine[0][1]) if embedding_dim == "auto" else embedding_dim
            encoder = _make_encoder(mine, width * members)
            self.encoders[name] = encoder
            outputs = [n_num + i for i in _columns_of_outputs(encoder, columns)]
            if isinstance(encoder, CategoryEmbedding):
                own += outputs[::members]
            else:
                self.chunks += outputs
            self.register_buffer(f"{name}_columns", torch.tensor(columns), persistent=False)
        self.d_own = len(own) if members > 1 else 0
        self.chunks += own * members
        self.d_out = len(self.chunks)
        self.scale = FeatureScale(self.d_out) if scales else None

    def forward(self, x_num: Tensor, x_cat: Tensor) -> Tensor:
        if x_num.shape[1] != self.n_num or x_cat.shape[1] != self.n_cat:
            raise ValueError(
                f"The input must have {self.n_num} numeric and {self.n_cat} categorical columns; "
                f"got x_num.shape={tuple(x_num.shape)}, x_cat.shape={tuple(x_cat.shape)}."
            )
        numbers = x_num if self.normalize is None else self.normalize(x_num)
        numbers = numbers.to(self.like.dtype)
        parts = [numbers if self.numbers is None else self.numbers(numbers)]
        own = []
        codes = hide_codes(x_cat, self.unknown_rate, training=self.training)
        for name, encoder in self.encoders.items():
            columns = self.get_buffer(f"{name}_columns")
            mine = codes if len(columns) == self.n_cat else codes.index_select(1, columns)
            encoded = encoder(mine).to(self.like.dtype)
            if isinstance(encoder, CategoryEmbedding) and self.n_members > 1:
                own.append(self._by_member(encoded, len(columns)))
            else:
                parts.append(encoded)
        if own:
            parts.append(torch.cat(own, dim=2).flatten(1))
        row = parts[0] if len(parts) == 1 else torch.cat(parts, dim=1)
        return row if self.scale is None else self.scale(row)

    def _by_member(self, encoded: Tensor, n_columns: int) -> Tensor:
        """Split each column's embedding among the networks: (n, columns * k * d) -> (n, k, ...)."""
        by_column = encoded.reshape(len(encoded), n_columns, self.n_members, -1)
        return by_column.transpose(1, 2).flatten(2)

    def extra_repr(self) -> str:
        return f"n_num={self.n_num}, n_cat={self.n_cat}, unknown_rate={self.unknown_rate}"


def _columns_by_encoding(
    cat_encodings: Sequence[CatEncoding], embedding_dim: int | Literal["auto"]
) -> dict[str, list[int]]:
    """List the columns of each encoder; the order of encoders does not depend on the columns."""
    order: tuple[Encoding, ...] = get_args(Encoding)
    columns: dict[str, list[int]] = {}
    for i, (encoding, n_levels, _) in enumerate(cat_encodings):
        check_choice("encoding", encoding, order)
        by_width = encoding == "embedding" and embedding_dim == "auto"
        name = f"embedding_{embedding_width(n_levels):02d}" if by_width else encoding
        columns.setdefault(name, []).append(i)
    return {
        name: columns[name] for first in order for name in sorted(columns) if name.startswith(first)
    }


def _make_encoder(
    columns: Sequence[CatEncoding], embedding_dim: int
) -> OneHot | Ordinal | CategoryEmbedding:
    n_levels = [levels for _, levels, _ in columns]
    has_missing = [missing for _, _, missing in columns]
    if columns[0][0] == "onehot":
        return OneHot(n_levels, has_missing)
    if columns[0][0] == "ordinal":
        return Ordinal(n_levels)
    return CategoryEmbedding(n_levels, has_missing, embedding_dim)


def _columns_of_outputs(
    encoder: OneHot | Ordinal | CategoryEmbedding, columns: list[int]
) -> list[int]:
    """Return the column that each output of an encoder belongs to."""
    if isinstance(encoder, OneHot):
        return [columns[i] for i in encoder.column.tolist()]
    if isinstance(encoder, Ordinal):
        return columns * 2
    return [i for i in columns for _ in range(encoder.d_embedding)]
