"""The files of a run folder, each declared once for writer, reader and report.

A record is a frozen dataclass whose types and bounds pydantic checks whenever one is made,
by afina or from a file. Nothing here imports torch, pyarrow or numpy. `MANIFEST.json` is not among
them: `afina.storage` uses the standard library alone, and compares a manifest byte by byte with
what it says.
"""

__all__: list[str] = []
