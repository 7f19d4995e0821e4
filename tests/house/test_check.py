"""`./check` says how far it is, ends with the reason, and leaves nothing behind."""

import importlib.util
import signal
import subprocess
import sys
import time
from importlib.machinery import SourceFileLoader
from pathlib import Path
from types import ModuleType

import pytest

CHECK = Path(__file__).parents[2] / "check"


@pytest.fixture
def check() -> ModuleType:
    """Load the script as a module."""
    loader = SourceFileLoader("check", str(CHECK))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("check", loader))
    sys.modules["check"] = module  # dataclasses look their module up
    loader.exec_module(module)
    return module


def stage(check: ModuleType, name: str, program: str) -> object:
    return check.Stage(name, [sys.executable, "-c", program])


def test_the_first_failure_ends_it(
    check: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Later stages do not run; progress is shown, and the reason comes last."""
    stages = [
        stage(check, "one", "print('all well')"),
        stage(check, "two", "import sys; print('a reason'); sys.exit(3)"),
        stage(check, "three", "print('never')"),
    ]

    assert check.run_all(stages, tmp_path) == 3

    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("[1/3] one")
    assert lines[1].startswith("[2/3] two")
    assert lines[2] == "a reason"
    assert lines[3].startswith("check: two failed: ")
    assert len(lines) == 4


def test_what_a_stage_writes_lies_in_the_temporary_folder(
    check: ModuleType, tmp_path: Path
) -> None:
    """Temporary files, compiled code and hypothesis' examples go there; src/ is not on the path."""
    program = "import os, tempfile; print(tempfile.mkdtemp(), os.environ.get('PYTHONPATH'))"

    code, output = check.run(stage(check, "", program), tmp_path)

    assert code == 0
    assert output.startswith(str(tmp_path))
    assert output.split()[1] == "None"


PROGRAM = """
import importlib.util, subprocess, sys
from importlib.machinery import SourceFileLoader
loader = SourceFileLoader("check", {check!r})
check = importlib.util.module_from_spec(importlib.util.spec_from_loader("check", loader))
sys.modules["check"] = check
loader.exec_module(check)
detached = "import os, time; os.setsid(); open({pid!r}, 'w').write(str(os.getpid())); time.sleep(600)"
with check.workplace() as place:
    print(place, flush=True)
    started = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {{detached!r}}])"
    check.run(check.Stage("", [sys.executable, "-c", started + "; import time; time.sleep(600)"]), place)
"""


def wait_for(path: Path) -> str:
    """Wait until another process has written a file; pytest's timeout ends a wait in vain."""
    while not (path.exists() and path.read_text()):
        time.sleep(0.02)
    return path.read_text()


def is_alive(pid: int) -> bool:
    """Tell whether a process runs; one that ended and was not waited for does not."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="processes are found through /proc")
@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_stopped_check_leaves_nothing(signum: int, tmp_path: Path) -> None:
    """After Ctrl-C or SIGTERM its folder is gone, and so is a process in a session of its own."""
    pid_file = tmp_path / "pid"
    program = PROGRAM.format(check=str(CHECK), pid=str(pid_file))
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as running:
        place = Path(running.stdout.readline().strip())
        pid = int(wait_for(pid_file))
        running.send_signal(signum)
        running.wait()

    assert not place.exists()
    while is_alive(pid):  # SIGKILL was sent; pytest's timeout ends a wait in vain
        time.sleep(0.02)


def test_other_packages_bring_no_torch(check: ModuleType, tmp_path: Path) -> None:
    """They are installed after the package, without what they ask for."""
    stages, _ = check.fresh_environment(tmp_path)
    *_, package, clients = [stage.command for stage in stages]

    assert ".[dev]" in package
    assert "--no-deps" in clients
    assert set(check.CLIENTS) < set(clients)
