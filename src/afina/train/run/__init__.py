"""The files of a run, written and read back: checkpoints, metrics.jsonl, the resume point."""

__all__: list[str] = []
