"""MANIFEST.json: the name, size and sha256 of every file in a committed folder.

The content of a manifest determines its bytes. A reader encodes the parsed manifest again and
compares the bytes, so that no changed byte goes unnoticed. Because of that check, and because
storage needs only the standard library, this module does not use pydantic.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from afina.storage.bounded_json import read_json

MANIFEST = "MANIFEST.json"
FORMAT = 1
MAX_MANIFEST_BYTES = 1 << 20
MAX_NAME_BYTES = 255


@dataclass(frozen=True)
class Entry:
    """The size and digest of one file.

    Args:
        size: size in bytes.
        sha256: 64 lowercase hexadecimal digits.
    """

    size: int
    sha256: str


def describe(data: bytes | memoryview) -> Entry:
    """Return the size and digest of a file's bytes."""
    return Entry(size=len(data), sha256=hashlib.sha256(data).hexdigest())


def write_manifest(entries: Mapping[str, Entry]) -> bytes:
    """Encode a manifest.

    Example:
        >>> read_manifest(write_manifest({"a.bin": describe(b"abc")}))["a.bin"].size
        3
    """
    files = {name: {"sha256": entry.sha256, "size": entry.size} for name, entry in entries.items()}
    content = {"files": files, "format": FORMAT}
    return json.dumps(content, indent=1, sort_keys=True).encode() + b"\n"


def read_manifest(data: bytes) -> dict[str, Entry]:
    """Decode a manifest without trusting it, in bounded time.

    Raises:
        ValueError: the message is a clause that says what is wrong.
    """
    content = read_json(data, max_bytes=MAX_MANIFEST_BYTES)
    if not isinstance(content, dict):
        content = {}
    format_, files = content.get("format"), content.get("files")
    if type(format_) is int and format_ > FORMAT:
        raise ValueError(
            f"its format is {shown(format_)}, and this version of afina reads only {FORMAT}"
        )
    if format_ != FORMAT or not isinstance(files, dict):
        raise ValueError("it does not have the shape of a manifest")
    entries = {name: _entry(name, entry) for name, entry in files.items()}
    if write_manifest(entries) != data:
        raise ValueError("it is not exactly as afina writes it, so it has been changed")
    return entries


def why_bad_name(name: str) -> str | None:
    """Return what is wrong with a file name inside a committed folder; None if it is valid."""
    if not name or name.startswith("."):
        return "is empty or starts with a dot"
    if any(letter in "/\\" or ord(letter) < 32 for letter in name):
        return "has a separator or a control character"
    if name == MANIFEST:
        return "is reserved for the manifest"
    try:
        length = len(name.encode())
    except UnicodeEncodeError:
        return "cannot be encoded"
    return f"is longer than {MAX_NAME_BYTES} bytes" if length > MAX_NAME_BYTES else None


def shown(value: object) -> str:
    """Return a value from an untrusted file as short, printable ASCII."""
    text = ascii(value) if isinstance(value, str | int | float | None) else type(value).__name__
    return text if len(text) <= 80 else text[:77] + "..."


def _entry(name: str, content: Any) -> Entry:
    if bad := why_bad_name(name):
        raise ValueError(f"the file name {shown(name)} {bad}")
    if not isinstance(content, dict) or set(content) != {"sha256", "size"}:
        raise ValueError(f"its entry for {shown(name)} does not have the shape of an entry")
    size, sha256 = content["size"], content["sha256"]
    if type(size) is not int or not 0 <= size < 2**63:
        raise ValueError(f"the size of {shown(name)} is {shown(size)}")
    if not isinstance(sha256, str) or len(sha256) != 64:
        raise ValueError(f"the sha256 of {shown(name)} is {shown(sha256)}")
    return Entry(size=size, sha256=sha256)
