import hypothesis.strategies as st
import pytest
import torch
from hypothesis import given
from torch import Tensor

from afina.models import InputLayer, RawBatchNorm
from afina.nn import CategoryEmbedding, OneHot, Ordinal

columns = st.lists(
    st.tuples(
        st.sampled_from(["onehot", "ordinal", "embedding"]), st.integers(0, 4), st.booleans()
    ),
    min_size=1,
    max_size=6,
)


def no_categories(n: int) -> Tensor:
    """Make the codes of a table without categorical columns."""
    return torch.zeros(n, 0, dtype=torch.int64)


@given(columns, st.integers(0, 3), st.integers(0, 2**32))
def test_columns_stand_side_by_side(
    encodings: list[tuple[str, int, bool]], n_num: int, seed: int
) -> None:
    """Numbers, one-hot, ordinal and embedded columns are what each encoder alone gives."""
    torch.manual_seed(seed)
    layer = InputLayer(n_num, encodings, embedding_dim=3)
    x_num, x_cat = torch.randn(5, n_num), torch.randint(-1, 8, (5, len(encodings)))
    wanted = [x_num]
    for name, encoder in layer.encoders.items():
        mine = [i for i, one in enumerate(encodings) if one[0] == name]
        assert isinstance(encoder, OneHot | Ordinal | CategoryEmbedding)
        wanted.append(encoder(x_cat[:, mine]))
    out = layer(x_num, x_cat)

    assert out.shape == (5, layer.d_out)
    assert out.dtype == torch.float32
    assert torch.equal(out, torch.cat(wanted, dim=1))


@given(columns, st.integers(1, 3), st.integers(2, 4), st.sampled_from([3, "auto"]))
def test_networks_have_embeddings_of_their_own(
    encodings: list[tuple[str, int, bool]], n_num: int, k: int, width: int | str
) -> None:
    """Behind what all networks see come each one's parts of the vectors, network by network."""
    layer = InputLayer(n_num, encodings, embedding_dim=width, members=k)
    x_num, x_cat = torch.randn(5, n_num), torch.randint(-1, 8, (5, len(encodings)))
    own: list[list[torch.Tensor]] = [[] for _ in range(k)]
    for name, encoder in layer.encoders.items():
        if not isinstance(encoder, CategoryEmbedding):
            continue
        for i in layer.get_buffer(f"{name}_columns").tolist():
            place = layer.get_buffer(f"{name}_columns").tolist().index(i)
            every = encoder(x_cat[:, layer.get_buffer(f"{name}_columns")])
            vector = every.view(5, -1, encoder.d_embedding)[:, place]
            for j, part in enumerate(vector.chunk(k, dim=1)):
                own[j].append(part)
    out = layer(x_num, x_cat)
    n_same = layer.d_out - k * layer.d_own

    assert out.shape == (5, layer.d_out)
    assert len(layer.chunks) == layer.d_out
    assert layer.chunks[n_same:] == layer.chunks[n_same : n_same + layer.d_own] * k
    for j, parts in enumerate(own):
        first = n_same + j * layer.d_own
        wanted = torch.cat(parts, dim=1) if parts else torch.empty(5, 0)
        assert torch.equal(out[:, first : first + layer.d_own], wanted)


def test_one_value_of_each_kind() -> None:
    """A row of all kinds, number by number."""
    layer = InputLayer(
        1,
        [("ordinal", 3, False), ("onehot", 2, True), ("embedding", 2, False), ("onehot", 3, False)],
        embedding_dim=2,
    )
    out = layer(torch.tensor([[0.5]]), torch.tensor([[4, 0, 3, 2]]))
    embedding = layer.encoders["embedding"]

    wanted = [0.5, 1, 0, 0, 1, 0, 0, 1.0, 1.0, *embedding.weight[1].tolist()]
    assert out.tolist() == [pytest.approx(wanted)]
    assert layer.d_out == len(wanted)


def test_wild_codes_are_unknown() -> None:
    """Codes that no column has give what unknown gives, in every encoding."""
    layer = InputLayer(0, [("onehot", 3, False), ("ordinal", 3, False), ("embedding", 3, False)])
    unknown = layer(torch.zeros(1, 0), torch.ones(1, 3, dtype=torch.int64))

    for code in (-1, 0, 5, 2**40, -(2**63)):
        out = layer(torch.zeros(1, 0), torch.full((1, 3), code))
        assert torch.equal(out, unknown)


@pytest.mark.parametrize("encoding", ["onehot", "ordinal", "embedding"])
def test_unknown_is_shown_while_training_only(encoding: str) -> None:
    """Some cells turn unknown while training, in every encoding; in evaluation none does."""
    torch.manual_seed(0)
    layer = InputLayer(0, [(encoding, 3, False)], unknown_rate=0.2)
    x_num, x_cat = torch.zeros(10_000, 0), torch.full((10_000, 1), 2)
    unknown = layer.eval()(torch.zeros(1, 0), torch.tensor([[1]]))

    hidden = (layer.train()(x_num, x_cat) == unknown).all(1).float().mean().item()

    assert hidden == pytest.approx(0.2, abs=0.025)  # six standard errors
    assert not (layer.eval()(x_num, x_cat) == unknown).all(1).any()


