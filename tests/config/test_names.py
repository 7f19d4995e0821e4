"""The names of settings."""

from dataclasses import fields

from afina.config import Config
from afina.config.names import by_attribute, describe_place, places, suggest, to_sections


def test_names_are_unique_over_sections() -> None:
    """No two sections have a setting of the same name: the estimators take them all flat."""
    names = [field.name for part in fields(Config) for field in fields(part.type)]  # type: ignore[arg-type]

    assert len(set(names)) == len(names)


def test_every_setting_is_described() -> None:
    """Every setting has a sentence and says what it allows."""
    for section, keys in places().items():
        for key, place in keys.items():
            assert place.declared.doc.endswith("."), key
            assert describe_place(section, key)


def test_sections_hold_every_setting() -> None:
    """Sorted into sections and back, all settings of a fit are there."""
    values = by_attribute(to_sections(Config()))

    for attribute, keys in values.items():
        for key, value in keys.items():
            assert getattr(getattr(Config(), attribute), key) == value


def test_suggestions() -> None:
    """A near miss is named; a far one gets the list."""
    assert suggest("drop_out") == "Did you mean model.dropout?"
    assert suggest("xyzzy", "stop").startswith("Section [stop] has: patience")
