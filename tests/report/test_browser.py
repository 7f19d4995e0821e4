"""The page in a real browser: no message on its console, nothing loaded, every chart drawn."""

import html
import json
import re
import shutil
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from afina.report import write_report

Maker = Callable[..., Path]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = [
    pytest.mark.browser,
    pytest.mark.timeout(600),  # a browser takes seconds to start, and a minute on a busy machine
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed (Debian: chromium)"),
]

SWITCHES = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--enable-logging=stderr",
    "--v=0",
    "--virtual-time-budget=10000",
    "--dump-dom",
]

# Says, when all is drawn, what the page asked the network for and which figures have a picture.
PROBE = """<script>setTimeout(() => {
  document.body.dataset.probe = JSON.stringify({
    asked: performance.getEntriesByType("resource").map((entry) => entry.name),
    empty: [...document.querySelectorAll("[data-spec]")].filter(
      (place) => !place.querySelector("svg path, svg rect")).map((place) => place.dataset.spec),
    drawn: document.querySelectorAll("[data-spec] svg").length,
    scripts: document.scripts.length,
    texts: [...document.querySelectorAll("svg text")].map((text) => text.textContent),
  });
}, 3000)</script></body>"""


# Says what is wider than its card on a phone, apart from what scrolls inside it.
PHONE = """<iframe id="phone" style="width:390px;height:4000px"></iframe><script>
const phone = document.getElementById("phone");
phone.srcdoc = PAGE;
setTimeout(() => {
  const page = phone.contentDocument, style = phone.contentWindow.getComputedStyle.bind(phone.contentWindow);
  const scrolls = (part) => part && (style(part).overflowX === "auto" || scrolls(part.parentElement));
  const outside = [...page.querySelectorAll("section *, header *")].filter((part) => {
    const card = part.closest("section, header").getBoundingClientRect();
    const box = part.getBoundingClientRect();
    return !part.closest("svg") && !scrolls(part.parentElement) && box.right > card.right + 0.5;
  });
  const cut = [...page.querySelectorAll("pre, .columns")].filter((part) => part.scrollWidth > part.clientWidth + 1);
  document.body.dataset.phone = JSON.stringify({
    width: phone.contentWindow.innerWidth, page: page.documentElement.scrollWidth,
    faults: [...outside, ...cut].map((part) => part.tagName + ": " + part.textContent.slice(0, 60)),
  });
}, 4000)</script>"""


@dataclass(frozen=True)
class Seen:
    """What a browser made of a page."""

    messages: list[str]
    asked: list[str]
    empty: list[str]
    drawn: int
    scripts: int
    texts: list[str]

    @property
    def faults(self) -> list[str]:
        """Everything that a page must not do."""
        asked = [name for name in self.asked if not name.startswith("data:")]
        return self.messages + asked + self.empty


def _open(page: Path, folder: Path) -> "subprocess.CompletedProcess[str]":
    """Open a page in a fresh browser, and return what it wrote."""
    profile = folder / "profile"
    shutil.rmtree(profile, ignore_errors=True)
    assert CHROMIUM is not None
    return subprocess.run(
        [CHROMIUM, *SWITCHES, f"--user-data-dir={profile}", page.as_uri()],
        capture_output=True,
        text=True,
        check=True,
    )


def look(page: Path, folder: Path) -> Seen:
    """Open a page in a fresh browser and write down what happens."""
    copy = folder / "probed.html"
    text = page.read_text(encoding="utf-8")
    assert text.count("</body>\n</html>") == 1
    copy.write_text(text.replace("</body>\n</html>", PROBE + "\n</html>"), encoding="utf-8")
    done = _open(copy, folder)
    found = re.search(r'data-probe="([^"]*)"', done.stdout)
    assert found is not None, done.stderr[-2000:]
    probe: dict[str, Any] = json.loads(html.unescape(found[1]))
    messages = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return Seen(messages, **probe)


@pytest.mark.parametrize("kind", ["binary", "multiclass", "regression", "unfinished", "hostile"])
def test_nothing_leaves_its_card_on_a_phone(make_run: Maker, tmp_path: Path, kind: str) -> None:
    """At 390 pixels, no table, command or name is wider than its card, and no command is cut."""
    run = make_run(kind)
    run = run.rename(
        run.with_name("a run in a folder with a name that is longer than a phone is wide")
    )
    page = json.dumps(write_report(run).read_text(encoding="utf-8")).replace("</", "<\\/")
    frame = tmp_path / "phone.html"
    frame.write_text(f"<body>{PHONE.replace('PAGE', page)}</body>", encoding="utf-8")

    dom = _open(frame, tmp_path).stdout
    found = re.search(r'data-phone="([^"]*)"', dom)

    assert found is not None
    seen = json.loads(html.unescape(found[1]))
    assert (seen["width"], seen["faults"]) == (390, [])
    assert seen["page"] <= 390


