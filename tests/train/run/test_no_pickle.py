"""No pickle in anything a run writes, and no unpickling in anything a resume reads."""

import contextlib
import json
import os
import pickle
import pickletools
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

# A second process resumes the run, and reports what an audit hook saw of pickle.
RESUME = """
import json, sys
import torch
from torch import nn
from afina.train import CheckpointPlan, StepEvent, Trainer

seen = []
sys.addaudithook(lambda event, args: seen.append(event) if event.startswith("pickle") else None)

class CrashError(Exception):
    pass

def die(event):
    if isinstance(event, StepEvent) and event.step == 13:
        raise CrashError

def fit(folder, resume):
    torch.manual_seed(0)
    x = torch.randn(64, 3)
    y = (x.sum(1) > 0).long()
    model = nn.Sequential(nn.Linear(3, 8), nn.BatchNorm1d(8), nn.Dropout(0.1), nn.Linear(8, 2))
    trainer = Trainer(
        model, loss=nn.CrossEntropyLoss(), batch_size=8, max_epochs=4, run_dir=folder,
        observers=[] if resume else [die], averaging="ema",
        checkpoints=CheckpointPlan(every_steps=3, every_minutes=None, keep_last=9),
    )
    return trainer.fit((x[:48], y[:48]), (x[48:], y[48:]), resume=resume)

try:
    fit(sys.argv[1], sys.argv[2] == "resume")
    ended = True
except CrashError:
    ended = False
print(json.dumps({"ended": ended, "seen": seen}))
"""


def pickles_in(data: bytes) -> Iterator[str]:
    """Name what looks like a pickle, or like a file that holds one."""
    for magic, what in ((b"PK\x03\x04", "zip"), (b"\x1f\x8b", "gzip"), (b"\x93NUMPY", "npy")):
        if data.startswith(magic):
            yield what
    for start in starts(data):
        names = []
        with contextlib.suppress(Exception):  # no pickle begins here, whatever it stumbled on
            names = [code.name for code, _, _ in pickletools.genops(data[start:])]
        if len(names) > 2:
            yield f"pickle at {start}: {names[:4]}"


def starts(data: bytes) -> Iterator[int]:
    """Return where a pickle could begin: at the start, behind a length, at any protocol header."""
    yield from {0, 8}
    for protocol in range(2, 6):
        header = bytes([0x80, protocol])
        at = data.find(header)
        while at >= 0:
            yield at
            at = data.find(header, at + 1)


def process(folder: Path, what: str) -> dict[str, object]:
    """Train in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", RESUME, str(folder), what],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def test_a_run_writes_no_pickle_and_its_resume_reads_none(tmp_path: Path) -> None:
    """Of a run that dies and is resumed: no file is or holds a pickle, and none is ever read."""
    first = process(tmp_path / "run", "start")
    files = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]
    found = {path.name: list(pickles_in(path.read_bytes())) for path in files}
    second = process(tmp_path / "run", "resume")
    after = [path for path in (tmp_path / "run").rglob("*") if path.is_file()]

    assert (first["ended"], second["ended"]) == (False, True)
    assert len(files) >= 4 * 5
    assert {} == {name: what for name, what in found.items() if what}
    assert {} == {p.name: what for p in after if (what := list(pickles_in(p.read_bytes())))}
    assert second["seen"] == []


@pytest.mark.parametrize("protocol", range(6))
def test_the_search_catches_a_pickle(tmp_path: Path, protocol: int) -> None:
    """Seeded fault: a pickle of any protocol, alone, behind a length or inside, and torch.save."""
    data = pickle.dumps({"w": [1.0, 2.0]}, protocol=protocol)
    torch.save({"w": torch.ones(2)}, tmp_path / "w.pt")

    assert list(pickles_in(data)) != []
    assert list(pickles_in(len(data).to_bytes(8, "little") + data)) != []
    assert protocol < 2 or list(pickles_in(b"{" * 100 + data)) != []
    assert "zip" in pickles_in((tmp_path / "w.pt").read_bytes())
