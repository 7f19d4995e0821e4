import hypothesis.strategies as st
import numpy as np
import pytest
import torch
from hypothesis import given

from afina.nn import MemberHeads, MemberLinear, MemberScale, mean_of_members

sizes = st.integers(1, 6)


@given(sizes, sizes, sizes, st.integers(0, 2**31))
def test_the_mean_of_probabilities(n: int, k: int, c: int, seed: int) -> None:
    """Exp of the answer is the mean of the members' softmaxes, also where scores are huge."""
    scores = np.random.default_rng(seed).normal(0, 3, (n, k, c))
    scores[0] *= 100
    exps = np.exp(scores - scores.max(axis=2, keepdims=True))
    wanted = (exps / exps.sum(axis=2, keepdims=True)).mean(axis=1)

    found = mean_of_members(torch.from_numpy(scores), probabilities=True)

    # A logarithm of size l has an error of l roundings, and its exp has that error relatively.
    roundings = 16 * np.finfo(float).eps * (1 + np.abs(found.numpy()))
    assert (np.abs(found.exp().numpy() - wanted) <= roundings * wanted + 1e-300).all()
    assert found.isfinite().all()


def test_the_mean_of_values() -> None:
    """Without probabilities the answer is the plain mean."""
    outputs = torch.tensor([[[1.0], [4.0]]])

    assert mean_of_members(outputs, probabilities=False).tolist() == [[2.5]]


@given(sizes, sizes, sizes, st.booleans())
def test_members_of_a_row_stand_together(n: int, d: int, k: int, bias: bool) -> None:
    """Row i * k + j is row i with the factors and terms of member j."""
    part = MemberScale(d, k, start="normal", bias=bias)
    if part.bias is not None:
        assert not part.bias.any()
        torch.nn.init.normal_(part.bias)
    x = torch.randn(n, d)
    out = part(x)

    for i in range(n):
        for j in range(k):
            wanted = x[i] * part.scale[j] + (part.bias[j] if part.bias is not None else 0.0)
            torch.testing.assert_close(out[i * k + j], wanted)


def test_a_chunk_starts_together(generator: torch.Generator) -> None:
    """Outputs of one column share a member's first factor; columns and members do not."""
    part = MemberScale(6, 50, start="normal", chunks=[0, 2, 2, 2, 0, 1])
    part.reset_parameters(generator)
    scale = part.scale.detach()

    assert torch.equal(scale[:, 0], scale[:, 4])
    assert torch.equal(scale[:, 1], scale[:, 3])
    assert len(scale.unique()) == 150


def test_signs_are_signs(generator: torch.Generator) -> None:
    """With `signs` factors are 1 and -1, about half of each."""
    part = MemberScale(40, 50, start="signs")
    part.reset_parameters(generator)

    assert part.scale.unique().tolist() == [-1.0, 1.0]
    assert abs(part.scale.mean().item()) < 6 / part.scale.numel() ** 0.5  # six standard errors


@given(sizes, sizes, sizes, sizes, st.booleans(), st.booleans(), st.integers(0, 2**31))
def test_a_layer_with_members_is_its_formula(
    n: int, k: int, d_in: int, d_out: int, bias: bool, scales_input: bool, seed: int
) -> None:
    """((x r) W^T) s + b for each member, to 1e-12."""
    torch.manual_seed(seed)
    layer = MemberLinear(d_in, d_out, k, bias=bias, scales_input=scales_input).double()
    for parameter in layer.parameters():
        torch.nn.init.normal_(parameter)
    x = torch.randn(n * k, d_in, dtype=torch.float64)
    out = layer(x)

    for row in range(n * k):
        j = row % k
        r = 1.0 if layer.scale_in is None else layer.scale_in[j]
        b = 0.0 if layer.bias is None else layer.bias[j]
        wanted = (layer.shared.weight @ (x[row] * r)) * layer.scale_out[j] + b
        torch.testing.assert_close(out[row], wanted, rtol=1e-12, atol=1e-12)


def test_members_of_a_layer_start_alike() -> None:
    """Before training all members of a layer compute the same function."""
    layer = MemberLinear(4, 3, 5).double()
    x = torch.randn(1, 4, dtype=torch.float64).expand(5, 4)
    out = layer(x)

    # Not by the bit: a product may add up its last rows in another order than its first.
    torch.testing.assert_close(out, out[:1].expand(5, 3), rtol=1e-12, atol=1e-12)


@given(sizes, sizes, sizes, sizes, st.integers(0, 2**31))
def test_heads_are_layers_of_their_own(n: int, k: int, d_in: int, d_out: int, seed: int) -> None:
    """Member j's outputs are those of a linear layer with its weights, for any number of outputs."""
    torch.manual_seed(seed)
    heads = MemberHeads(d_in, d_out, k).double()
    x = torch.randn(n * k, d_in, dtype=torch.float64)
    out = heads(x)

    assert out.shape == (n, k, d_out)
    for j in range(k):
        wanted = torch.nn.functional.linear(x[j::k], heads.weight[j], heads.bias[j])
        torch.testing.assert_close(out[:, j], wanted, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: MemberScale(0, 2), "d, k must be at least 1"),
        (lambda: MemberScale(2, 0), "d, k must be at least 1"),
        (lambda: MemberScale(2, 2, start="ones"), "start must be one of normal, signs"),
        (lambda: MemberScale(2, 2, chunks=[0]), "one number for each of the 2 features; got 1"),
        (lambda: MemberHeads(2, 0, 2), "d_in, d_out, k must be at least 1"),
    ],
)
def test_what_cannot_be_is_refused(make: object, message: str) -> None:
    """An argument out of range is refused by name."""
    with pytest.raises(ValueError, match=message):
        make()