@pytest.mark.parametrize(
    ("kind", "n_charts"), [("binary", 5), ("multiclass", 5), ("regression", 5), ("unfinished", 3)]
)
def test_a_report_opens_offline(make_run: Maker, tmp_path: Path, kind: str, n_charts: int) -> None:
    """No console message, no request, every chart drawn."""
    seen = look(write_report(make_run(kind)), tmp_path)
    assert seen.faults == []
    assert seen.drawn == n_charts


def test_hostile_names_stay_text(make_run: Maker, tmp_path: Path) -> None:
    """Names that are script run nowhere; in the charts, too, they are letters."""
    seen = look(write_report(make_run("hostile")), tmp_path)
    assert seen.faults == []
    assert seen.drawn == 5
    assert seen.scripts == 5 + 2 + 1  # one a chart, the library, the drawing, the probe
    assert any("</script>" in text for text in seen.texts)


def test_a_run_of_one_epoch(make_run: Maker, tmp_path: Path) -> None:
    """One epoch, one step and a loss that was not finite: still a page without faults."""
    records = [
        {"kind": "step", "step": 1, "epoch": 0, "train/loss": None, "lr": 1e-3, "grad_norm": 0.0},
        {"kind": "epoch", "step": 1, "epoch": 1, "train/loss": None},
        {"kind": "eval", "step": 1, "epoch": 1, "val/loss": 0.7, "val/accuracy": None},
        {"kind": "stop", "step": 1, "epoch": 1, "reason": "max_epochs", "why": "max_epochs=1",
         "monitor": "val/loss", "best": 0.7, "best_step": 1, "best_epoch": 1},
    ]  # fmt: skip
    run = make_run("binary", metrics_jsonl=records)
    summary = json.loads((run / "summary.json").read_text())
    (run / "summary.json").write_text(json.dumps(summary | {"stop": records[-1]}))
    seen = look(write_report(run), tmp_path)
    assert seen.faults == []
    assert seen.drawn == 4  # loss, learning rate, gradient norm, confusion; no finite accuracy
    assert "best and stopped: epoch 1" in seen.texts


def test_a_run_of_the_trainer(make_run: Maker, tmp_path: Path) -> None:
    """A run without a table draws the loss and every score that its records hold."""
    run = make_run("binary")
    for name in ("config.toml", "run.json", "schema.json", "split.json", "summary.json"):
        (run / name).unlink(missing_ok=True)
    seen = look(write_report(run), tmp_path)
    assert seen.faults == []
    assert seen.drawn == 5  # loss, accuracy, rmse, learning rate, gradient norm


def test_values_at_the_ends_of_float64(make_run: Maker, tmp_path: Path) -> None:
    """Losses and gradients near the ends of what a float can hold are drawn without a warning."""
    records: list[dict[str, Any]] = []
    for epoch, value in enumerate([1e308, 1.0, 1e-308, 0.0, -3.0, 1e150], start=1):
        records += [
            {"kind": "step", "step": epoch, "epoch": epoch - 1, "lr": value, "grad_norm": value},
            {"kind": "epoch", "step": epoch, "epoch": epoch, "train/loss": value},
            {"kind": "eval", "step": epoch, "epoch": epoch, "val/loss": abs(value) + 1e-200},
        ]
    seen = look(write_report(make_run("unfinished", metrics_jsonl=records)), tmp_path)
    assert seen.faults == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("for (const place", "console.warn('seeded'); for (const place"),
        ("for (const place", "nowhere(); for (const place"),
        ('"mark":{', '"mark":{"type":"nothing","was":{'),
        ("<main>", '<main><img src="http://localhost:9/x.png" alt="">'),
        ("<main>", '<main><script>fetch("http://localhost:9/x").catch(() => {})</script>'),
        ('renderer: "svg"', 'renderer: "none"'),
    ],
    ids=["warning", "error", "spec", "image", "fetch", "not drawn"],
)
def test_a_broken_page_is_seen(make_run: Maker, tmp_path: Path, old: str, new: str) -> None:
    """Each seeded fault is found by the same look."""
    page = write_report(make_run("unfinished"))
    text = page.read_text(encoding="utf-8")
    assert old in text
    page.write_text(text.replace(old, new, 1), encoding="utf-8")
    assert look(page, tmp_path).faults != []
