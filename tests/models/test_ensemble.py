from collections.abc import Callable

import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given
from torch import Tensor, nn
from torch.nn import functional

from afina.models import Ensemble, ModelSettings, NetworkShape, TabularNet, make_network
from afina.preprocess import PreprocessSettings

CLOSE = {"rtol": 1e-12, "atol": 1e-12}


def wild(seed: int = 0, *, d_out: int = 1, **options: object) -> Ensemble:
    """Make an ensemble in float64 whose networks differ in every number."""
    options = {"widths": [5, 3], "k": 6, "n_folds": 3, "activation": "mish"} | options
    net = Ensemble(4, d_out, probabilities=d_out > 1, **options).double()
    generator = torch.Generator().manual_seed(seed)
    for parameter in net.parameters():
        nn.init.normal_(parameter, std=0.7, generator=generator)
    return net


def member_alone(net: Ensemble, x: Tensor, j: int) -> Tensor:
    """Compute one member as the plain network that it is: (n, d_in) -> (n, d_out)."""
    for stack in net.hidden:
        x = net.activation(functional.linear(x, stack.weight[j].T, stack.bias[j]))
    return functional.linear(x, net.heads.weight[j].T, net.heads.bias[j])


def answer_of(outputs: list[Tensor], *, probabilities: bool) -> Tensor:
    """Average members by the formula: probabilities, or values."""
    if probabilities:
        return torch.stack([output.softmax(dim=-1) for output in outputs]).mean(dim=0).log()
    return torch.stack(outputs).mean(dim=0)


def draw_rows(n: int, n_folds: int, seed: int = 1) -> tuple[Tensor, Tensor]:
    """Draw rows and the fold of each."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 4, dtype=torch.float64, generator=generator)
    return x, torch.randint(0, n_folds, (n,), generator=generator)


shapes = st.tuples(st.integers(1, 4), st.integers(2, 4)).map(lambda one: (one[0] * one[1], one[1]))


@given(shapes, st.lists(st.integers(1, 5), max_size=3), st.sampled_from([1, 3]), st.integers(0, 12))
def test_without_folds_it_is_an_ensemble(
    shape: tuple[int, int], widths: list[int], d_out: int, n: int
) -> None:
    """While training each member answers each row; in evaluation the mean of all does."""
    k, n_folds = shape
    x, _ = draw_rows(n, n_folds)
    for folds in (n_folds, 1):
        net = wild(k=k, n_folds=folds, widths=widths, d_out=d_out)
        own = [member_alone(net, x, j) for j in range(k)]
        wanted = answer_of(own, probabilities=d_out > 1)

        torch.testing.assert_close(net(x), torch.stack(own, dim=1), **CLOSE)
        torch.testing.assert_close(net.eval()(x), wanted, **CLOSE)


@given(shapes, st.lists(st.integers(1, 5), max_size=2), st.integers(1, 3), st.integers(0, 2))
def test_inputs_of_its_own_are_seen_by_one_member(
    shape: tuple[int, int], widths: list[int], d_own: int, n_same: int
) -> None:
    """Each member sees what is for all and its own part of the rest, with folds and without."""
    k, n_folds = shape
    net = Ensemble(
        n_same + k * d_own,
        1,
        widths=widths,
        k=k,
        d_own=d_own,
        n_folds=n_folds,
        linear_skip=True,
        probabilities=False,
    ).double()
    for parameter in net.parameters():
        nn.init.normal_(parameter)
    x = torch.randn(7, n_same + k * d_own, dtype=torch.float64)
    folds = torch.arange(7) % n_folds
    own = []
    for j in range(k):
        first = n_same + j * d_own
        seen = torch.cat([x[:, :n_same], x[:, first : first + d_own]], dim=1)
        line = functional.linear(seen, net.skip.weight[j].T, net.skip.bias[j])
        own.append(member_alone(net, seen, j) + line)
    stacked = torch.stack(own, dim=1)

    torch.testing.assert_close(net(x), stacked, **CLOSE)
    torch.testing.assert_close(net.eval()(x), stacked.mean(dim=1), **CLOSE)
    for row, answer in enumerate(net(x, folds)):
        left_out = [j for j in range(k) if j // (k // n_folds) == folds[row]]
        torch.testing.assert_close(answer, stacked[row, left_out].mean(dim=0), **CLOSE)


def test_inputs_that_are_not_there_are_refused() -> None:
    """There cannot be more inputs of the members' own than inputs."""
    with pytest.raises(ValueError, match="k \\* d_own must be at most d_in"):
        Ensemble(5, 1, widths=[], k=3, d_own=2, probabilities=False)


