"""Pass numbers of a table to the network, some of them embedded."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from afina.declaration import resolved
from afina.models.settings import ModelSettings, NumericEmbedding
from afina.models.shape import NetworkShape
from afina.nn import Periodic, PiecewiseLinear


@dataclass(frozen=True, kw_only=True)
class EmbeddedNumbers:
    """The numeric columns to embed, and how.

    Args:
        kind: kind of the embedding.
        columns: indices of the embedded columns among the numbers, ascending.
        d_embedding: number of outputs of each column.
        n_bins: for `piecewise`: number of bins of each column; the edges are set later.
        n_frequencies: for `periodic`: number of waves of each column.
        sigma: for `periodic`: standard deviation of the initial frequencies.
    """

    kind: NumericEmbedding
    columns: tuple[int, ...]
    d_embedding: int = 8
    n_bins: tuple[int, ...] = ()
    n_frequencies: int = 16
    sigma: float = 0.1


def embedded_numbers(shape: NetworkShape, model: ModelSettings) -> EmbeddedNumbers | None:
    """Return which numbers are embedded, and how; None if there are no such numbers."""
    if model.numeric_embedding is None or not shape.embedded:
        return None
    return EmbeddedNumbers(
        kind=model.numeric_embedding,
        columns=shape.embedded,
        d_embedding=resolved(model.d_numeric),
        n_bins=shape.n_bins,
        n_frequencies=model.n_frequencies,
        sigma=model.frequency_sigma,
    )


class Numbers(nn.Module):
    """Pass some columns of numbers through unchanged, followed by the embeddings of the others.

    Shape:
        (n, n_num) -> (n, d_out)

    Args:
        n_num: number of columns.
        embedded: the columns to embed, at least one.

    Raises:
        ValueError: a column does not exist, or an argument is out of range.

    Example:
        >>> embedded = EmbeddedNumbers(kind="piecewise", columns=(1,), n_bins=(3,), d_embedding=4)
        >>> Numbers(3, embedded)(torch.zeros(5, 3)).shape
        torch.Size([5, 6])
    """

    passing: Tensor
    columns: Tensor

    def __init__(self, n_num: int, embedded: EmbeddedNumbers) -> None:
        columns = embedded.columns
        if not set(columns) <= set(range(n_num)) or list(columns) != sorted(set(columns)):
            raise ValueError(f"columns must be ascending indices below {n_num}; got {columns}.")
        super().__init__()
        passing = [i for i in range(n_num) if i not in set(columns)]
        self.register_buffer("passing", torch.tensor(passing, dtype=torch.int64), persistent=False)
        self.register_buffer("columns", torch.tensor(columns, dtype=torch.int64), persistent=False)
        self.embedding = _make_embedding(embedded)
        self.chunks = [*passing, *(i for i in columns for _ in range(embedded.d_embedding))]
        self.d_out = len(self.chunks)

    def set_edges_(self, edges: Sequence[Tensor]) -> None:
        """Set the bin edges of each embedded column; only for `piecewise`."""
        if not isinstance(self.embedding, PiecewiseLinear):
            raise TypeError("Edges need piecewise-linear embeddings, but there are none.")
        self.embedding.set_edges_(edges)

    def forward(self, x: Tensor) -> Tensor:
        every = len(self.columns) == x.shape[1]
        embedded: Tensor = self.embedding(x if every else x.index_select(1, self.columns))
        return embedded if every else torch.cat([x.index_select(1, self.passing), embedded], dim=1)


def _make_embedding(embedded: EmbeddedNumbers) -> PiecewiseLinear | Periodic:
    if embedded.kind == "piecewise":
        if len(embedded.n_bins) != len(embedded.columns):
            raise ValueError(
                "n_bins must have one number for each embedded column; got "
                f"{len(embedded.n_bins)} for {len(embedded.columns)}."
            )
        return PiecewiseLinear(embedded.n_bins, embedded.d_embedding)
    return Periodic(
        len(embedded.columns),
        embedded.d_embedding,
        n_frequencies=embedded.n_frequencies,
        sigma=embedded.sigma,
    )
