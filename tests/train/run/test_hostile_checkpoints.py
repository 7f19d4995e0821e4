"""Whatever somebody puts in a checkpoint's place is refused, fast, and runs nothing."""

import gzip
import io
import json
import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from afina.storage import MANIFEST
from afina.storage.manifest import Entry, describe, write_manifest
from afina.train import CheckpointPlan
from afina.train.run.checkpoint import Keeper
from afina.train.settings import StopSettings
from afina.train.state import TrainState
from afina.train.stopping import Stopping

READER = str(Path(__file__).with_name("hostile_reader.py"))
STATE, MODEL = "state.json", "model.safetensors"
Files = dict[str, bytes]


class Payload:
    """Unpickled, it leaves a file behind."""

    def __init__(self, proof: Path) -> None:
        self.proof = proof

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {self.proof}",)


def good_files(folder: Path) -> Files:
    """Save a small checkpoint; give its files."""
    keeper = Keeper(folder, CheckpointPlan(), higher_is_better=False)
    state = TrainState(Stopping(StopSettings(patience=None)), step=1)
    trees = {"model": {"w": torch.ones(4)}, "optimizer": {"state": {}}}
    extra = {"position": None, "metrics_bytes": 0, "conditions": {}, "settings": {}}
    path = keeper.save(state, trees, extra, None)
    keeper.wait()
    return {p.name: p.read_bytes() for p in path.iterdir() if p.name != MANIFEST}


def put(folder: Path, files: Files, manifest: bytes | None = None) -> None:
    """Write a checkpoint whose checksums are right: whoever wrote it can compute them."""
    folder.mkdir(parents=True)
    for name, data in files.items():
        (folder / name).write_bytes(data)
    entries = {name: describe(data) for name, data in files.items()}
    (folder / MANIFEST).write_bytes(write_manifest(entries) if manifest is None else manifest)


