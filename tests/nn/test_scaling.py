import pytest
import torch

from afina.nn import FeatureScale


def test_it_starts_as_nothing() -> None:
    """Before training every feature passes as it is."""
    x = torch.randn(4, 3)

    assert torch.equal(FeatureScale(3)(x), x)


def test_each_feature_has_its_factor() -> None:
    """Each column is multiplied by its own factor, and each factor gets its column's gradient."""
    layer = FeatureScale(2)
    torch.nn.init.constant_(layer.scale, 3.0)
    x = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    out = layer(x)
    out.sum().backward()

    assert torch.equal(out, 3.0 * x)
    assert layer.scale.grad is not None
    assert layer.scale.grad.tolist() == [4.0, 6.0]


def test_no_feature_is_refused() -> None:
    """There must be something to scale."""
    with pytest.raises(ValueError, match="n_features must be at least 1"):
        FeatureScale(0)
