"""Eval mode for a while."""

import pytest
from torch import nn

from afina.nn.eval_mode import eval_mode


def test_modes_are_restored_also_after_an_error() -> None:
    """Each module is back in its own mode afterwards."""
    model = nn.Sequential(nn.Dropout(), nn.Sequential(nn.BatchNorm1d(2)))
    model[1].eval()

    def look_and_fail() -> None:
        with eval_mode(model):
            assert not any(m.training for m in model.modules())
            raise KeyError

    with pytest.raises(KeyError):
        look_and_fail()

    assert [m.training for m in model.modules()] == [True, True, False, False]
