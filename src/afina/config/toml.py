"""Read settings from TOML text, and write them."""

import contextlib
import json
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import TypeAdapter, ValidationError

from afina.config.names import (
    EXPERIMENTAL,
    Sections,
    by_attribute,
    describe_place,
    each_setting,
    places,
    suggest,
    to_sections,
    where_now,
)
from afina.config.presets import preset_sections
from afina.config.sections import Config
from afina.declaration import schema_of_parts, suggest_choice
from afina.errors import ConfigError

_ADAPTER = TypeAdapter(Config)


def read_config(path: Path | str, preset: str | None = None, *, former: bool = False) -> Config:
    """Read settings from a TOML file; the preset provides the settings that the file omits.

    Args:
        path: the file; a line such as `preset = "best"` may precede its sections.
        preset: name of a preset, which overrides that line.
        former: also accept settings in the sections where they were before they moved to
            `[experimental]`, as in older run folders.

    Raises:
        ConfigError: the file does not exist, is not TOML, or has an unknown setting or an invalid
            value.
    """
    path = Path(path)
    try:
        parsed = tomllib.loads(_read_text(path))
    except tomllib.TOMLDecodeError as err:
        raise ConfigError(
            "A settings file must be TOML", got=f"{path}: {err}", fix="Correct the line."
        ) from err
    named = parsed.pop("preset", "default")
    for section, keys in parsed.items():
        _check_section(section, keys, path)
    if former:
        parsed = _moved(parsed)
    values = preset_sections(str(named) if preset is None else preset)
    for section, key, value in each_setting(parsed):
        _check_key(section, key, value, path)
        is_none = value == "none" and _can_be_none(section, key)
        values.setdefault(section, {})[key] = None if is_none else value
    return _make_config(values, path)


def preset_config(name: str) -> Config:
    """Return all settings of a preset.

    Raises:
        ConfigError: there is no such preset.
    """
    return _make_config(preset_sections(name))


def apply_settings(config: Config, settings: Sequence[str]) -> Config:
    """Apply lines of the form `section.key=value` to the settings; the last one for a key counts.

    The value is TOML (`0.1`, `true`, `["a", "b"]`); anything else is read as text, so
    `train.optimizer=sgd` needs no quotes. `none` unsets a setting that can be unset. If a setting
    has a value for each column, the column's name is the third part: `table.kinds.zip=categorical`.

    Raises:
        ConfigError: a setting does not exist, or has an invalid value.

    Example:
        >>> from afina.config import Config
        >>> apply_settings(Config(), ["train.lr=1e-2", "stop.patience=none"]).train.lr
        0.01
    """
    values = to_sections(config)
    for setting in settings:
        name, equals, text = setting.partition("=")
        section, dot, rest = name.strip().partition(".")
        if not equals or not dot:
            raise ConfigError(
                "A setting must have the form section.key=value",
                got=repr(setting),
                fix=None if dot else suggest(section),
            )
        key, _, column = rest.partition(".")
        _check_key(section, key, text.strip())
        if not column:
            values[section][key] = _parse(section, key, text)
        elif isinstance(values[section][key], dict) or _can_be_table(section, key):
            parts = values[section][key]
            parts = parts if isinstance(parts, dict) else {}
            values[section][key] = parts | {column: _parse_toml(text)}
        else:
            raise ConfigError(
                f"{section}.{key} must be set as a whole",
                got=f"the part {name.strip()!r}",
                fix=f"Write {section}.{key}=VALUE.",
            )
        if section != EXPERIMENTAL and key in values[EXPERIMENTAL]:
            values[EXPERIMENTAL][key] = None  # the new value replaces it
    return _make_config(values)


def change_settings(config: Config, changes: Mapping[str, Any]) -> Config:
    """Return the settings with some values changed, by full name, such as `{"train.seed": 3}`.

    Raises:
        ConfigError: a setting has an invalid value.
    """
    values = to_sections(config)
    for name, value in changes.items():
        section, _, key = name.partition(".")
        values[section][key] = None if value == "none" and _can_be_none(section, key) else value
    return _make_config(values)


