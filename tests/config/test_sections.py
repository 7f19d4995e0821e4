"""What the settings together come to."""

import pytest

from afina.config import Config, apply_settings, check_config
from afina.errors import ConfigError

WEIGHTS = ("model.members_differ=weights", "model.members=8", "table.folds=4")


def with_folds(*settings: str) -> Config:
    """Ask for members that leave out folds, with these settings besides."""
    alone = ("table.val_frac=none", "table.time=none", "model.norm=none", "model.residual=false")
    return apply_settings(Config(), [*alone, *WEIGHTS, *settings])


@pytest.mark.parametrize(
    ("settings", "n_folds"),
    [
        ((), 4),
        (("table.folds=8",), 8),
        (("table.folds=1",), 1),
        (("table.group=a",), 4),
        (("table.val_frac=0.2",), 1),
        (("table.time=a",), 1),
        (("model.members=1",), 1),
        (("model.members_differ=input",), 1),
        (("model.members_differ=layers",), 1),
        (("table.folds=auto",), 8),
        (("table.folds=auto", "table.val_frac=0.2"), 1),
        (("table.folds=auto", "model.members=6"), 6),
        (("table.folds=auto", "model.members=22"), 2),
        (("table.folds=auto", "model.members=67"), 1),
    ],
)
def test_what_turns_folds_off(settings: tuple[str, ...], n_folds: int) -> None:
    """A share or a time to hold out, one member, or members that share weights: no folds."""
    config = with_folds(*settings)
    check_config(config)

    assert config.n_folds == n_folds


@pytest.mark.parametrize("members", [2, 5, 6, 9])
def test_members_are_a_multiple_of_folds(members: int) -> None:
    """Members that folds do not divide are refused, and it is said what would do."""
    with pytest.raises(ConfigError, match=rf"model\.members .* members={members}, folds=4\. Use"):
        check_config(with_folds(f"model.members={members}"))

    check_config(with_folds(f"model.members={members}", "table.val_frac=0.2"))


@pytest.mark.parametrize("members", range(1, 70))
def test_any_number_of_members_can_have_folds(members: int) -> None:
    """Left to itself, the number of folds suits whatever number of members is asked for."""
    settled = with_folds(f"model.members={members}", "table.folds=auto")
    check_config(settled)

    assert members % settled.n_folds == 0
    assert 2 <= settled.n_folds <= 64 or members in (1, 67)


@pytest.mark.parametrize(
    ("setting", "word"),
    [
        ("model.norm=layer", "norm=layer"),
        ("model.norm=batch", "norm=batch"),
        ("model.residual=true", "residual=true"),
        ("model.parametric_activation=true", "parametric_activation=true"),
    ],
)
@pytest.mark.parametrize("folds", [1, 4])
def test_members_of_their_own_weights_have_plain_blocks(
    setting: str, word: str, folds: int
) -> None:
    """Norms, residual blocks and parametric activations are refused by name, also without folds."""
    folded = f"table.folds={folds}"
    with pytest.raises(ConfigError, match=f"blocks must be plain; got .*{word}"):
        check_config(with_folds(setting, folded))

    for other in ("model.members=1", "model.members_differ=input"):
        check_config(with_folds(setting, folded, other))


@pytest.mark.parametrize("folds", [0, -1, 65, 2.5])
def test_how_many_folds_there_can_be(folds: float) -> None:
    """There are from 1 to 64 folds."""
    with pytest.raises(ConfigError, match=r"table\.folds must be a whole number"):
        with_folds(f"table.folds={folds}")
