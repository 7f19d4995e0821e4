"""Show that two trees train the same models, bit for bit.

Ten small tables are fitted by the command line, five of them by the estimators too, and twenty
networks are trained by `afina.Trainer`, all from fixed seeds on one thread. The results are recorded
as sha256 digests: every tensor of the weights, metrics.jsonl and the history, the predictions, and the
other files of the run folder without times and paths. Two such records are compared case by case and
item by item. A line per case says what differs; the exit code is 1 if anything differs, or if a
case failed.

    pip install '.[test]'
    python bench/same.py --tree OLD --tree NEW     # runs the code in OLD/src, then that in NEW/src
    python bench/same.py --write old.json          # runs the afina that can be imported
    python bench/same.py old.json --tree NEW       # a record instead of a tree
    python bench/same.py old.json new.json

Files such as schema.json are compared separately from weights, metrics and predictions. If the
format of such a file was meant to change, name it: `--may-differ schema.json`. Digests depend on
the processor and the torch release, so only records of the same machine can be compared.
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

RESULTS = ("weights", "metrics", "predictions")
"""Parts that no refactoring may change. The remaining part is the other files of the run folder."""

Case = Mapping[str, Any]
"""Digests by part and item; for a failed case, the reason."""

Record = dict[str, Any]
"""The machine, and each case by name."""


def all_cases() -> dict[str, Callable[[Path], Case]]:
    """Return the cases by name; each takes an empty folder and returns its digests."""
    from same_tables import ESTIMATORS, TABLES
    from same_trainers import TRAINERS

    kinds = {"table": TABLES, "estimator": ESTIMATORS, "trainer": TRAINERS}
    return {f"{kind} {name}": run for kind, runs in kinds.items() for name, run in runs.items()}


def run_all(only: Sequence[str]) -> Record:
    """Run the cases whose names contain one of the words; without words, all of them."""
    import torch

    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    done: dict[str, Any] = {}
    for name, run in all_cases().items():
        if not chosen(name, only):
            continue
        start = time.monotonic()
        with tempfile.TemporaryDirectory() as folder:
            try:
                done[name] = run(Path(folder))
            except Exception as error:  # noqa: BLE001 - whatever fails in a tree is its result
                lines = str(error).strip().splitlines() or [""]
                done[name] = {"failure": f"{type(error).__name__}: {lines[-1]}"}
        print(f"{name}: {time.monotonic() - start:.1f} s", file=sys.stderr, flush=True)
    return {"environment": environment(), "cases": done}


def chosen(name: str, only: Sequence[str]) -> bool:
    return not only or any(word in name for word in only)


def environment() -> dict[str, str]:
    """Return the conditions, besides the code, on which digests depend."""
    import numpy as np
    import torch

    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "machine": f"{platform.machine()} {torch.backends.cpu.get_cpu_capability()}",
    }


def run_tree(tree: Path, only: Sequence[str]) -> Record:
    """Run the cases with the code of a tree, in a separate process."""
    source = (tree / "src").resolve()
    env = os.environ | {"PYTHONPATH": str(source)}
    ask = "import afina; print(afina.__file__)"
    location = subprocess.run(
        [sys.executable, "-P", "-c", ask], env=env, stdout=subprocess.PIPE, check=True
    )
    if source not in Path(os.fsdecode(location.stdout).strip()).parents:
        raise SystemExit(f"{tree} must contain src/afina, but it does not. Name another tree.")
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "record.json"
        words = [__file__, "--write", str(written), *(["--only", *only] if only else [])]
        subprocess.run([sys.executable, *words], env=env, check=True)
        return read_record(written, only)


def read_record(path: Path, only: Sequence[str]) -> Record:
    """Read the chosen cases from a file that --write wrote."""
    record: Record = json.loads(path.read_bytes())
    cases = {name: case for name, case in record["cases"].items() if chosen(name, only)}
    return record | {"cases": cases}


def compare(old: Record, new: Record, may_differ: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Return each case of either record and how it differs; an empty text means that it does not."""
    for name in old["cases"] | new["cases"]:
        before, after = old["cases"].get(name), new["cases"].get(name)
        said = []
        for side, case in (("old", before), ("new", after)):
            if case is None:
                said.append(f"not in the {side} record")
            elif "failure" in case:
                said.append(f"failed in the {side}: {case['failure']}")
        yield name, "; ".join(said) or differences(before, after, may_differ)


def differences(old: Case, new: Case, may_differ: Sequence[str]) -> str:
    """Return the parts that differ, each with the first few items that do."""
    said = []
    for part in (*RESULTS, "files"):
        before, after = old.get(part, {}), new.get(part, {})
        items = [
            item
            for item in before | after
            if before.get(item) != after.get(item) and item.rpartition("/")[2] not in may_differ
        ]
        if items:
            names = ", ".join([*items[:3], *(["..."] if len(items) > 3 else [])])
            said.append(f"{part}, {len(items)} of {len(before | after)} ({names})")
    if not said:
        return ""
    same = "" if any(text.startswith(RESULTS) for text in said) else "results same; "
    return f"{same}differs: {'; '.join(said)}"


def show(old: Record, new: Record, may_differ: Sequence[str]) -> bool:
    """Print one line per case; return whether all are the same."""
    if old["environment"] != new["environment"]:
        print(f"not run alike: {old['environment']} and {new['environment']}")
    location = dict(compare(old, new, may_differ))
    for name, how in location.items():
        print(f"{name:<26} {how or 'same'}")
    n_same = sum(not how for how in location.values())
    print(f"{n_same} of {len(location)} the same")
    return n_same == len(location) > 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "records", nargs="*", type=Path, help="files that --write wrote, the older first"
    )
    parser.add_argument(
        "--tree", action="append", default=[], type=Path, help="a source tree; the older first"
    )
    parser.add_argument("--write", type=Path, help="run the installed afina and write its record")
    parser.add_argument(
        "--only", nargs="*", default=[], help="only cases whose names contain these words"
    )
    parser.add_argument(
        "--may-differ", nargs="*", default=[], help="files that may differ, such as schema.json"
    )
    args = parser.parse_args()
    if args.write is None and len(args.records) + len(args.tree) != 2:
        parser.error("two are compared, records or trees: name two, or one and --write")
    if args.write is not None and (args.records or args.tree):
        parser.error("--write runs the afina that can be imported: leave out records and trees")
    return args


def main() -> None:
    args = parse()
    if args.write is not None:
        args.write.write_text(json.dumps(run_all(args.only), indent=1) + "\n")
        return
    records = [read_record(path, args.only) for path in args.records]
    old, new = records + [run_tree(tree, args.only) for tree in args.tree]
    sys.exit(0 if show(old, new, args.may_differ) else 1)


if __name__ == "__main__":
    main()
