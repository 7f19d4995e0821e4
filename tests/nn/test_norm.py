import pytest
import torch
from torch import Tensor, nn

from afina.nn import batch_norm, layer_norm, make_norm, rms_norm

TOLERANCE = {torch.float64: 1e-12, torch.float32: 2e-5}
dtypes = pytest.mark.parametrize("dtype", [torch.float64, torch.float32])


def affine_(module: nn.Module, generator: torch.Generator) -> nn.Module:
    """Return scale and shift values that are not 1 and 0."""
    for parameter in module.parameters():
        parameter.data.normal_(generator=generator)
    return module


def close(got: Tensor, wanted: Tensor) -> None:
    """Compare to the tolerance of the precision."""
    tolerance = TOLERANCE[wanted.dtype]
    torch.testing.assert_close(got, wanted, rtol=tolerance, atol=tolerance)


@dtypes
@pytest.mark.parametrize("shape", [(16, 5), (16, 5, 7)])
@pytest.mark.parametrize("momentum", [0.1, 0.37, 1.0])
def test_batch_norm_is_torchs(
    shape: tuple[int, ...], dtype: torch.dtype, momentum: float, generator: torch.Generator
) -> None:
    """Output, gradients and running pair over several steps, and evaluation, equal torch's."""
    twin = affine_(nn.BatchNorm1d(5, momentum=momentum, eps=1e-3).to(dtype), generator)
    mean, var = torch.zeros(5, dtype=dtype), torch.ones(5, dtype=dtype)
    for _ in range(3):
        x = (3.0 + 2.0 * torch.randn(shape, generator=generator)).to(dtype).requires_grad_()
        x_twin = x.detach().clone().requires_grad_()
        out = batch_norm(
            x, mean, var, twin.weight, twin.bias, training=True, momentum=momentum, eps=1e-3
        )
        out_twin = twin(x_twin)
        out.square().sum().backward()
        out_twin.square().sum().backward()
        close(out, out_twin)
        assert x.grad is not None
        assert x_twin.grad is not None
        torch.testing.assert_close(x.grad, x_twin.grad, rtol=1e-4, atol=100 * TOLERANCE[dtype])
    close(mean, twin.get_buffer("running_mean"))
    close(var, twin.get_buffer("running_var"))

    twin.eval()
    out = batch_norm(x, mean, var, twin.weight, twin.bias, training=False, eps=1e-3)

    close(out, twin(x))


@dtypes
def test_layer_norm_is_torchs(dtype: torch.dtype, generator: torch.Generator) -> None:
    """The formula of layer normalization equals torch's module."""
    twin = affine_(nn.LayerNorm(6, eps=1e-3).to(dtype), generator)
    x = (5.0 + torch.randn(4, 3, 6, generator=generator)).to(dtype)

    close(layer_norm(x, twin.weight, twin.bias, eps=1e-3), twin(x))


@dtypes
def test_rms_norm_is_torchs(dtype: torch.dtype, generator: torch.Generator) -> None:
    """The formula of RMS normalization equals torch's module."""
    twin = affine_(nn.RMSNorm(6, eps=1e-3).to(dtype), generator)
    x = (5.0 + torch.randn(4, 3, 6, generator=generator)).to(dtype)

    close(rms_norm(x, twin.weight, eps=1e-3), twin(x))


def test_the_running_variance_is_the_unbiased_one(generator: torch.Generator) -> None:
    """The comparison with torch catches a running variance that is divided by N."""
    x = torch.randn(4, 2, generator=generator, dtype=torch.float64)
    twin = nn.BatchNorm1d(2).double()
    twin(x)
    faulty = 0.9 + 0.1 * x.var(0, correction=0)

    with pytest.raises(AssertionError, match="not close"):
        close(faulty, twin.get_buffer("running_var"))


@pytest.mark.parametrize(
    ("kind", "module"),
    [
        ("batch", nn.BatchNorm1d),
        ("layer", nn.LayerNorm),
        ("rms", nn.RMSNorm),
    ],
)
def test_make_norm_gives_torchs_modules(kind: str, module: type[nn.Module]) -> None:
    """Networks hold torch's own modules, with momentum and eps as asked."""
    norm = make_norm(kind, 4, momentum=0.3, eps=1e-3)

    assert type(norm) is module
    assert getattr(norm, "eps", 1e-3) == 1e-3
    assert getattr(norm, "momentum", 0.3) == 0.3


def test_one_row_has_no_batch_statistics() -> None:
    """A training batch of one row is refused by the formula as by torch's module."""
    x = torch.ones(1, 3)

    with pytest.raises(ValueError, match="two values of each feature"):
        batch_norm(x, torch.zeros(3), torch.ones(3), training=True)
    with pytest.raises(ValueError, match="more than 1 value per channel"):
        make_norm("batch", 3)(x)
    assert make_norm("batch", 3).eval()(x).shape == (1, 3)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"kind": "group"}, "norm must be one of batch, layer, rms; got"),
        ({"kind": "batch", "momentum": 0.0}, r"momentum must be in \(0, 1\]"),
        ({"kind": "batch", "eps": 0.0}, "eps must be positive"),
    ],
)
def test_make_norm_refuses(arguments: dict[str, object], message: str) -> None:
    """An argument out of range is refused by name."""
    with pytest.raises(ValueError, match=message):
        make_norm(n_features=2, **arguments)