@given(shapes, st.lists(st.integers(1, 5), max_size=3), st.sampled_from([1, 3]), st.integers(0, 12))
def test_while_training_each_row_is_seen_by_those_that_learn_from_it(
    shape: tuple[int, int], widths: list[int], d_out: int, n: int
) -> None:
    """With folds, the outputs of a row are those of all members but the ones of its fold."""
    k, n_folds = shape
    net = wild(k=k, n_folds=n_folds, widths=widths, d_out=d_out)
    x, folds = draw_rows(n, n_folds)
    out = net(x, folds)
    own = torch.stack([member_alone(net, x, j) for j in range(k)], dim=1)

    assert out.shape == (n, k - k // n_folds, d_out)
    for row, fold in enumerate(folds.tolist()):
        learning = [j for j in range(k) if j // (k // n_folds) != fold]
        torch.testing.assert_close(out[row], own[row, learning], **CLOSE)


@given(shapes, st.lists(st.integers(1, 5), max_size=3), st.sampled_from([1, 3]), st.integers(0, 12))
def test_in_evaluation_each_row_is_answered_by_those_that_left_it_out(
    shape: tuple[int, int], widths: list[int], d_out: int, n: int
) -> None:
    """With folds, the answer to a row is the mean of the members of its fold alone."""
    k, n_folds = shape
    net = wild(k=k, n_folds=n_folds, widths=widths, d_out=d_out).eval()
    x, folds = draw_rows(n, n_folds)
    out = net(x, folds)
    own = torch.stack([member_alone(net, x, j) for j in range(k)], dim=1)

    assert out.shape == (n, d_out)
    for row, fold in enumerate(folds.tolist()):
        left_out = [own[row, j] for j in range(k) if j // (k // n_folds) == fold]
        torch.testing.assert_close(out[row], answer_of(left_out, probabilities=d_out > 1), **CLOSE)


@pytest.mark.parametrize("d_out", [1, 3])
def test_no_member_is_in_both(d_out: int) -> None:
    """A row's answer moves with the members that left it out, its training outputs with the others."""
    net = wild(d_out=d_out)
    x, folds = draw_rows(30, 3)
    before = net(x, folds), net.eval()(x, folds)
    with torch.no_grad():  # the members of fold 1, and no other
        for parameter in net.parameters():
            parameter[2:4] += 1.0
    after = net.train()(x, folds), net.eval()(x, folds)
    moved = [(a != b).flatten(1).any(dim=1) for a, b in zip(before, after, strict=True)]

    assert torch.equal(moved[0], folds != 1)
    assert torch.equal(moved[1], folds == 1)


def test_a_member_gets_no_gradient_from_rows_it_leaves_out() -> None:
    """Of rows of one fold all members learn but those of the fold."""
    net = wild()
    x, _ = draw_rows(8, 3)
    net(x, torch.full((8,), 2)).square().sum().backward()

    for parameter in net.parameters():
        learned = parameter.grad.flatten(1).any(dim=1)
        assert learned.tolist() == [True, True, True, True, False, False]


def test_a_row_alone_equals_the_row_in_a_batch() -> None:
    """In evaluation a row's answer depends neither on its neighbors nor on their folds."""
    net = wild(d_out=2).eval()
    x, folds = draw_rows(20, 3)
    pairs = [(x[i : i + 1], folds[i : i + 1]) for i in range(20)]

    torch.testing.assert_close(torch.cat([net(*pair) for pair in pairs]), net(x, folds), **CLOSE)


def test_each_member_drops_units_of_its_own() -> None:
    """Dropout is drawn for each member, while training alone."""
    net = Ensemble(3, 1, widths=[64], k=20, dropout=0.5, probabilities=False)
    with torch.no_grad():  # but for dropout the members are now one and the same
        for parameter in net.parameters():
            parameter.copy_(parameter[:1].expand_as(parameter))
    x = torch.randn(1, 3)

    assert len(net(x).unique()) > 10
    assert torch.equal(net.eval()(x), net(x))
    torch.testing.assert_close(net(x)[0], member_alone(net, x, 0)[0])


@pytest.mark.parametrize("d_out", [1, 3])
@pytest.mark.parametrize("training", [False, True])
def test_half_precision_answers_too(d_out: int, training: bool) -> None:
    """Under autocast folds are trained and answered as without it, but for rounding."""
    net = wild(d_out=d_out).float().train(training)
    x, folds = draw_rows(40, 3)
    wanted = net(x.float(), folds)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = net(x.float(), folds).float()

    assert (found - wanted).abs().mean() < 0.02 * wanted.abs().mean()


def make(generator: torch.Generator, *, folds: int = 3, **settings: object) -> TabularNet:
    plain = {"n_blocks": 2, "d_block": 16, "dropout": 0.0, "linear_skip": False, "init": "auto"}
    return make_network(
        NetworkShape(
            n_num=3,
            encodings=("onehot", "embedding"),
            has_missing=(True, True),
            d_out=2,
            folds=folds,
        ),
        (5, 40),
        model=ModelSettings(**plain | settings),
        preprocess=PreprocessSettings(unknown_rate=0.0),
        generator=generator,
    )


@pytest.mark.parametrize("init", ["auto", "torch", "kaiming_normal"])
def test_weights_are_a_function_of_the_seed(init: str) -> None:
    """The same seed gives the same network, another one another, and members start apart."""
    nets = [make(torch.Generator().manual_seed(s), init=init) for s in (1, 1, 2)]
    states = [net.state_dict() for net in nets]
    x = torch.randn(4, 3), torch.randint(0, 6, (4, 2))

    assert all(torch.equal(states[0][name], value) for name, value in states[1].items())
    drawn = [name for name in states[0] if name.endswith("weight")]
    assert len(drawn) == 4
    assert not any(torch.equal(states[0][name], states[2][name]) for name in drawn)
    assert (nets[0](*x).std(dim=1) > 1e-3).all()


def test_a_network_for_tables_takes_folds(generator: torch.Generator) -> None:
    """Numbers, categories and folds go through the input layer to the members; all of it learns."""
    net = make(generator)
    x_num = torch.randn(99, 3, generator=generator)
    x_cat = torch.randint(0, 7, (99, 2), generator=generator)
    folds = torch.arange(99) % 3
    row = net.input(x_num, x_cat)

    assert isinstance(net.body, Ensemble)
    assert torch.equal(net(x_num, x_cat, folds), net.body(row, folds))
    assert net(x_num, x_cat).shape == (99, 6, 2)
    assert net(x_num, x_cat, folds).shape == (99, 4, 2)
    net(x_num, x_cat, folds).square().sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in net.parameters())
    net.eval()
    assert torch.equal(net(x_num, x_cat, folds), net.body(net.input(x_num, x_cat), folds))


def test_what_is_saved_is_weights(generator: torch.Generator) -> None:
    """Which member leaves what out is a function of the sizes, and not among the saved tensors."""
    names = {name for name in make(generator).state_dict() if name.startswith("body.")}

    layers = ("hidden.0", "hidden.1", "heads")
    assert names == {f"body.{layer}.{leaf}" for layer in layers for leaf in ("weight", "bias")}
    assert "k=6, n_folds=3" in str(make(generator))


@pytest.mark.parametrize(
    "options",
    [{"norm": "layer"}, {"norm": "batch"}, {"residual": True}, {"parametric_activation": True}],
)
def test_blocks_are_plain(options: dict[str, object], generator: torch.Generator) -> None:
    """Norms, residual blocks and parametric activations are refused by name."""
    with pytest.raises(ValueError, match=f"plain blocks; got .*{next(iter(options))}="):
        make(generator, **options)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: wild(k=0, n_folds=1), "k=0, n_folds=1"),
        (lambda: wild(k=6, n_folds=0), "k=6, n_folds=0"),
        (lambda: wild(k=6, n_folds=4), "k=6, n_folds=4"),
        (lambda: wild(k=2, n_folds=4), "k=2, n_folds=4"),
        (
            lambda: make(torch.Generator(), members=4, members_differ="input", folds=2),
            "members that share no weights",
        ),
    ],
)
def test_what_cannot_be_is_refused(build: Callable[[], object], words: str) -> None:
    """Folds that do not divide the members, and folds of members that share weights, are named."""
    with pytest.raises(ValueError, match=words):
        build()