def to_toml(config: Config) -> str:
    """Return every setting as TOML text, which `read_config` reads back to equal settings.

    TOML has no word for "not set": a setting that is not set becomes a comment if that is its
    default, and `"none"` otherwise.
    """
    defaults = to_sections(Config())
    lines: list[str] = []
    for section, values in to_sections(config).items():
        lines.append(f"[{section}]")
        tables = {key: value for key, value in values.items() if isinstance(value, dict)}
        for key, value in values.items():
            if value is None and (defaults[section][key] is None or not _can_be_none(section, key)):
                lines.append(f"# {key} is not set")
            elif key not in tables:
                lines.append(tomli_w.dumps({key: "none" if value is None else value}).strip())
        for key, value in tables.items():  # in a separate table, after the section's plain settings
            lines += ["", tomli_w.dumps({section: {key: value}}).strip()] if value else []
        lines.append("")
    return "\n".join(lines)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as err:
        raise ConfigError(
            "The settings file must exist", but=f"there is no {path}", fix="Correct the path."
        ) from err
    except UnicodeDecodeError as err:
        raise ConfigError(
            "A settings file must be UTF-8 text", but=f"{path} is not", fix="Save it as UTF-8."
        ) from err
    except OSError as err:
        raise ConfigError(
            "The settings file must be readable",
            but=f"{path} cannot be read ({err.strerror})",
            fix="Choose another file.",
        ) from err


def _parse(section: str, key: str, text: str) -> Any:
    """Parse the value of a line; free text stays unchanged."""
    declared = places()[section][key].declared
    if text.strip() == "none" and declared.optional:
        return None
    if key == "delimiter" and text == r"\t":  # a shell has removed the quotes
        return "\t"
    value = _parse_toml(text)
    return text if declared.takes_text and not isinstance(value, str) else value


def _parse_toml(text: str) -> Any:
    """Parse a value as TOML, as a number such as `.5`, or otherwise as text."""
    with contextlib.suppress(tomllib.TOMLDecodeError, KeyError):
        return tomllib.loads(f"value = {text}\n")["value"]
    try:
        return float(text) if text.strip()[:1] in "+-.0123456789" else text
    except ValueError:
        return text


def _check_section(section: str, keys: object, source: Path) -> None:
    if section not in places():
        raise ConfigError(f"There is no section [{section}] in {source}", fix=suggest(section))
    if not isinstance(keys, dict):
        raise ConfigError(
            f"{source}: {section!r} must be a section with settings below it ([{section}])",
            got=f"{section} = {keys!r}",
            fix=suggest(section) or "Put the setting into its section.",
        )


def _check_key(section: str, key: str, value: object, source: Path | None = None) -> None:
    name = f"{section}.{key}"
    new_name = where_now(section, key, value)
    if new_name is not None:
        what = name if key not in places()[section] else f"{name} = {value}"
        raise ConfigError(f"{_in(source)}{what} is now {new_name}", fix=f"Write {new_name}.")
    if section not in places() or key not in places()[section]:
        raise ConfigError(f"{_in(source)}There is no setting {name}", fix=suggest(key, section))


def _moved(parsed: Sections) -> Sections:
    """Move settings from their former sections to `[experimental]`."""
    moved: Sections = {section: {} for section in (*parsed, EXPERIMENTAL)}
    for section, key, value in each_setting(parsed):
        new_name = where_now(section, key, value)
        moved[section if new_name is None else EXPERIMENTAL][key] = value
    return moved


def _can_be_table(section: str, key: str) -> bool:
    schema = places()[section][key].declared.schema
    return any("additionalProperties" in part for part in schema.get("anyOf", [schema]))


def _can_be_none(section: str, key: str) -> bool:
    """Return whether "none" means None: the setting can be unset, and is not free text."""
    declared = places()[section][key].declared
    return declared.optional and not declared.takes_text


def _make_config(values: Sections, source: Path | None = None) -> Config:
    try:
        # Through JSON: only then does pydantic accept lists for tuples, and still reject "3" or 3.0
        # for 3.
        return _ADAPTER.validate_json(json.dumps(by_attribute(values), default=str), strict=True)
    except ValidationError as err:
        attribute, key, *column = [str(part) for part in err.errors()[0]["loc"]]
        section = next(
            section
            for section, keys in values.items()
            if keys.get(key) is not None and places()[section][key].attribute == attribute
        )
        value = values[section][key]
        name = f"{section}.{key}"
        part = isinstance(value, dict) and bool(column)
        declared = places()[section][key].declared
        choices = declared.choices
        if part:
            name, value = f"{name}.{column[-1]}", value.get(column[-1], value)
            choices = schema_of_parts(declared.schema)[0].get("enum", ())
        hint = suggest_choice(value, choices) if isinstance(value, str) else ""
        raise ConfigError(
            f"{_in(source)}{name} must be {describe_place(section, key, part=part)}",
            got=json.dumps(value, default=str),
            fix=hint or "Correct it, or leave it out for the default.",
        ) from err


def _in(source: Path | None) -> str:
    return f"{source}: " if source else ""
