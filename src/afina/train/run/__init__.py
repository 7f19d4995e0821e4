"""The files of a run, written and read back: checkpoints, metrics.jsonl, the point of resume."""

__all__: list[str] = []