def test_a_row_does_not_depend_on_its_neighbors(generator: torch.Generator) -> None:
    """In evaluation a row alone gives what it gives in a batch."""
    layer = InputLayer(2, [("onehot", 3, True), ("embedding", 9, True)], normalize=True)
    x_num = torch.randn(50, 2, generator=generator, dtype=torch.float64)
    x_cat = torch.randint(0, 5, (50, 2), generator=generator)
    layer(x_num, x_cat)
    layer.eval()

    together = layer(x_num, x_cat)
    alone = torch.cat([layer(x_num[i : i + 1], x_cat[i : i + 1]) for i in range(50)])

    torch.testing.assert_close(alone, together, rtol=1e-6, atol=1e-6)


def nanoseconds(n: int, generator: torch.Generator) -> Tensor:
    """Make timestamps of 2024 in nanoseconds that lie within one hour."""
    return 1.7e18 + 3.6e12 * torch.rand(n, 1, generator=generator, dtype=torch.float64)


def test_batch_norm_of_raw_timestamps(generator: torch.Generator) -> None:
    """Nanosecond timestamps within one hour keep their differences, training and predicting."""
    layer = InputLayer(1, normalize=True)
    x = nanoseconds(4000, generator)
    wanted = ((x - x.mean()) / x.std()).float()
    for batch in x.split(100):
        trained = layer(batch, no_categories(100))
    layer.eval()
    predicted = layer(x, no_categories(4000))

    assert trained.dtype == predicted.dtype == torch.float32
    assert trained.std().item() == pytest.approx(1.0, abs=0.01)
    torch.testing.assert_close(predicted, wanted, rtol=0, atol=0.03)
    assert (predicted.flatten().argsort() == x.flatten().argsort()).float().mean() > 0.99


def test_float32_batch_norm_loses_them(generator: torch.Generator) -> None:
    """The same through float32 leaves a few steps of a staircase: the check is able to fail."""
    x = nanoseconds(4000, generator)

    assert len(x.unique()) > 3900
    assert len(x.float().unique()) < 40


def test_the_running_pair_is_the_mean_over_batches(generator: torch.Generator) -> None:
    """The running pair is the plain mean of what the batches gave, without a start at 0 and 1."""
    norm = RawBatchNorm(2)
    batches = [5 + torch.randn(8, 2, generator=generator, dtype=torch.float64) for _ in range(6)]
    for batch in batches:
        norm(batch)

    mean = torch.stack([batch.mean(0) for batch in batches]).mean(0)
    var = torch.stack([batch.var(0) for batch in batches]).mean(0)
    torch.testing.assert_close(norm.batch.get_buffer("running_mean"), mean, rtol=1e-12, atol=0)
    torch.testing.assert_close(norm.batch.get_buffer("running_var"), var, rtol=1e-12, atol=0)


def test_outputs_have_the_precision_of_the_weights() -> None:
    """A net turned to float64 gets float64 inputs, so that arithmetic can be checked in it."""
    layer = InputLayer(2, [("onehot", 2, False), ("embedding", 2, False)], normalize=True).double()

    assert layer(torch.randn(4, 2), torch.full((4, 2), 2)).dtype == torch.float64


def test_state_is_only_what_is_learned() -> None:
    """The saved tensors are weights and running statistics; layouts follow from the arguments."""
    layer = InputLayer(2, [("onehot", 2, False), ("embedding", 2, False)], normalize=True)

    assert sorted(layer.state_dict()) == [
        "encoders.embedding.missing",
        "encoders.embedding.unknown",
        "encoders.embedding.weight",
        "normalize.batch.num_batches_tracked",
        "normalize.batch.running_mean",
        "normalize.batch.running_var",
        "normalize.scale",
        "normalize.shift",
    ]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"n_num": 0}, "must have an input column"),
        ({"n_num": 1, "cat_encodings": [("hash", 2, False)]}, "encoding must be one of onehot"),
        ({"n_num": 1, "unknown_rate": 1.0}, "unknown_rate must be in"),
    ],
)
def test_what_cannot_be_is_refused(arguments: dict[str, object], message: str) -> None:
    """An argument that cannot be is named."""
    with pytest.raises(ValueError, match=message):
        InputLayer(**arguments)


def test_inputs_of_another_width_are_refused() -> None:
    """Columns too many or too few are named, not summed up into something."""
    with pytest.raises(ValueError, match=r"2 numeric and 0 .* x_num.shape=\(4, 3\)"):
        InputLayer(2)(torch.zeros(4, 3), no_categories(4))


def test_widths_by_levels(generator: torch.Generator) -> None:
    """With `auto` each column has the width of its levels, and equals a layer of its own."""
    encodings = [("embedding", n, False) for n in (17, 5, 1000, 20, 10**4)]
    layer = InputLayer(1, encodings, embedding_dim="auto")
    x_cat = torch.randint(2, 7, (9, 5), generator=generator)
    out = layer(torch.zeros(9, 1), x_cat)
    tables = dict(layer.encoders.items())

    assert {name: table.d_embedding for name, table in tables.items()} == {
        "embedding_04": 4,
        "embedding_08": 8,
        "embedding_32": 32,
    }
    assert layer.chunks == [0] + [2] * 4 + [1] * 8 + [4] * 8 + [3] * 32 + [5] * 32
    assert torch.equal(out[:, 5:21], tables["embedding_08"](x_cat[:, [0, 3]]))


def test_scaled_outputs() -> None:
    """With `scales` every output has a factor."""
    layer = InputLayer(2, [("onehot", 3, False)], scales=True)
    torch.nn.init.constant_(layer.scale.scale, 2.0)

    assert layer(torch.ones(1, 2), torch.tensor([[3]])).tolist() == [[2.0, 2.0, 0.0, 2.0, 0.0]]
