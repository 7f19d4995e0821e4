"""The names of settings."""

from dataclasses import fields

from afina.config import Config
from afina.config.names import describe_allowed, describe_settings, suggest


def test_names_are_unique_over_sections() -> None:
    """No two sections have a setting of the same name: the estimators take them all flat."""
    names = [field.name for part in fields(Config) for field in fields(part.type)]  # type: ignore[arg-type]

    assert len(set(names)) == len(names)


def test_every_setting_is_described() -> None:
    """Every setting has a sentence and says what it allows."""
    for section, keys in describe_settings().items():
        for key, setting in keys.items():
            assert str(setting["description"]).endswith("."), key
            assert describe_allowed(section, key)


def test_suggestions() -> None:
    """A near miss is named; a far one gets the list."""
    assert suggest("drop_out") == " Did you mean model.dropout?"
    assert suggest("xyzzy", "stop").startswith(" Section [stop] has: patience")
