"""Several networks side by side in one module; each may hold out a share of the rows."""

import itertools
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from afina.nn import (
    ALL,
    ActivationName,
    QuickDropout,
    StackedLinear,
    make_activation,
    mean_of_members,
)


class Ensemble(nn.Module):
    """Pass rows through k networks that share no weights, and average their predictions.

    With folds, each network holds out the rows of one fold, and each row is held out by the
    networks of its fold. So all rows are used for training and for validation: in evaluation with
    folds, each row is predicted only by the networks that have not learned from it.

    Shape:
        (n, d_in) and folds (n,) int64 or None ->
        while training (n, k, d_out), or with folds (n, k - k / n_folds, d_out): only the networks
        that learn from each row; in evaluation (n, d_out)

    Args:
        widths: widths of the hidden layers; empty for linear models.
        d_own: number of inputs that belong to a single network; the last k * d_own inputs are of
            this kind.
        k: number of networks, at least 1; a multiple of `n_folds`.
        n_folds: number of folds, at least 2; or 1 if no rows are held out.
        activation: activation of the hidden layers.
        dropout: probability that a hidden unit is zeroed while training, in [0, 1).
        linear_skip: add a linear model of the inputs to the outputs; it starts at 0.
        probabilities: whether outputs are class scores, whose probabilities are averaged;
            otherwise, the values are averaged.

    Raises:
        ValueError: an argument is out of range.

    Example:
        >>> net = Ensemble(3, 1, widths=[8], k=4, n_folds=2, probabilities=False)
        >>> x, folds = torch.ones(5, 3), torch.tensor([0, 1, 0, 1, 1])
        >>> net(x).shape, net(x, folds).shape, net.eval()(x, folds).shape
        (torch.Size([5, 4, 1]), torch.Size([5, 2, 1]), torch.Size([5, 1]))

    Source: Krogh & Vedelsby 1995, NIPS 7 (each network of an ensemble holds out different rows, on
        which it is then measured).
    """

    learning: Tensor

    def __init__(
        self,
        d_in: int,
        d_out: int,
        *,
        widths: Sequence[int],
        k: int,
        d_own: int = 0,
        n_folds: int = 1,
        activation: ActivationName = "relu",
        dropout: float = 0.0,
        linear_skip: bool = False,
        probabilities: bool,
    ) -> None:
        if k < 1 or n_folds < 1 or k % n_folds:
            raise ValueError(f"k must be a multiple of n_folds; got {k=}, {n_folds=}.")
        super().__init__()
        if not 0 <= k * d_own <= d_in:
            raise ValueError(f"k * d_own must be at most d_in; got {k=}, {d_own=}, {d_in=}.")
        self.n_members, self.n_folds, self.d_own = k, n_folds, d_own
        self.probabilities = probabilities
        sizes = [d_in - (k - 1) * d_own, *widths]
        self.hidden = nn.ModuleList(
            StackedLinear(k, a, b, follows=activation) for a, b in itertools.pairwise(sizes)
        )
        self.activation = make_activation(activation)
        self.dropout = QuickDropout(dropout)
        self.heads = StackedLinear(k, sizes[-1], d_out, follows="output")
        self.skip = StackedLinear(k, sizes[0], d_out, follows="zero") if linear_skip else None
        each = torch.arange(k)
        others = [each[each // (k // n_folds) != fold] for fold in range(n_folds)]
        self.register_buffer("learning", torch.stack(others), persistent=False)

    def forward(self, x: Tensor, folds: Tensor | None = None) -> Tensor:
        if folds is None or self.n_folds == 1:
            outputs = self._outputs(x)
            return outputs if self.training else self._average(outputs)
        if self.training:
            learning = self.learning[folds].unsqueeze(2)
            outputs = self._outputs(x)
            return outputs.gather(1, learning.expand(-1, -1, outputs.shape[2]))
        return self._predict_left_out(x, folds)

    def _outputs(self, x: Tensor, some: slice = ALL) -> Tensor:
        """Return the outputs of some of the networks: (n, d_in) -> (n, k, d_out)."""
        same, own = self._part(x, some)
        hidden, mine = same, own
        for linear in self.hidden:
            hidden, mine = self.dropout(self.activation(linear(hidden, some, mine))), None
        outputs: Tensor = self.heads(hidden, some, mine)
        if self.skip is not None:
            outputs = outputs + self.skip(same, some, own)
        return outputs.transpose(0, 1)

    def _part(self, x: Tensor, some: slice) -> tuple[Tensor, Tensor | None]:
        """Separate the shared inputs from each network's own: (n, d), (k, n, d_own)."""
        if not self.d_own:
            return x, None
        n_same = x.shape[1] - self.n_members * self.d_own
        own = x[:, n_same:].reshape(len(x), self.n_members, self.d_own).transpose(0, 1)
        return x[:, :n_same], own[some]

    def _average(self, outputs: Tensor) -> Tensor:
        return mean_of_members(outputs, probabilities=self.probabilities)

    def _predict_left_out(self, x: Tensor, folds: Tensor) -> Tensor:
        """Predict each row with the networks that hold out its fold."""
        predictions = x.new_empty(len(x), self.heads.weight.shape[2])
        size = self.n_members // self.n_folds
        for fold in range(self.n_folds):
            rows = (folds == fold).nonzero().squeeze(1)
            if len(rows):
                some = slice(fold * size, (fold + 1) * size)
                predictions[rows] = self._average(self._outputs(x[rows], some)).to(
                    x.dtype
                )  # autocast
        return predictions

    def extra_repr(self) -> str:
        return f"k={self.n_members}, n_folds={self.n_folds}"
