"""The files of a run folder, each declared once, for the writer, the reader and the report.

A record is a frozen dataclass. pydantic checks its types and bounds whenever one is created, by
afina or from a file. Nothing here imports torch, pyarrow or numpy. `MANIFEST.json` is not among the
records, because `afina.storage` uses only the standard library, and compares a manifest byte by
byte with its canonical form.
"""

__all__: list[str] = []
