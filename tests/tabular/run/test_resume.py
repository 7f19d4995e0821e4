import hashlib
import json
import shutil
import signal
from dataclasses import replace
from pathlib import Path

import pytest

from afina.config import CheckpointPlan, Config
from afina.errors import AfinaWarning, CheckpointError, LockedError, SchemaError
from afina.storage import lock_folder
from afina.tabular import fit_table, load, resume_run
from afina.tabular.events import Finished, Learned, Read, Started
from afina.train import CheckpointEvent, StepEvent


class Killed(BaseException):
    """Stands for a process that is gone: nothing may catch it."""


def dying_at(step: int):
    """Make an observer that ends the run after a step, as a kill would."""

    def listen(event: object) -> None:
        if isinstance(event, StepEvent) and event.step == step:
            raise Killed

    return listen


def config_of(tables, **train: object) -> Config:
    quick = tables.config()
    return replace(
        quick,
        train=replace(quick.train, **train),
        checkpoint=CheckpointPlan(every_steps=2, every_minutes=None),
    )


def digest(run: Path) -> dict[str, str]:
    """Hash what a run came to."""
    names = ["metrics.jsonl", "schema.json", "split.json", "model/model.safetensors"]
    found = {name: hashlib.sha256((run / name).read_bytes()).hexdigest() for name in names}
    summary = json.loads((run / "summary.json").read_text())
    del summary["seconds"]
    return found | {"summary": json.dumps(summary)}


@pytest.mark.parametrize("step", [3, 6, 7, 12, 24])
def test_a_killed_run_ends_as_the_uninterrupted_one(tables, kinds_csv, tmp_path, step):
    """Killed at any step and resumed, a run ends with the same weights, metrics and summary."""
    config = config_of(tables)
    whole = fit_table(kinds_csv, target="kind", config=config, out=tmp_path / "whole")
    with pytest.raises(Killed):
        fit_table(
            kinds_csv, target="kind", config=config, out=tmp_path / "run", listen=dying_at(step)
        )
    assert not (tmp_path / "run" / "model").exists()
    resumed = resume_run(tmp_path / "run")

    assert digest(resumed.run) == digest(whole.run)
    assert resumed.schema == whole.schema


def test_a_run_killed_twice_ends_the_same(tables, prices_csv, tmp_path):
    """A resumed run can be killed and resumed again."""
    config = config_of(tables)
    whole = fit_table(prices_csv, target="price", config=config, out=tmp_path / "whole")
    with pytest.raises(Killed):
        fit_table(
            prices_csv, target="price", config=config, out=tmp_path / "run", listen=dying_at(5)
        )
    with pytest.raises(Killed):
        resume_run(tmp_path / "run", listen=dying_at(13))
    resume_run(tmp_path / "run")

    assert digest(tmp_path / "run") == digest(whole.run)


def test_a_run_killed_before_its_model_is_finished(tables, prices_csv, tmp_path, reports):
    """Killed after training, with or without a model in place, a run is finished by resuming."""
    config = config_of(tables)
    whole = fit_table(prices_csv, target="price", config=config, out=tmp_path / "whole")
    for lost in (["summary.json"], ["summary.json", "model"], ["summary.json", "report.html"]):
        run = tmp_path / "-".join(lost)
        shutil.copytree(whole.run, run)
        for name in lost:
            shutil.rmtree(run / name) if name == "model" else (run / name).unlink()
        resume_run(run)

        assert digest(run) == digest(whole.run)
        assert (run / "report.html").exists()


def test_a_signal_saves_the_run(tables, prices_csv, tmp_path):
    """SIGINT saves the state and names the command; the resumed run is the uninterrupted one."""
    from afina.errors import Interrupted

    config = config_of(tables)
    whole = fit_table(prices_csv, target="price", config=config, out=tmp_path / "whole")

    def listen(event: object) -> None:
        if isinstance(event, StepEvent) and event.step == 5:
            signal.raise_signal(signal.SIGINT)

    with pytest.raises(Interrupted, match="afina resume") as caught:
        fit_table(prices_csv, target="price", config=config, out=tmp_path / "run", listen=listen)
    resume_run(tmp_path / "run")

    assert caught.value.exit_code == 130
    assert digest(tmp_path / "run") == digest(whole.run)


def test_resuming_tells_where_it_goes_on(tables, prices_csv, tmp_path):
    """An observer of a resumption gets what was read, learned, and the step it goes on from."""
    config = config_of(tables)
    with pytest.raises(Killed):
        fit_table(
            prices_csv, target="price", config=config, out=tmp_path / "run", listen=dying_at(7)
        )
    told = []
    resume_run(tmp_path / "run", listen=told.append)

    assert [type(event) for event in told[:3]] == [Read, Learned, Started]
    assert told[2].resumed_from == 6
    assert isinstance(told[-1], Finished)
    steps = [event.step for event in told if isinstance(event, StepEvent)]
    assert steps[0] == 7
    assert any(isinstance(event, CheckpointEvent) for event in told)


