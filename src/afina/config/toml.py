"""Settings to and from TOML text."""

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import tomli_w
from pydantic import TypeAdapter, ValidationError

from afina.config.names import allows_text, describe_allowed, is_optional, suggest
from afina.config.presets import preset_sections
from afina.config.sections import Config
from afina.errors import ConfigError

_ADAPTER = TypeAdapter(Config)
Sections = dict[str, dict[str, Any]]


def read_config(path: Path | str, preset: str | None = None) -> Config:
    """Read settings from a TOML file; what the file leaves out is as its preset has it.

    Args:
        path: the file; besides sections it may have the line `preset = "best"`, first.
        preset: wins over that line.

    Raises:
        ConfigError: no such file, not TOML, or a setting that does not exist or cannot be.
    """
    path = Path(path)
    text = _read_text(path)
    try:
        parsed = tomllib.loads(text)
    except tomllib.TOMLDecodeError as err:
        raise ConfigError(f"A settings file must be TOML, however, in {path}: {err}.") from err
    named = parsed.pop("preset", "default")
    for section, values in parsed.items():
        _check_section(section, values, path)
        for key in values:
            _check_key(section, key, path)
    values = preset_sections(str(named) if preset is None else preset)
    for section, own in _without_none(parsed).items():
        values[section] = values.get(section, {}) | own
    return _make_config(values, path)


def preset_config(name: str) -> Config:
    """Return all settings of a preset.

    Raises:
        ConfigError: no such preset.
    """
    return _make_config(preset_sections(name))


def apply_settings(config: Config, settings: Sequence[str]) -> Config:
    """Change settings by lines of the form `section.key=value`; a later one wins.

    The value is TOML (`0.1`, `true`, `["a", "b"]`); anything else is taken as text, so that
    `train.optimizer=sgd` needs no quotes. `none` unsets what can be unset. The settings that go
    by column take the column's name as third part: `table.kinds.zip=categorical`.

    Raises:
        ConfigError: a setting that does not exist or a value that it cannot have.

    Example:
        >>> from afina.config import Config
        >>> apply_settings(Config(), ["train.lr=1e-2", "stop.patience=none"]).train.lr
        0.01
    """
    values = to_dict(config)
    for setting in settings:
        name, equals, text = setting.partition("=")
        section, dot, key = name.strip().partition(".")
        if not equals or not dot:
            raise ConfigError(
                f"A setting must look like section.key=value, however: {setting!r}."
                + ("" if dot else suggest(name.strip()))
            )
        key, _, column = key.partition(".")
        _check_key(section, key)
        if isinstance(values[section][key], dict) and column:
            values[section][key][column] = _parse_value(text)
        elif column:
            raise ConfigError(f"{section}.{key} has no parts, however: {name.strip()!r} was set.")
        elif text.strip() == "none" and is_optional(section, key):
            values[section][key] = None
        else:
            value = _parse_value(text)
            takes_text = allows_text(section, key) and not isinstance(value, str)
            values[section][key] = text if takes_text else value
    return _make_config(values)


def to_toml(config: Config) -> str:
    """Write every setting as TOML text that `read_config` reads back equal.

    TOML has no word for "not set": such a setting stands as a comment where that is the default,
    and as `"none"` where the default is a value.
    """
    defaults = to_dict(Config())
    lines: list[str] = []
    for section, values in to_dict(config).items():
        lines.append(f"[{section}]")
        for key, value in values.items():
            if isinstance(value, dict):
                continue  # a table of its own, after the plain settings of the section
            if value is None and defaults[section][key] is None:
                lines.append(f"# {key} is not set")
            else:
                lines.append(tomli_w.dumps({key: "none" if value is None else value}).strip())
        for key, value in values.items():
            if isinstance(value, dict) and value:
                lines += ["", tomli_w.dumps({section: {key: value}}).strip()]
        lines.append("")
    return "\n".join(lines)


def to_dict(config: Config) -> Sections:
    """Return the settings as plain values: section, then key."""
    return {field.name: asdict(getattr(config, field.name)) for field in fields(config)}


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError as err:
        raise ConfigError(f"The settings file must exist, however: there is no {path}.") from err
    except UnicodeDecodeError as err:
        raise ConfigError(f"A settings file must be UTF-8 text, however: {path} is not.") from err
    except OSError as err:
        raise ConfigError(f"The settings file {path} cannot be read: {err.strerror}.") from err


def _parse_value(text: str) -> Any:
    """Take the value as TOML, as a number such as `.5`, or else as text."""
    try:
        return tomllib.loads(f"value = {text}\n")["value"]
    except (tomllib.TOMLDecodeError, KeyError):
        pass
    try:
        return float(text) if text.strip()[:1] in "+-.0123456789" else text
    except ValueError:
        return text


def _check_section(section: str, values: object, source: Path) -> None:
    if section not in {field.name for field in fields(Config)}:
        raise ConfigError(f"There is no section [{section}] in {source}.{suggest(section)}")
    if not isinstance(values, dict):
        raise ConfigError(
            f"{section!r} must be a section with settings below it ([{section}]), "
            f"however, in {source}: {section} = {values!r}."
        )


def _check_key(section: str, key: str, source: Path | None = None) -> None:
    known = {field.name: {f.name for f in fields(field.type)} for field in fields(Config)}  # type: ignore[arg-type] # every section is a dataclass
    if section not in known or key not in known[section]:
        raise ConfigError(
            f"There is no setting {section}.{key}{_in(source)}.{suggest(key, section)}"
        )


def _without_none(parsed: Mapping[str, Mapping[str, Any]]) -> Sections:
    """Turn the word "none" into None where None is possible and text is not."""
    return {
        section: {
            key: None
            if value == "none" and is_optional(section, key) and not allows_text(section, key)
            else value
            for key, value in values.items()
        }
        for section, values in parsed.items()
    }


def _make_config(values: Sections, source: Path | None = None) -> Config:
    try:
        # Through JSON, since only there does pydantic take lists for tuples and still refuse
        # "3" or 3.0 for 3.
        return _ADAPTER.validate_json(json.dumps(values, default=str), strict=True)
    except ValidationError as err:
        problem = err.errors()[0]
        section, key, *column = [str(part) for part in problem["loc"]]
        value = values[section][key]
        name = f"{section}.{key}"
        if isinstance(value, dict) and column:
            name, value = f"{name}.{column[0]}", value.get(column[0], value)
        allowed = describe_allowed(section, key, part=value is not values[section][key])
        raise ConfigError(
            f"{name} must be {allowed}, however{_in(source)}: {json.dumps(value, default=str)}."
        ) from err


def _in(source: Path | None) -> str:
    return f", in {source}" if source else ""
