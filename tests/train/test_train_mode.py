"""Train mode."""

from torch import nn

from afina.train.train_mode import train_mode


def test_frozen_parts_stay_frozen() -> None:
    """A part in eval mode stays in it; a model entirely in eval mode is put in train mode."""
    model = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(2))
    model[1].eval()
    with train_mode(model):
        assert [m.training for m in model.modules()] == [True, True, False]
    model.eval()
    with train_mode(model):
        assert [m.training for m in model.modules()] == [True, True, False]
    other = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(2)).eval()
    with train_mode(other):
        assert all(m.training for m in other.modules())

    assert not any(m.training for m in model.modules())
