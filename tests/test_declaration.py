"""A setting is declared once, and everything else follows."""

from dataclasses import replace
from typing import Annotated, Literal

import pytest
from pydantic import Field

from afina.declaration import (
    Count,
    Rate,
    Setting,
    declarations,
    describe_allowed,
    resolved,
    settings_class,
)
from afina.errors import ConfigError


@settings_class
class Oven:
    """An oven."""

    heat: Annotated[Count | Literal["auto"], Setting(same_at_resume=True)] = "auto"
    """How hot it is."""

    fan: Literal["slow", "fast"] | None = "slow"
    """How fast
    the fan is."""

    label: str | None = None
    """What stands on it."""

    racks: dict[str, Count] = Field(default_factory=dict)
    """Height by rack."""


@settings_class
class BigOven(Oven):
    """A larger oven."""

    share: Rate = 0.5
    """Share that is used."""


def test_a_declaration_holds_everything() -> None:
    """Type, default, docstring and the rest are read from the field, inherited ones too."""
    found = declarations(BigOven)

    assert list(found) == ["heat", "fan", "label", "racks", "share"]
    assert found["heat"].setting.same_at_resume
    assert (found["fan"].default, found["fan"].doc) == ("slow", "How fast the fan is.")
    assert found["fan"].choices == ("slow", "fast")
    assert found["heat"].choices == ("auto",)
    assert (found["fan"].optional, found["heat"].optional) == (True, False)
    assert (found["label"].takes_text, found["fan"].takes_text) == (True, False)
    assert describe_allowed(found["share"].schema) == "a number, at least 0 and below 1"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"heat": 0}, "at least 1, or \"auto\"; got heat=0. The default is 'auto'."),
        ({"heat": True}, "got heat=True. The default is 'auto'."),
        ({"heat": 2.0}, "got heat=2.0. The default is 'auto'."),
        (
            {"fan": "off"},
            "fan must be one of \"slow\", \"fast\", or None; got fan='off'. The default is 'slow'.",
        ),
        (
            {"racks": {"low": 0}},
            "racks['low'] must be a whole number, at least 1; got 0. Correct it, or leave the column out.",
        ),
        (
            {"fans": 1},
            (
                "fans must be a setting of Oven, but there is no such setting. "
                "The settings are: heat, fan, label, racks."
            ),
        ),
    ],
)
def test_a_wrong_value_is_named(values: dict[str, object], message: str) -> None:
    """The message names the setting, what it can be, and what came."""
    with pytest.raises(ConfigError) as caught:
        Oven(**values)
    assert str(caught.value).endswith(message)


def test_a_copy_is_checked() -> None:
    """A change by `replace` is checked like any other."""
    assert replace(Oven(), heat=3) == Oven(heat=3)
    with pytest.raises(ConfigError, match="heat must be"):
        replace(Oven(), heat=-1)


def test_the_word_none() -> None:
    """The word means None, except where any text can be meant."""
    oven = Oven(fan="none", label="none")

    assert (oven.fan, oven.label) == (None, "none")


def test_what_is_not_resolved_is_named() -> None:
    """Only a number can be used."""
    assert resolved(3) == 3
    with pytest.raises(TypeError, match="must be resolved before it is used; got 'auto'"):
        resolved(Oven().heat)
