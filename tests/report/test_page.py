"""The whole page, as HTML."""

import json
import random
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from afina.errors import CheckpointError, StorageError
from afina.report import write_report

Maker = Callable[..., Path]
KINDS = ["binary", "multiclass", "regression", "unfinished", "hostile"]
ONE_TAG = {"meta", "link", "br", "img", "wbr"}


class Outline(HTMLParser):
    """What elements a page has: counted, nested as they should be, and where they point."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.counts: dict[str, int] = {}
        self.addresses: list[str] = []
        self.handlers: list[str] = []
        self.specs: list[Any] = []
        self.text = ""
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Count an element, and open it."""
        self.counts[tag] = self.counts.get(tag, 0) + 1
        self.addresses += [v or "" for k, v in attrs if k in {"src", "href", "action", "srcset"}]
        self.handlers += [k for k, _ in attrs if k.startswith("on")]
        self.is_spec = ("type", "application/json") in attrs
        if tag not in ONE_TAG:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        """Close the element that was opened last."""
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        """Keep what a person reads, and the specs."""
        if self.open and self.open[-1] == "script":
            if self.is_spec:
                self.specs.append(json.loads(data))
        elif self.open and self.open[-1] != "style":
            self.text += data


def _outline(run: Path) -> Outline:
    return Outline(write_report(run).read_text(encoding="utf-8"))


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_is_whole(make_run: Maker, kind: str) -> None:
    """Every element is closed, every chart has a place and a spec, nothing is loaded."""
    outline = _outline(make_run(kind))
    assert outline.open == []
    assert outline.counts["html"] == outline.counts["main"] == outline.counts["h1"] == 1
    n_charts = {"binary": 5, "multiclass": 5, "regression": 5, "unfinished": 3, "hostile": 5}
    assert len(outline.specs) == outline.counts["figure"] == n_charts[kind]
    assert outline.counts["script"] == len(outline.specs) + 2
    assert outline.addresses == ["data:,"]
    assert outline.handlers == []
    assert "img" not in outline.counts


def test_text_that_is_not_escaped_would_be_seen(make_run: Maker) -> None:
    """The seeded fault, a page that writes a name as it is, has one script more."""
    text = write_report(make_run("hostile")).read_text(encoding="utf-8")
    name = "&lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt;"
    assert name in text
    with pytest.raises(AssertionError):
        Outline(text.replace(name, "</script><script>alert(1)</script>"))


def test_the_order_of_contents(make_run: Maker) -> None:
    """Score, stop, training, outcome, columns, settings and next commands, in this order."""
    text = _outline(make_run("binary")).text
    words = [
        "Status from credit.csv",
        "accuracy of the model",
        "Why it stopped",
        "Loss by epoch",
        "Learning rate by step",
        "Gradient norm by step",
        "Confusion matrix",
        "All scores",
        "Columns",
        "Settings and environment",
        "What to type next",
    ]
    places = [text.index(word) for word in words]
    assert places == sorted(places)


def test_the_same_run_gives_the_same_page(make_run: Maker) -> None:
    """Two reports of one run are equal, byte for byte."""
    run = make_run("binary")
    assert write_report(run).read_bytes() == write_report(run).read_bytes()


def test_only_the_report_is_written(make_run: Maker) -> None:
    """Reading a run changes none of its files."""
    run = make_run("regression")
    before = {path.name: path.read_bytes() for path in run.iterdir()}
    write_report(run)
    after = {path.name: path.read_bytes() for path in run.iterdir()}
    assert after.pop("report.html")
    assert after == before


def test_out_names_another_file(make_run: Maker, tmp_path: Path) -> None:
    """The page goes where it is asked to go, and its path comes back."""
    run, goal = make_run("binary"), tmp_path / "seite.html"
    assert write_report(run, goal) == goal
    assert goal.stat().st_size > 500_000
    assert not (run / "report.html").exists()


def test_a_folder_is_no_file(make_run: Maker, tmp_path: Path) -> None:
    """A folder in place of the file is refused, with the name to use."""
    with pytest.raises(StorageError, match=r"report\.html instead"):
        write_report(make_run("binary"), tmp_path)


def test_damage_leaves_the_old_page(make_run: Maker) -> None:
    """A report that cannot be made does not touch the one that is there."""
    run = make_run("binary")
    (run / "report.html").write_text("old")
    (run / "summary.json").write_text("{")
    with pytest.raises(CheckpointError):
        write_report(run)
    assert (run / "report.html").read_text() == "old"


def test_a_large_run_gives_a_small_page(make_run: Maker) -> None:
    """10,000 columns, 100,000 steps and 200 classes stay below 2 MB."""
    rng = random.Random(0)
    steps = [
        {"kind": "step", "step": i, "epoch": 0, "train/loss": 1.0, "lr": 1e-3,
         "grad_norm": rng.random()}
        for i in range(1, 100_001)
    ]  # fmt: skip
    epoch = [{"kind": "epoch", "step": 100_000, "epoch": 1, "train/loss": 0.5}]
    columns = [{"name": f"x{i}", "kind": "numeric", "why": "numbers"} for i in range(10_000)]
    run = make_run(
        "multiclass", metrics_jsonl=steps + epoch, schema_json={"format": 1, "columns": columns}
    )
    summary = json.loads((run / "summary.json").read_text())
    counts = [[rng.randrange(9) for _ in range(200)] for _ in range(200)]
    summary["confusion"] = {"labels": [f"class {i}" for i in range(200)], "counts": counts}
    (run / "summary.json").write_text(json.dumps(summary))
    path = write_report(run)
    assert path.stat().st_size < 2_000_000
    text = Outline(path.read_text(encoding="utf-8")).text
    assert "and 9,800 more" in text
    assert "15 most confused of 200 classes" in text


def test_the_page_names_no_address_but_those_of_formats(make_run: Maker) -> None:
    """Outside the drawing library there is no web address in the page at all."""
    text = write_report(make_run("binary")).read_text(encoding="utf-8")
    library = max(re.findall(r"<script>.*?</script>", text, re.DOTALL), key=len)
    assert "http" not in text.replace(library, "")
    assert "@import" not in text.replace(library, "")
