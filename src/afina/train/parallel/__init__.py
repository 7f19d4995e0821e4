"""One run in several processes: sums over all ranks, sharded parameters."""

__all__: list[str] = []
