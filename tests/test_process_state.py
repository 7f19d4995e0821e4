"""What all threads of a process share: fits at once are as fits alone, and leave nothing behind."""

import random
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

import afina
from afina import process_state
from afina.errors import ConfigError
from afina.models import MLP, ModelSettings, NetworkShape, make_network
from afina.nn import follow, initialize_
from afina.preprocess.settings import PreprocessSettings
from afina.process_state import Drawing, new_layers, plain_torch, torch_threads
from afina.train import rng as train_rng

SMALL = {"max_epochs": 2, "d_block": 8, "members": 2, "folds": 2}


class Pause(nn.Module):
    """Let other threads run in the middle of a forward pass."""

    def forward(self, x: Tensor) -> Tensor:
        time.sleep(0.0005)
        return x


def rows() -> tuple[Tensor, Tensor]:
    x = torch.randn(60, 4, generator=torch.Generator().manual_seed(0))
    return x, (x[:, 0] > 0).long()


def make_net(p: float = 0.5) -> nn.Sequential:
    first, last = nn.Linear(4, 16), nn.Linear(16, 2)
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        for parameter in (*first.parameters(), *last.parameters()):
            parameter.normal_(generator=generator)
    return nn.Sequential(first, nn.BatchNorm1d(16), Pause(), nn.Dropout(p), last)


def train_net(
    net: nn.Module, number: int = 0, data: tuple[Tensor, Tensor] | None = None, **settings: object
) -> Tensor:
    """Fit in memory, by a loader, or with window norm; return the weights."""
    x, y = data or rows()
    ways = (
        {"batch_size": 16},
        {"batch_size": 16, "microbatch_size": 5, "batchnorm": "window"},
        {"averaging": "ema"},
    )
    way = number % len(ways)
    loader = DataLoader(TensorDataset(x, y), batch_size=16, shuffle=True)
    arguments = {"max_epochs": 3, "seed": number, **ways[way], **settings}
    trainer = afina.Trainer(net, **{"loss": nn.CrossEntropyLoss(), **arguments})
    trainer.fit(loader if way == 2 else (x, y), (x, y))
    return torch.cat([p.detach().flatten() for p in net.parameters()])


def fit_table(seed: int = 0) -> np.ndarray:
    x = np.random.default_rng(0).normal(size=(60, 2))
    y = x.sum(axis=1) > 0
    return afina.AfinaClassifier(**SMALL, random_state=seed).fit(x, y).predict_proba(x)


def shared_state() -> list[object]:
    return [
        torch.get_rng_state().tolist(),
        str(np.random.get_state()),
        random.getstate(),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.utils.deterministic.fill_uninitialized_memory,
        torch.get_num_threads(),
        torch.is_grad_enabled(),
        torch.is_inference_mode_enabled(),
        torch.get_default_dtype(),
        nn.Module.__call__,
        nn.Module.__getattr__,
    ]


def try_net(net: nn.Module, number: int) -> Tensor:
    """Fit; return NaN if window norm says that a replay drew other numbers."""
    try:
        return train_net(net, number)
    except ConfigError:
        return torch.tensor([torch.nan])


def far_fits(n_fits: int = 9) -> list[int]:
    """Fit alone, then in threads; return the numbers of the fits that differ."""
    alone = [train_net(make_net(), number) for number in range(n_fits)]
    nets = [make_net() for _ in range(n_fits)]
    with ThreadPoolExecutor(n_fits) as pool:
        together = list(pool.map(try_net, nets, range(n_fits)))
    return [i for i in range(n_fits) if not torch.equal(alone[i], together[i])]


def test_fits_in_threads_are_those_alone_bit_for_bit() -> None:
    """Nine fits of three kinds at once give the weights that they give one after another."""
    before = shared_state()
    assert far_fits() == []
    assert shared_state()[1:] == before[1:]  # the networks were made from torch's numbers