def test_threads_and_batches_of_a_run_are_kept(tables, prices_csv, tmp_path):
    """What `auto` came to is stored with the run and restored."""
    config = replace(config_of(tables), train=replace(config_of(tables).train, batch_size="auto"))
    with pytest.raises(Killed):
        fit_table(
            prices_csv, target="price", config=config, out=tmp_path / "run", listen=dying_at(3)
        )
    begun = json.loads((tmp_path / "run" / "run.json").read_text())
    told = []
    resume_run(tmp_path / "run", listen=told.append)

    assert (begun["threads"], begun["batch_size"]) == (1, 64)
    assert (told[1].threads, told[1].batch_size) == (1, 64)


def test_a_finished_run_is_left_as_it_is(tables, prices_csv, tmp_path):
    """Resuming a finished run says so, gives its outcome and changes no file."""
    done = fit_table(prices_csv, target="price", config=tables.config(), out=tmp_path / "run")
    before = {path: path.stat().st_mtime_ns for path in done.run.rglob("*")}
    with pytest.warns(AfinaWarning, match="finished"):
        again = resume_run(done.run)

    assert again.summary == done.summary
    assert again.schema == done.schema
    assert before == {path: path.stat().st_mtime_ns for path in done.run.rglob("*")}


@pytest.fixture
def killed(tables, prices_csv, tmp_path) -> Path:
    """Return a run that was killed at step 7."""
    with pytest.raises(Killed):
        fit_table(
            prices_csv,
            target="price",
            config=config_of(tables),
            out=tmp_path / "run",
            listen=dying_at(7),
        )
    return tmp_path / "run"


def test_a_changed_table_is_refused(killed, prices_csv):
    """A table that was changed or is gone is named, and the run is left as it is."""
    text = prices_csv.read_text()
    prices_csv.write_text(text + "\n")
    with pytest.raises(SchemaError, match=r"prices\.csv was changed"):
        resume_run(killed)
    prices_csv.unlink()
    with pytest.raises(SchemaError, match=r"prices\.csv cannot be read"):
        resume_run(killed)
    prices_csv.write_text(text)
    resume_run(killed)


def test_changed_settings_are_refused(killed):
    """A config.toml that gives another schema, split or training is refused."""
    path = killed / "config.toml"
    text = path.read_text()
    for old, new in (("folds = 1", "folds = 1\nval_frac = 0.3"), ("lr = 0.01", "lr = 0.02")):
        assert old in text
        path.write_text(text.replace(old, new))
        with pytest.raises(ValueError, match=r"begun|settings"):
            resume_run(killed)
    path.write_text(text)
    resume_run(killed)


@pytest.mark.parametrize(
    "content",
    ["", "[]", "{}", '{"format": 1}', "[" * 10_000, '{"format": 1, "by": "afina", "table": 3}'],
)
def test_a_damaged_run_is_refused(killed, content):
    """A run.json that is damaged is named."""
    (killed / "run.json").write_text(content)
    with pytest.raises(CheckpointError, match=r"run\.json"):
        resume_run(killed)


def test_what_is_no_run_is_refused(tmp_path):
    """A folder that is no run, and one that does not exist, are refused."""
    for path in (tmp_path, tmp_path / "none"):
        with pytest.raises(CheckpointError, match="run folder"):
            resume_run(path)


def test_a_run_in_use_is_refused(killed):
    """A run that another writer holds is not resumed."""
    with lock_folder(killed), pytest.raises(LockedError):
        resume_run(killed)


def test_damaged_checkpoints_are_passed_over(killed, tables, prices_csv, tmp_path):
    """With the newest checkpoint damaged, the one before is used, by name, to the same end."""
    whole = fit_table(prices_csv, target="price", config=config_of(tables), out=tmp_path / "whole")
    newest = max((killed / "checkpoints").iterdir())
    path = newest / "model.safetensors"
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(data)
    with pytest.warns(AfinaWarning, match=newest.name):
        resume_run(killed)

    assert digest(killed) == digest(whole.run)


def test_without_any_checkpoint_it_starts_anew(killed, tables, prices_csv, tmp_path):
    """A run killed before its first checkpoint is resumed from the start."""
    whole = fit_table(prices_csv, target="price", config=config_of(tables), out=tmp_path / "whole")
    shutil.rmtree(killed / "checkpoints")
    resume_run(killed)

    assert digest(killed) == digest(whole.run)
    assert load(killed).target == "price"


def test_another_environment_is_named(killed):
    """Versions that differ from when the run began are told in a note."""
    env = json.loads((killed / "env.json").read_text())
    (killed / "env.json").write_text(json.dumps({**env, "numpy": "0.1"}))
    told = []
    resume_run(killed, listen=told.append)

    assert any("numpy was 0.1" in note for note in told[1].notes)
