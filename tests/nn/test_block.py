import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from afina.nn import Block, layer_norm


@pytest.mark.parametrize(
    ("place", "order"),
    [
        ("pre", ["norm", "linear", "activation", "dropout"]),
        ("post", ["linear", "norm", "activation", "dropout"]),
        ("after", ["linear", "activation", "norm", "dropout"]),
    ],
)
def test_the_order_of_the_steps(place: str, order: list[str]) -> None:
    """The normalization stands where norm_place says, on the width that is there."""
    block = Block(3, 5, norm="layer", norm_place=place, dropout=0.1)

    assert [name for name, _ in block.steps.named_children()] == order
    norm = block.steps.get_submodule("norm")
    assert isinstance(norm, nn.LayerNorm)
    assert norm.normalized_shape == ((3,) if place == "pre" else (5,))


@pytest.mark.parametrize("place", ["pre", "post", "after"])
@pytest.mark.parametrize("residual", [False, True])
def test_the_block_computes_the_formula(
    place: str, residual: bool, generator: torch.Generator
) -> None:
    """The block's output is its formula, written out."""
    block = Block(4, 4, activation="silu", norm="layer", norm_place=place, residual=residual)
    block = block.double()
    x = torch.randn(6, 4, generator=generator, dtype=torch.float64)
    linear = block.steps.get_submodule("linear")

    def step(x: Tensor) -> Tensor:
        return functional.linear(x, linear.weight, linear.bias)

    wanted = {
        "pre": lambda: functional.silu(step(layer_norm(x))),
        "post": lambda: functional.silu(layer_norm(step(x))),
        "after": lambda: layer_norm(functional.silu(step(x))),
    }[place]()

    torch.testing.assert_close(block(x), x + wanted if residual else wanted, rtol=1e-12, atol=1e-12)


def test_what_does_nothing_is_left_out() -> None:
    """Without norm and dropout there are two steps, and no bias right before a batch norm."""
    plain, normed = Block(2, 3), Block(2, 3, norm="batch", norm_place="post")

    assert [name for name, _ in plain.steps.named_children()] == ["linear", "activation"]
    assert plain.steps.get_submodule("linear").bias is not None
    assert normed.steps.get_submodule("linear").bias is None
    assert Block(2, 3, norm="layer").steps.get_submodule("linear").bias is not None


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"d_in": 2, "d_out": 3, "residual": True}, "must keep its width; got d_in=2"),
        ({"d_in": 2, "d_out": 3, "norm_place": "mid"}, "norm_place must be one of"),
        ({"d_in": 2, "d_out": 3, "dropout": 1.0}, "dropout must be in"),
        ({"d_in": 2, "d_out": 3, "norm": "batch", "momentum": 2.0}, "momentum must be in"),
    ],
)
def test_what_cannot_be_is_refused(arguments: dict[str, object], message: str) -> None:
    """An argument out of range is refused by name."""
    with pytest.raises(ValueError, match=message):
        Block(**arguments)