def tensors_file(header: object, data: bytes = b"") -> bytes:
    """Build a safetensors file around a header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + data


def entry(dtype: object, shape: list[Any], start: int, stop: int) -> dict[str, object]:
    """Describe one tensor, right or wrong."""
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


def torch_saved(payload: Payload) -> bytes:
    """Make what `torch.save` writes."""
    buffer = io.BytesIO()
    torch.save({"w": payload}, buffer)
    return buffer.getvalue()


def deflate_bomb() -> bytes:
    """Make a zip file of 1 MB that holds 1 GB."""
    buffer = io.BytesIO()
    with (
        zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as file,
        file.open("archive/data.pkl", "w") as inside,
    ):
        for _ in range(64):
            inside.write(bytes(2**24))
    return buffer.getvalue()


def million_tensors() -> bytes:
    """Make a file of a million empty tensors."""
    one = json.dumps(entry("F32", [0], 0, 0))
    return tensors_file(("{" + ",".join(f'"{i}":{one}' for i in range(1_000_000)) + "}").encode())


def state_with(files: Files, **changed: object) -> bytes:
    """Change what state.json says."""
    return json.dumps({**json.loads(files[STATE]), **changed}).encode()


def contents(files: Files, payload: Payload) -> dict[str, Files]:
    """Return files that are not what they should be."""
    twice = b'{"a":%s,"a":%s}' % ((json.dumps(entry("F32", [1], 0, 4)).encode(),) * 2)
    w = {"state.w": entry("F32", [4], 0, 16)}
    big = bytes(60_000_000)
    replaced = {
        "pickle as json": {STATE: pickle.dumps(payload)},
        "old pickle as json": {STATE: pickle.dumps(payload, protocol=0)},
        "pickle as tensors": {MODEL: pickle.dumps(payload)},
        "pickle behind a length": {MODEL: tensors_file(pickle.dumps(payload))},
        "torch.save as tensors": {MODEL: torch_saved(payload)},
        "deflate bomb": {MODEL: deflate_bomb()},
        "gzip bomb as json": {STATE: gzip.compress(bytes(100_000_000), 1)},
        "header of 98 MB": {MODEL: tensors_file(b" " * 98_000_000)},
        "a million tensors": {MODEL: million_tensors()},
        "header of small tables": {MODEL: tensors_file(b'{"a":[' + b"{}," * 1_100_000 + b"0]}")},
        "json of 50 MB": {STATE: b"[" + b"0," * 25_000_000 + b"0]"},
        "json of small tables": {STATE: b"[" + b"{}," * 1_100_000 + b"0]"},
        "deep json": {STATE: b'{"a":' * 500_000},
        "deep header": {MODEL: tensors_file(b"[" * 500_000)},
        "deep state": {
            STATE: state_with(files, trees={"model": json.loads("[" * 500 + "]" * 500)})
        },
        "huge shape": {MODEL: tensors_file({"state.w": entry("F32", [2**40], 0, 2**42)})},
        "shape overflows": {
            MODEL: tensors_file({"state.w": entry("F32", [2**32, 2**32, 4], 0, 0)})
        },
        "huge empty shape": {
            MODEL: tensors_file({"state.w": entry("F32", [0, 2**59, 2**59], 0, 0)})
        },
        "name twice": {MODEL: tensors_file(twice, bytes(4))},
        "dtype of another size": {
            MODEL: tensors_file({"state.w": entry("F64", [4], 0, 16)}, bytes(16))
        },
        "dtype of code": {MODEL: tensors_file({"state.w": entry("O", [4], 0, 16)}, bytes(16))},
        "offsets overlap": {MODEL: tensors_file({**w, "x": entry("U8", [16], 0, 16)}, bytes(16))},
        "a tensor nobody asked for": {
            MODEL: tensors_file(
                {**w, "x": entry("U8", [len(big)], 16, 16 + len(big))}, b"0" * 16 + big
            )
        },
        "booleans that are not": {
            MODEL: tensors_file(
                {"state.w": entry("BOOL", [len(big) + 1], 0, len(big) + 1)}, big + b"\x02"
            )
        },
        "a tensor is missing": {MODEL: tensors_file({})},
        "a tree of another folder": {STATE: state_with(files, trees={"../../secret": None})},
        "trees are a list": {STATE: state_with(files, trees=[1])},
        "state is a number": {STATE: state_with(files, state=5)},
        "metrics are endless": {STATE: state_with(files, metrics_bytes=-1)},
        "a later format": {STATE: state_with(files, format=99)},
        "json is a list": {STATE: b"[]"},
        "json is empty": {STATE: b""},
    }
    return {kind: {**files, **change} for kind, change in replaced.items()}


def manifests(files: Files, payload: Payload) -> dict[str, bytes]:
    """Return manifests that ask for what must not be done."""
    entries = {name: describe(data) for name, data in files.items()}
    other = Entry(0, describe(b"").sha256)
    return {
        "manifest is a pickle": pickle.dumps(payload),
        "manifest is deep": b'{"files":' * 100_000,
        "manifest of 50 MB": b" " * 50_000_000,
        "manifest names a parent": write_manifest({**entries, "../secret": other}),
        "manifest names a path": write_manifest({**entries, "/etc/hostname": other}),
        "manifest names itself": write_manifest({**entries, MANIFEST: other}),
        "manifest has a name twice": write_manifest(entries).replace(
            b'"optimizer.safetensors"', b'"model.safetensors"'
        ),
        "manifest names a file that is not there": write_manifest({**entries, "more": other}),
        "manifest of a huge file": write_manifest({**entries, MODEL: Entry(2**62, other.sha256)}),
    }


def link_outside(path: Path) -> None:
    """Make a link to a file outside."""
    path.symlink_to("/etc/hostname")


def link_endless(path: Path) -> None:
    """Make a link to a device that never ends."""
    path.symlink_to("/dev/zero")


def make_device(path: Path) -> None:
    """Make a device that never ends, or a link to it where that is not allowed."""
    try:
        os.mknod(path, 0o20666, os.makedev(1, 5))
    except OSError:
        link_endless(path)


def make_sparse(path: Path) -> None:
    """Make a file of 8 TB that takes no room."""
    path.touch()
    os.truncate(path, 2**43)


PLACES: dict[str, Callable[[Path], None]] = {
    "link": link_outside,
    "endless link": link_endless,
    "pipe": os.mkfifo,
    "device": make_device,
    "folder": Path.mkdir,
    "sparse file": make_sparse,
}


def build(folder: Path, proof: Path) -> dict[str, Path]:
    """Build every hostile checkpoint; give their paths by kind."""
    files, payload = good_files(folder / "good"), Payload(proof)
    paths = {}

    def place(kind: str) -> Path:
        paths[kind] = folder / kind.replace(" ", "-").replace("/", "-") / "step-00000001"
        return paths[kind]

    for kind, changed in contents(files, payload).items():
        put(place(kind), changed)
    for kind, manifest in manifests(files, payload).items():
        put(place(kind), files, manifest)
    for kind, make in PLACES.items():
        for name in (MODEL, STATE, MANIFEST):
            path = place(f"{name} is a {kind}")
            put(path, files)
            (path / name).unlink()
            make(path / name)
    path = place("the folder is a link")
    path.parent.mkdir()
    path.symlink_to(folder / "good" / "step-00000001")
    path = place("a link to a folder inside")
    put(path, files)
    (path / "more").symlink_to("/")
    return paths


def run(folder: Path, paths: list[Path], *options: str) -> list[dict[str, Any]]:
    """Read checkpoints in a process that is watched; give what came of each."""
    done = subprocess.run(
        [sys.executable, READER, str(folder / "good" / "step-00000001"), *options],
        input="".join(f"{path}\n" for path in paths),
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def snapshot_of(folder: Path) -> set[tuple[str, int]]:
    """List everything below a folder, with sizes."""
    return {(str(p), p.lstat().st_size) for p in folder.rglob("*")}


def test_every_hostile_checkpoint_is_refused(tmp_path: Path) -> None:
    """CheckpointError naming the path, in bounded processor time and twice the size and 64 MB.

    The time is bounded by that of honest work on the same machine, see `hostile_reader.py`.
    The audit hook sees no unpickling, no code, no import, no process and no file written; what is
    on disk afterwards is what was there before.
    """
    paths = build(tmp_path / "all", tmp_path / "proof")
    before = snapshot_of(tmp_path)
    found = dict(zip(paths, run(tmp_path / "all", list(paths.values())), strict=True))

    assert len(found) >= 60
    assert {} == {kind: r for kind, r in found.items() if r["error"] != "CheckpointError"}
    assert {} == {kind: r["said"] for kind, r in found.items() if kind_not_named(paths[kind], r)}
    assert {} == {kind: r["acts"] for kind, r in found.items() if r["acts"]}
    assert {} == {k: r for k, r in found.items() if r["peak"] > 2 * r["bytes"] + 64 * 2**20}
    assert [k for k, r in found.items() if "does not fit in memory" in r["said"]] == []
    assert before == snapshot_of(tmp_path)
    assert not (tmp_path / "proof").exists()


def kind_not_named(path: Path, record: dict[str, Any]) -> bool:
    """Say whether an error fails to name what it is about."""
    return str(path) not in record["said"] and "stored state" not in record["said"]


def test_the_watch_catches_a_reader_that_unpickles(tmp_path: Path) -> None:
    """Seeded fault: torch.load runs the payload, and the audit hook sees it."""
    files = good_files(tmp_path / "good")
    put(tmp_path / "bad", {**files, MODEL: torch_saved(Payload(tmp_path / "proof"))})
    (record,) = run(tmp_path, [tmp_path / "bad"], "--careless")

    assert any(act.startswith("pickle.find_class") for act in record["acts"])
    assert (tmp_path / "proof").exists()


@pytest.mark.parametrize("kind", ["a good one", "the largest"])
def test_what_is_good_is_read(tmp_path: Path, kind: str) -> None:
    """The watch itself lets an honest checkpoint through, also one of 60 MB."""
    files = good_files(tmp_path / "good")
    if kind == "the largest":
        header = {"state.w": entry("U8", [60_000_000], 0, 60_000_000)}
        files[MODEL] = tensors_file(header, bytes(60_000_000))
    put(tmp_path / "it" / "step-00000001", files)
    (record,) = run(tmp_path, [tmp_path / "it" / "step-00000001"])

    assert (record["error"], record["acts"]) == ("", [])
