"""The names of all settings: what each allows, and which one a misspelled name may mean."""

from dataclasses import fields
from difflib import get_close_matches
from functools import cache
from typing import Any

from pydantic import TypeAdapter

from afina.config.sections import Config

Described = dict[str, dict[str, dict[str, Any]]]


@cache
def describe_settings() -> Described:
    """Return the JSON schema of every setting, by section and key, with description and default."""
    schema = TypeAdapter(Config).json_schema()
    return {
        field.name: schema["$defs"][field.type.__name__]["properties"]  # type: ignore[union-attr] # every section is a class
        for field in fields(Config)
    }


def is_optional(section: str, key: str) -> bool:
    """Tell whether a setting can be unset."""
    return "null" in _types(section, key)


def allows_text(section: str, key: str) -> bool:
    """Tell whether a setting can be any text, so that "none" could be meant literally."""
    return "string" in _types(section, key)


def describe_allowed(section: str, key: str, *, part: bool = False) -> str:
    """Say in words what a setting allows.

    Args:
        section: name of the section.
        key: name of the setting.
        part: describe one value of a setting that goes by column.

    Example:
        >>> describe_allowed("train", "batch_size")
        'a whole number, at least 1, or "auto"'
    """
    schema = describe_settings()[section][key]
    return _words(schema["additionalProperties"] if part else schema)


def suggest(name: str, section: str = "") -> str:
    """Return a sentence with the settings that a wrong name may mean, or nothing.

    Example:
        >>> suggest("lr")
        ' Did you mean train.lr?'
    """
    settings = describe_settings()
    by_key = {key: f"{part}.{key}" for part, keys in settings.items() for key in keys}
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
        return f" Did you mean {' or '.join(near)}?"
    if section in settings:
        return f" Section [{section}] has: {', '.join(settings[section])}."
    return f" The sections are: {', '.join(settings)}."


def _types(section: str, key: str) -> set[str]:
    schema = describe_settings()[section][key]
    parts = schema.get("anyOf", [schema])
    return {part.get("type", "") for part in parts if not {"enum", "const"} & part.keys()}


def _opens_with(full: str, words: str) -> bool:
    """Tell whether a setting's description begins with these words: "learning_rate" is lr."""
    section, _, key = full.partition(".")
    description = str(describe_settings()[section][key].get("description", ""))
    return description.lower().startswith(words.replace("_", " "))


def _words(schema: dict[str, Any]) -> str:
    if "anyOf" in schema:
        return ", or ".join(_words(part) for part in schema["anyOf"])
    if "enum" in schema:
        return "one of " + ", ".join(f'"{value}"' for value in schema["enum"])
    if "const" in schema:
        return f'"{schema["const"]}"'
    match schema.get("type"):
        case "null":
            return '"none"'
        case "boolean":
            return "true or false"
        case "array":
            return 'a list such as ["NA", "?"]'
        case "object":
            return f"a table of columns, each {_words(schema['additionalProperties'])}"
        case "integer":
            return "a whole number" + _bounds(schema)
        case "number":
            return "a number" + _bounds(schema)
        case _:
            return "text"


def _bounds(schema: dict[str, Any]) -> str:
    phrases = (
        ("minimum", "at least"),
        ("exclusiveMinimum", "above"),
        ("maximum", "at most"),
        ("exclusiveMaximum", "below"),
    )
    parts = [f"{phrase} {_short(schema[name])}" for name, phrase in phrases if name in schema]
    return (", " + " and ".join(parts)) if parts else ""


def _short(bound: float) -> str:
    return "2^63" if bound == 2**63 else f"{bound:g}"
