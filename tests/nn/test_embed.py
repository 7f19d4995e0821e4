import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given
from torch import Tensor

from afina.nn import CategoryEmbedding, OneHot, Ordinal, hide_codes

WILD_CODES = [-(2**63), -1, 0, 1, 2, 3, 4, 5, 6, 99, 2**40, 2**63 - 1]


def codes(*rows: list[int]) -> Tensor:
    """Make a tensor of codes, a row a table row."""
    return torch.tensor(rows, dtype=torch.int64)


@st.composite
def columns_and_codes(draw: st.DrawFn) -> tuple[list[int], list[bool], list[list[int]]]:
    """Draw columns (levels, whether missing occurred) and rows of codes, most of them wild."""
    n_levels = draw(st.lists(st.integers(0, 5), min_size=1, max_size=5))
    has_missing = [draw(st.booleans()) for _ in n_levels]
    code = st.integers(-(2**63), 2**63 - 1) | st.integers(0, 8)
    row = st.lists(code, min_size=len(n_levels), max_size=len(n_levels))
    return n_levels, has_missing, draw(st.lists(row, min_size=1, max_size=6))


@given(columns_and_codes())
def test_one_hot_equals_a_loop(case: tuple[list[int], list[bool], list[list[int]]]) -> None:
    """For any codes at all, one-hot equals the plain loop over cells."""
    n_levels, has_missing, rows = case
    wanted = []
    for row in rows:
        line: list[float] = []
        for code, n, missing in zip(row, n_levels, has_missing, strict=True):
            cells = [0.0] * n
            if 2 <= code < n + 2:
                cells[code - 2] = 1.0
            line += [float(code == 0)] * missing + cells
        wanted.append(line)

    assert OneHot(n_levels, has_missing)(codes(*rows)).tolist() == wanted


@given(columns_and_codes())
def test_ordinal_equals_a_loop(case: tuple[list[int], list[bool], list[list[int]]]) -> None:
    """For any codes at all, ordinal gives the rank in [-1, 1] and whether it is known."""
    n_levels, _, rows = case
    out = Ordinal(n_levels)(codes(*rows))
    n = len(n_levels)

    for i, row in enumerate(rows):
        for j, code in enumerate(row):
            known = 2 <= code < n_levels[j] + 2
            rank = 2 * (code - 2) / max(n_levels[j] - 1, 1) - 1 if known else 0.0
            assert out[i, j].item() == pytest.approx(rank, abs=1e-6)
            assert out[i, n + j].item() == float(known)


@given(columns_and_codes())
def test_embedding_equals_a_loop(case: tuple[list[int], list[bool], list[list[int]]]) -> None:
    """For any codes at all, a cell has its level's vector, or missing's, or unknown's."""
    n_levels, has_missing, rows = case
    layer = CategoryEmbedding(n_levels, has_missing, 3)
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    out = layer(codes(*rows)).view(len(rows), len(n_levels), 3)

    for i, row in enumerate(rows):
        for j, code in enumerate(row):
            if 2 <= code < n_levels[j] + 2:
                wanted = layer.weight[sum(n_levels[:j]) + code - 2]
            elif code == 0 and has_missing[j]:
                wanted = layer.missing.view(-1, 3)[j]
            else:
                wanted = layer.unknown.view(-1, 3)[j]
            assert torch.equal(out[i, j], wanted)


def test_missing_has_a_column_only_where_it_occurred() -> None:
    """Where training had no missing cells, a missing cell is unknown: zeros, no extra column."""
    assert OneHot([2], [True])(codes([0], [1], [2])).tolist() == [[1, 0, 0], [0, 0, 0], [0, 1, 0]]
    assert OneHot([2], [False])(codes([0], [1], [2])).tolist() == [[0, 0], [0, 0], [1, 0]]


def test_wild_codes_are_unknown() -> None:
    """Codes out of range, however far, give what unknown gives."""
    for layer in (
        OneHot([3], [False]),
        Ordinal([3]),
        CategoryEmbedding([3], [False], 4),
    ):
        unknown = layer(codes([1]))
        for code in WILD_CODES:
            if not 2 <= code < 5:
                assert torch.equal(layer(codes([code])), unknown)


def test_unknown_and_missing_are_parameters_of_one_dimension() -> None:
    """So weight decay, which goes by role, leaves them alone; they start at the levels' mean, 0."""
    layer = CategoryEmbedding([20, 30], [True, False], 8)

    shapes = {name: tuple(p.shape) for name, p in layer.named_parameters()}
    assert shapes == {"weight": (50, 8), "unknown": (16,), "missing": (16,)}
    assert not layer.unknown.any()
    assert not layer.missing.any()


def test_levels_start_with_vectors_of_length_one(generator: torch.Generator) -> None:
    """An embedded cell starts as large as a one-hot one: mean square length 1 at any width."""
    for d_embedding in (2, 8, 32):
        layer = CategoryEmbedding([5000], [False], d_embedding)
        layer.reset_parameters(generator)
        error = 6 * (2 / layer.weight.numel()) ** 0.5  # six standard errors of a mean square
        assert layer.weight.square().sum(1).mean().item() == pytest.approx(1.0, rel=error)


def test_unknown_is_trained() -> None:
    """With hidden codes, unknown gets gradient from rows of known categories; without, none."""
    x = codes(*[[2]] * 5000)
    torch.manual_seed(0)
    shown, hidden = CategoryEmbedding([3], [False], 2), CategoryEmbedding([3], [False], 2)
    shown(hide_codes(x, 0.0, training=True)).sum().backward()
    hidden(hide_codes(x, 0.1, training=True)).sum().backward()

    assert shown.unknown.grad is not None
    assert hidden.unknown.grad is not None
    assert shown.unknown.grad.tolist() == [0.0, 0.0]
    assert 370 <= hidden.unknown.grad[0].item() <= 630  # 500, and six standard errors


@given(st.floats(0.05, 0.9), st.integers(0, 2**32))
def test_hidden_codes_are_a_share(rate: float, seed: int) -> None:
    """About the requested share of cells becomes unknown while training; the others stay."""
    torch.manual_seed(seed)
    x = torch.full((4000, 2), 7)
    out = hide_codes(x, rate, training=True)

    assert set(out.unique().tolist()) == {1, 7}
    assert (out == 1).float().mean().item() == pytest.approx(rate, abs=0.06)
    assert hide_codes(x, rate, training=False) is x
    assert hide_codes(x, 0.0, training=True) is x


def test_gradients_are_the_same_in_every_run() -> None:
    """The backward pass is one that torch allows under deterministic algorithms, and repeats."""
    torch.manual_seed(0)
    layer = CategoryEmbedding([4, 4], [True, True], 8)
    x = torch.randint(0, 6, (1000, 2))
    grads = []
    for _ in range(3):
        layer.zero_grad()
        layer(x).square().sum().backward()
        grads.append([p.grad.clone() for p in layer.parameters()])

    assert all(torch.equal(a, b) for run in grads[1:] for a, b in zip(grads[0], run, strict=True))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: OneHot([2, -1], [False, False]), "n_levels must all be at least 0"),
        (lambda: OneHot([2, 2], [False]), "each of the 2 columns; got 1"),
        (lambda: CategoryEmbedding([2], [False], 0), "d_embedding must be at least 1"),
    ],
)
def test_what_cannot_be_is_refused(make: object, message: str) -> None:
    """An argument out of range is refused by name."""
    with pytest.raises(ValueError, match=message):
        make()
