"""Train and eval mode."""

import pytest
from torch import nn

from afina.train.train_mode import eval_mode, train_mode


def test_modes_come_back_also_after_an_error() -> None:
    """Each module gets its own mode back."""
    model = nn.Sequential(nn.Dropout(), nn.Sequential(nn.BatchNorm1d(2)))
    model[1].eval()

    def look_and_fail() -> None:
        with eval_mode(model):
            assert not any(m.training for m in model.modules())
            raise KeyError

    with pytest.raises(KeyError):
        look_and_fail()

    assert [m.training for m in model.modules()] == [True, True, False, False]


def test_frozen_parts_stay_frozen() -> None:
    """A part in eval mode inside a model in train mode stays so; a whole one is switched on."""
    model = nn.Sequential(nn.Dropout(), nn.BatchNorm1d(2))
    model[1].eval()
    with train_mode(model):
        assert [m.training for m in model.modules()] == [True, True, False]
    model.eval()
    with train_mode(model):
        assert all(m.training for m in model.modules())

    assert not any(m.training for m in model.modules())
