"""Find the place of each setting in a file, and the setting that a misspelled name may mean."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields, replace
from difflib import get_close_matches
from functools import cache
from typing import Any, TypeVar

from afina.config.sections import Config
from afina.declaration import Declaration, declarations, describe_allowed, schema_of_parts

EXPERIMENTAL = "experimental"

T = TypeVar("T")
Sections = dict[str, dict[str, Any]]


@dataclass(frozen=True)
class Place:
    """Where a setting belongs in a file.

    Args:
        attribute: the field of `Config` that holds the setting.
        declared: the setting; if some of its choices are experimental, the choices that belong
            here.
    """

    attribute: str
    declared: Declaration


@cache
def places() -> Mapping[str, Mapping[str, Place]]:
    """Return every setting of a file by section and key, in the order in which they are written."""
    sections: dict[str, dict[str, Place]] = {field.name: {} for field in fields(Config)}
    sections[EXPERIMENTAL] = {}
    for field in fields(Config):
        for key, declared in declarations(Config.__annotations__[field.name]).items():
            setting = declared.setting
            if setting.scope == "trainer":
                continue
            section = EXPERIMENTAL if setting.experimental else field.name
            if setting.experimental_choices:
                sections[EXPERIMENTAL][key] = Place(field.name, _experimental_part(declared))
                declared = _plain_part(declared)  # noqa: PLW2901 - the other choices
            sections[section][key] = Place(field.name, declared)
    return sections


def to_sections(config: Config) -> Sections:
    """Return the settings as plain values, by section and key."""
    values: Sections = {section: {} for section in places()}
    for section, key, place in each_setting(places()):
        value = getattr(getattr(config, place.attribute), key)
        choices = place.declared.setting.experimental_choices
        if choices and (value in choices) != (section == EXPERIMENTAL):
            value = None  # it is in the other section
        values[section][key] = value
    return values


def each_setting(sections: Mapping[str, Mapping[str, T]]) -> Iterator[tuple[str, str, T]]:
    """Iterate over section, key and value of all settings."""
    return (
        (section, key, value) for section, keys in sections.items() for key, value in keys.items()
    )


def by_attribute(values: Mapping[str, Mapping[str, Any]]) -> Sections:
    """Group values by the attribute of `Config` that holds them; the inverse of `to_sections`."""
    settings_of: Sections = {field.name: {} for field in fields(Config)}
    for section, key, value in each_setting(values):
        place = places()[section][key]
        if value is not None or not place.declared.setting.experimental_choices:
            settings_of[place.attribute][key] = value
    return settings_of


def where_now(section: str, key: str, value: object = None) -> str | None:
    """Return the new full name of a setting that moved to `[experimental]`; None for any other."""
    experimental = places()[EXPERIMENTAL].get(key)
    if experimental is None or experimental.attribute != section:
        return None
    choices = experimental.declared.setting.experimental_choices
    return f"{EXPERIMENTAL}.{key}" if not choices or value in choices else None


def section_of(key: str) -> str:
    """Return the section that a setting belongs to.

    Example:
        >>> section_of("lr"), section_of("frequency_sigma")
        ('train', 'experimental')
    """
    return next(section for section, keys in places().items() if key in keys)


def describe_place(section: str, key: str, *, part: bool = False) -> str:
    """Describe the values that a setting allows.

    Args:
        section: name of the section.
        key: name of the setting.
        part: describe a single value, if the setting has one for each column.

    Example:
        >>> describe_place("train", "batch_size")
        'a whole number, at least 1, or "auto"'
    """
    schema = places()[section][key].declared.schema
    return describe_allowed(schema_of_parts(schema)[0] if part else schema)


def suggest(name: str, section: str = "") -> str | None:
    """Return a sentence that lists the settings that a wrong name may mean, or all settings.

    Example:
        >>> suggest("lr")
        'Did you mean train.lr?'
    """
    settings = places()
    by_key = {key: f"{section_of(key)}.{key}" for keys in settings.values() for key in keys}
    bare = name.rpartition(".")[2].lower()
    near = [by_key[key] for key in get_close_matches(bare, by_key, n=3, cutoff=0.7)]
    if bare in by_key:
        near = [by_key[bare]]
    elif not section and get_close_matches(name, settings, n=1):
        near = [f"[{part}]" for part in get_close_matches(name, settings, n=1)]
    elif not near and len(bare) > 1:
        near = [full for key, full in by_key.items() if bare in key.split("_")][:3]
        near = near or [full for full in by_key.values() if _opens_with(full, bare)]
    if near:
        return f"Did you mean {' or '.join(near)}?"
    if section in settings:
        return f"Section [{section}] has: {', '.join(settings[section])}."
    return f"The sections are: {', '.join(settings)}."


def _plain_part(declared: Declaration) -> Declaration:
    experimental = declared.setting.experimental_choices
    left = [word for word in declared.schema["enum"] if word not in experimental]
    return replace(declared, schema={**declared.schema, "enum": left})


def _experimental_part(declared: Declaration) -> Declaration:
    choices = {"enum": list(declared.setting.experimental_choices), "type": "string"}
    return replace(declared, schema={"anyOf": [choices, {"type": "null"}]}, default=None)


def _opens_with(full: str, words: str) -> bool:
    """Return whether a setting's description begins with these words: "learning_rate" means lr."""
    section, _, key = full.partition(".")
    return places()[section][key].declared.doc.lower().startswith(words.replace("_", " "))
