"""Kill training runs at random times, resume them, and count the bits that differ.

Every run is resumed after each of up to eight SIGKILLs, until it ends. The sha256 of its final
weights and of metrics.jsonl is compared with the sha256 for an undisturbed run. The kinds of run
are those of tests/train/crash_runs.py: averaging, half precision, halved micro-batches, exact batch
normalization, recomputed activations, worker processes, streams with a state.

    python bench/kills.py [--kills 3000] [--seed 0] [--json FILE]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

SCRIPT = Path(__file__).parents[1] / "tests" / "train" / "crash_runs.py"
SHARES = {
    "plain": 0.26,
    "overfit": 0.10,
    "ema": 0.12,
    "swa": 0.08,
    "bf16": 0.06,
    "fp16": 0.08,
    "auto": 0.08,
    "window": 0.06,
    "recompute": 0.06,
    "stateful": 0.04,
    "shampoo": 0.04,
    "workers": 0.02,
}
"""Share of the kills that each kind of run gets."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    rows = []
    print(
        f"{'kind':<10} {'kills':>6} {'from a checkpoint':>18} {'runs':>5} {'different':>9} {'s':>5}"
    )
    for variant, share in SHARES.items():
        row = strike(variant, max(8, round(args.kills * share)), args.seed)
        rows.append(row)
        print("{kind:<10} {kills:>6} {found:>18} {runs:>5} {different:>9} {s:>5.0f}".format(**row))
    total = {key: sum(row[key] for row in rows) for key in ("kills", "found", "runs", "different")}
    print(
        "{kills} kills, {found} from a checkpoint, {runs} runs, {different} different".format(
            **total
        )
    )
    if args.json:
        args.json.write_text(json.dumps({"rows": rows, "total": total}, indent=1) + "\n")
    sys.exit(1 if total["different"] else 0)


def strike(variant: str, kills: int, seed: int) -> dict:
    """Kill runs of one kind and count."""
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        done = subprocess.run(
            [sys.executable, str(SCRIPT), folder, variant, "random", str(kills), str(seed)],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # workers of killed loaders print errors
            env=os.environ | {"OMP_NUM_THREADS": "1"},
            check=True,
        )
    whole, *runs = map(json.loads, done.stdout.splitlines())
    return {
        "kind": variant,
        "kills": sum(run["kills"] for run in runs),
        "found": sum(step is not None for run in runs for step in run["steps"]),
        "runs": len(runs),
        "different": sum(run["sha256"] != whole["sha256"] for run in runs),
        "s": time.monotonic() - start,
    }


if __name__ == "__main__":
    main()
