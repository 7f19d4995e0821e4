"""One run in several processes: sums over all of them, sharded parameters."""

__all__: list[str] = []