def mixed_fit(number: int) -> np.ndarray:
    """Make a network, or an estimator, and fit it; return weights or predictions."""
    kind = number % 4
    if kind == 0:
        return fit_table(number)
    if kind == 1:
        return train_net(make_net(), number // 4).numpy()
    if kind == 2:
        settings = ModelSettings(members=1, members_differ="input", d_block=8, dropout=0.2)
        net = MLP(4, 2, settings)
        initialize_(net, "auto", generator=torch.Generator().manual_seed(number))
    else:
        net = make_network(
            NetworkShape(n_num=4, d_out=2),
            model=ModelSettings(members=3, d_block=8, dropout=0.2),
            preprocess=PreprocessSettings(),
            generator=torch.Generator().manual_seed(number),
        )
        net = nn.Sequential(WithoutCodes(net))
    return train_net(net, number // 4, loss=member_loss).numpy()


class WithoutCodes(nn.Module):
    """Pass numbers alone to a network for tables."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x, torch.zeros(len(x), 0, dtype=torch.int64))


def member_loss(outputs: Tensor, y: Tensor) -> Tensor:
    """Average the cross-entropy of each row over the members."""
    if outputs.ndim == 2:
        return nn.functional.cross_entropy(outputs, y, reduction="none")
    targets = y.unsqueeze(1).expand(outputs.shape[:2])
    losses = nn.functional.cross_entropy(outputs.transpose(1, 2), targets, reduction="none")
    return losses.mean(dim=1)


def far_mixed_fits(n_fits: int) -> list[int]:
    """Fit different things alone, then in threads; return the numbers of those that differ."""
    alone = [mixed_fit(number) for number in range(n_fits)]
    with ThreadPoolExecutor(n_fits) as pool:
        together = list(pool.map(mixed_fit, range(n_fits)))
    return [i for i in range(n_fits) if not np.array_equal(alone[i], together[i])]


def test_24_different_fits_whose_networks_are_made_in_threads_are_those_alone() -> None:
    """Estimators, networks of torch's layers and afina's: made and trained in 24 threads."""
    before = shared_state()

    assert far_mixed_fits(24) == []
    assert shared_state()[1:] == before[1:]  # layers are made from torch's numbers


def test_layers_that_do_not_take_turns_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fit differs if a layer is made in another thread in the middle of its step."""
    alone = train_net(make_net())

    def fit_beside_layers() -> bool:
        net, begun, over = make_net(), threading.Event(), threading.Event()

        def make_layers() -> None:
            begun.wait(30)
            while not over.is_set():
                nn.Linear(3, 3)
                torch.manual_seed(0)

        thread = threading.Thread(target=make_layers)
        thread.start()
        together = train_net(net, observers=[lambda _event: begun.set()])
        over.set()
        thread.join()
        return torch.equal(alone, together)

    assert fit_beside_layers()
    monkeypatch.setattr("afina.train.assembly.layers_take_turns", nullcontext)
    assert not all(fit_beside_layers() for _ in range(5))


@pytest.mark.parametrize("place", ["loss", "loader"])
def test_a_fit_that_another_waits_for_is_refused(
    place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A loss or loader that waits for a fit in another thread gets an error in place of a deadlock."""
    monkeypatch.setattr(process_state, "_PATIENCE_S", 0.3)
    x, y = rows()

    def wait() -> None:
        with ThreadPoolExecutor(1) as pool:
            pool.submit(train_net, make_net()).result(timeout=60)

    def loss(outputs: Tensor, y: Tensor) -> Tensor:
        if place == "loss":
            wait()
        return nn.functional.cross_entropy(outputs, y)

    class Loader:
        def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
            if place == "loader":
                wait()
            yield x, y

    trainer = afina.Trainer(make_net(), loss=loss, max_epochs=1)
    before = shared_state()
    with pytest.raises(ConfigError, match="must not wait for a fit in another thread"):
        trainer.fit(Loader())

    assert shared_state()[1:] == before[1:]  # waiting made layers
    assert fit_table() is not None


def test_a_slow_step_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fit whose steps take long without waiting for a thread does not make others give up."""
    monkeypatch.setattr(process_state, "_PATIENCE_S", 0.05)
    alone = train_net(make_net())

    class Slow(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            time.sleep(0.3)
            return x

    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(train_net, nn.Sequential(Slow(), make_net()))
        other = pool.submit(train_net, make_net())

    assert torch.equal(slow.result(), alone)
    assert torch.equal(other.result(), alone)


def test_fits_that_do_not_take_turns_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above fails if a step does not hold the lock."""
    monkeypatch.setattr(Drawing, "__enter__", lambda _self: None)
    monkeypatch.setattr(Drawing, "__exit__", lambda *_: None)

    assert far_fits() != []


def test_estimators_in_threads_are_those_alone_bit_for_bit() -> None:
    """Six fits of a table at once predict what they predict one after another, and leave nothing."""
    before = shared_state()
    alone = [fit_table(seed) for seed in range(6)]
    with ThreadPoolExecutor(6) as pool:
        together = list(pool.map(fit_table, range(6)))

    assert all(map(np.array_equal, alone, together))
    assert shared_state() == before


def outputs_while_traced() -> list[object]:
    """Call a module in a thread while another module is traced; return the outputs."""
    inside, over = threading.Event(), threading.Event()
    layer, outputs = nn.Linear(2, 1), []

    class Waiting(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            inside.set()
            over.wait(30)
            return x * 2

    def call() -> None:
        inside.wait(30)
        try:
            outputs.append(layer(torch.ones(1, 2)))
        finally:
            over.set()

    thread = threading.Thread(target=call)
    thread.start()
    assert follow.trace(Waiting()) is not None
    thread.join()
    return outputs


def test_modules_of_other_threads_work_during_a_trace() -> None:
    """Whoever predicts while a fit traces its network gets numbers."""
    assert [type(output) for output in outputs_while_traced()] == [Tensor]


def test_a_trace_of_all_threads_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above fails with torch's own tracer, which takes the module for its own."""
    monkeypatch.delattr(follow._Tracer, "call_module")
    monkeypatch.delattr(follow._Tracer, "getattr")
    monkeypatch.setattr(threading, "excepthook", lambda _: None)

    assert [type(output) for output in outputs_while_traced()] != [Tensor]


def flag_after_overlap() -> bool:
    """Start a second fit inside the first, end it after the first; return the flag."""
    inside, begun, ended = threading.Event(), threading.Event(), threading.Event()

    def fit(watch: Callable[[object], object]) -> None:
        train_net(make_net(), max_epochs=1, observers=[lambda event: watch(event) and None])

    def first() -> None:
        fit(lambda _event: (inside.set(), begun.wait(30)))
        ended.set()

    threads = [
        threading.Thread(target=first),
        threading.Thread(target=fit, args=(lambda _event: (begun.set(), ended.wait(30)),)),
    ]
    torch.use_deterministic_algorithms(mode=False)
    try:
        threads[0].start()
        inside.wait(30)
        threads[1].start()
        for thread in threads:
            thread.join()
        return torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(mode=True)


def test_fits_that_overlap_restore_the_flag() -> None:
    """The last fit restores torch's deterministic flag, whichever began first."""
    assert not flag_after_overlap()


def test_a_flag_left_on_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above fails if each fit restores what it found."""
    monkeypatch.setattr(train_rng, "_deterministic_process", train_rng._deterministic_kernels)

    assert flag_after_overlap()


def test_a_fit_that_fails_restores_everything() -> None:
    """An error in a forward pass leaves generators, flags and lock as they were."""

    def fail(_event: object) -> None:
        raise KeyError

    net = make_net()
    before = shared_state()
    with pytest.raises(KeyError):
        train_net(net, observers=[fail])

    assert shared_state() == before
    with ThreadPoolExecutor(1) as pool:  # another thread gets the lock
        assert pool.submit(fit_table).result(timeout=60) is not None


@pytest.mark.parametrize("in_thread", [False, True])
def test_an_observer_may_fit(in_thread: bool) -> None:
    """A fit inside an observer, in its thread or another, ends, and changes neither fit."""
    inner: list[np.ndarray] = []
    alone, alone_table = train_net(make_net()), fit_table()

    def observer(_event: object) -> None:
        if inner:
            return
        inner.append(np.empty(0))
        if in_thread:
            with ThreadPoolExecutor(1) as pool:
                inner[0] = pool.submit(fit_table).result(timeout=60)
        else:
            inner[0] = fit_table()

    assert torch.equal(train_net(make_net(), observers=[observer]), alone)
    np.testing.assert_array_equal(inner[0], alone_table)


@pytest.mark.parametrize("name", ["no_grad", "inference_mode", "float64", "float16", "device"])
def test_what_the_caller_changed_in_torch_changes_no_fit(
    name: str, request: pytest.FixtureRequest
) -> None:
    """Gradients off, another default type or device: the fits are the same, and so is the mode."""
    alone, alone_table = train_net(make_net()), fit_table()
    net, data = make_net(), rows()
    context = {"no_grad": torch.no_grad, "inference_mode": torch.inference_mode}.get(name)
    if name.startswith("float"):
        request.addfinalizer(lambda: torch.set_default_dtype(torch.float32))
        torch.set_default_dtype(getattr(torch, name))
    if name == "device":
        request.addfinalizer(lambda: torch.set_default_device(None))
        torch.set_default_device("meta")
    before = shared_state() if name != "device" else None
    with (context or nullcontext)():
        np.testing.assert_array_equal(fit_table(), alone_table)
        assert torch.equal(train_net(net, data=data), alone)

    assert before is None or shared_state() == before


def test_gradients_that_an_observer_switched_off_are_on_in_the_next_step() -> None:
    """A fit does not end with torch's "does not require grad" because of an observer."""
    alone = train_net(make_net())
    observers = [lambda _event: torch.set_grad_enabled(False) and None]

    assert torch.equal(train_net(make_net(), observers=observers), alone)
    assert torch.is_grad_enabled()


def test_batches_of_inference_mode_train() -> None:
    """Batches that were made in inference mode are copied; a model made there is refused."""
    with torch.inference_mode():
        x, y = (part.clone() for part in rows())
        lost = nn.Linear(4, 2)
    trainer = afina.Trainer(make_net(), loss=nn.CrossEntropyLoss(), max_epochs=1)
    trainer.fit([(x, y)])

    with pytest.raises(ConfigError, match="'weight' was made inside"):
        afina.Trainer(lost, loss=nn.CrossEntropyLoss()).fit((x, y))


def test_new_layers_are_float32_and_draw_nothing() -> None:
    """Whatever the default type, layers are float32, and the next random number is as before."""
    before = torch.get_rng_state()
    torch.set_default_dtype(torch.float64)
    try:
        with new_layers():
            layer = nn.Linear(2, 2)
        assert torch.get_default_dtype() == torch.float64
    finally:
        torch.set_default_dtype(torch.float32)

    assert layer.weight.dtype == torch.float32
    assert torch.equal(torch.get_rng_state(), before)


def test_a_new_thread_gets_the_count_from_before_the_fit() -> None:
    """A thread that begins while a fit has set its thread count is not left with that count."""
    before = torch.get_num_threads()
    counts = []

    def begin() -> None:
        with torch_threads(None):
            counts.append(torch.get_num_threads())

    with torch_threads(before + 1):
        thread = threading.Thread(target=begin)
        thread.start()
        thread.join()
        assert torch.get_num_threads() == before + 1

    assert counts == [before]
    assert torch.get_num_threads() == before


def test_threads_are_given_back() -> None:
    """Inside, torch has the threads asked for; afterwards those it had, also after an error."""
    before = torch.get_num_threads()
    with torch_threads(2):
        assert torch.get_num_threads() == 2
    with pytest.raises(ZeroDivisionError), torch_threads(2):
        _ = 1 / 0

    assert torch.get_num_threads() == before


def test_plain_torch_restores_the_mode() -> None:
    """Inside, gradients are on; outside they are as the caller set them."""
    with torch.inference_mode():
        with plain_torch():
            assert torch.is_grad_enabled()
            assert not torch.is_inference_mode_enabled()
        assert torch.is_inference_mode_enabled()


CHILD = """
import os, sys, threading, torch
sys.path.insert(0, {tests!r})
from test_process_state import fit_table, make_net, train_net, shared_state
torch.set_num_threads(2)
(torch.randn(900, 900) @ torch.randn(900, 900)).sum()  # OpenMP starts its threads
alone = fit_table()
holds, over = threading.Event(), threading.Event()
class Slow(torch.nn.Module):
    def forward(self, x):
        holds.set(); over.wait(60)
        return x
thread = threading.Thread(target=train_net, args=(torch.nn.Sequential(Slow(), make_net()),))
thread.start()
holds.wait(60)  # the other thread is within a step
pid = os.fork()
if pid == 0:
    off = not torch.are_deterministic_algorithms_enabled()
    same = (fit_table() == alone).all()
    train_net(make_net())
    os._exit(0 if same and off else 3)
code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
over.set()
thread.join()
sys.exit(code)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not fork")
def test_a_child_that_was_forked_during_a_fit_fits(request: pytest.FixtureRequest) -> None:
    """In a forked child the lock is free, the flag is off, and OpenMP's threads are not awaited."""
    script = CHILD.format(tests=str(request.path.parent))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        timeout=200,
        check=False,
        capture_output=True,
        text=True,
    )

    assert (done.returncode, done.stderr) == (0, "")


def test_all_changes_are_known_to_a_child() -> None:
    """The deterministic flag is among the changes that a forked child undoes."""
    assert train_rng._deterministic_process in process_state.Shared._all


def far_beside_loader() -> bool:
    """Evaluate on a loader in another thread during a fit; tell whether the fit changed."""
    x, y = rows()
    loader = DataLoader(TensorDataset(x, y), batch_size=16, shuffle=True)
    trainer = afina.Trainer(make_net(), loss=nn.CrossEntropyLoss())
    alone, net, over = train_net(make_net()), make_net(), threading.Event()

    def evaluate() -> None:
        while not over.is_set():
            trainer.evaluate(loader)
            trainer.predict(loader)

    thread = threading.Thread(target=evaluate)
    thread.start()
    together = train_net(net)
    over.set()
    thread.join()
    return not torch.equal(alone, together)


def test_loaders_read_in_another_thread_change_no_fit() -> None:
    """A loader draws from torch's global generator: evaluation waits for the end of a step."""
    assert not far_beside_loader()


def test_loaders_that_do_not_wait_are_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The test above fails if evaluation draws whenever it likes."""
    monkeypatch.setattr("afina.train.trainer.gate.undisturbed", lambda _data: nullcontext())

    assert any(far_beside_loader() for _ in range(5))
