import pytest
import torch

from afina.models import EmbeddedNumbers, Numbers


def test_numbers_pass_or_are_embedded() -> None:
    """Columns that pass come first, as they are; then the embedded ones, in their order."""
    embedded = EmbeddedNumbers(kind="piecewise", columns=(1, 3), n_bins=(2, 1), d_embedding=3)
    numbers = Numbers(4, embedded)
    numbers.set_edges_([torch.tensor([0.0, 0.5, 1.0]), torch.tensor([0.0, 1.0])])
    x = torch.randn(6, 4)
    out = numbers(x)

    assert torch.equal(out[:, :2], x[:, [0, 2]])
    assert torch.equal(out[:, 2:], numbers.embedding(x[:, [1, 3]]))
    assert numbers.chunks == [0, 2, 1, 1, 1, 3, 3, 3]
    assert numbers.d_out == 8


@pytest.mark.parametrize("kind", ["piecewise", "periodic"])
def test_every_column_can_be_embedded(kind: str) -> None:
    """Where all columns are embedded none passes."""
    embedded = EmbeddedNumbers(kind=kind, columns=(0, 1), n_bins=(2, 2), d_embedding=5)

    assert Numbers(2, embedded)(torch.zeros(3, 2)).shape == (3, 10)


@pytest.mark.parametrize("columns", [(0, 0), (1, 0), (2,), (-1,)])
def test_columns_that_are_not_there_are_refused(columns: tuple[int, ...]) -> None:
    """Places must ascend and be among the numbers."""
    with pytest.raises(ValueError, match="columns must be ascending indices"):
        Numbers(2, EmbeddedNumbers(kind="periodic", columns=columns))


def test_bins_must_be_one_a_column() -> None:
    """A count of bins that does not fit is named; waves have no edges."""
    with pytest.raises(ValueError, match="n_bins must have one number for each embedded column"):
        Numbers(2, EmbeddedNumbers(kind="piecewise", columns=(0,)))
    with pytest.raises(TypeError, match="Edges need piecewise-linear"):
        Numbers(2, EmbeddedNumbers(kind="periodic", columns=(0,))).set_edges_([])
