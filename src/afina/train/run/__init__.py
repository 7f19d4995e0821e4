"""What a run writes to disk and reads back: checkpoints, metrics.jsonl, where to resume."""

__all__: list[str] = []
