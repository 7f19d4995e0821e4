"""Checks that need several processes, in one program: importing torch costs more than they do.

`torchrun ... process_checks.py FOLDER` writes FOLDER/<rank>.json: by check, what went wrong.
"""

import json
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from copy import deepcopy as copied
from pathlib import Path

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.utils.data import DataLoader, DistributedSampler

from afina.errors import AfinaError, ConfigError, PeerError, StorageError
from afina.train.assembly import check_processes
from afina.train.parallel.reduction import MovingBuffers, sum_gradients
from afina.train.parallel.sharding import (
    load_model_state,
    load_optimizer_state,
    sharded_copy,
    sync_gradients,
    whole,
)
from afina.train.processes import (
    Processes,
    all_together,
    current_processes,
    naming_lost_peers,
    only_first,
    share,
)
from afina.train.settings import TrainerSettings


class Net(nn.Module):
    """Has a parameter that only process 0 uses, one that none uses, and one of another type."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = nn.Linear(5, 7)
        self.out = nn.Linear(7, 1)
        self.on_first = nn.Parameter(torch.ones(7))
        self.unused = nn.Parameter(torch.ones(3))
        self.scale = nn.Parameter(torch.ones(1, dtype=torch.float64))
        self.register_buffer("still", torch.tensor([1 / 3, 1 / 7]))

    def forward(self, x: Tensor, *, first: bool) -> Tensor:
        h = self.hidden(x).tanh()
        return self.out(h * self.on_first if first else h)[:, 0] * self.scale.float()


def make_net() -> Net:
    torch.manual_seed(0)
    return Net()


def make_rows(n: int) -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(1)
    x, y = torch.randn(n, 5, generator=generator), torch.randn(n, generator=generator)
    return x, y, torch.arange(1.0, n + 1) ** 2


def check_gradients(processes: Processes) -> None:
    """With uneven weights, the summed gradient is that of one process, bit-equal in all of them."""
    n = processes.n_processes
    x, y, w = make_rows(11)
    net, reference = make_net(), make_net()
    for _ in range(2):  # buffers can be used again after `p.grad = None`
        rows = share(11, processes.rank, n)
        loss = (w[rows] * (net(x[rows], first=processes.first) - y[rows]) ** 2).sum()
        loss.backward()
        flags = [int(processes.rank == n - 1), 0]
        losses, weights, raised = sum_gradients(
            processes, list(net.parameters()), loss.item(), float(w[rows].sum()), flags
        )
        assert raised == [1, 0]
        of_first = share(11, 0, n)
        rest = range(len(of_first), 11)
        parts = [(of_first, True), (rest, False)]
        whole_loss = torch.stack(
            [(w[r] * (reference(x[r], first=f) - y[r]) ** 2).sum() for r, f in parts]
        ).sum()
        whole_loss.backward()
        torch.testing.assert_close(torch.tensor(losses), whole_loss.detach())
        assert weights == float(w.sum())
        for (name, p), q in zip(net.named_parameters(), reference.parameters(), strict=True):
            assert (p.grad is None) == (q.grad is None) == (name == "unused"), name
            if p.grad is not None:
                torch.testing.assert_close(p.grad, q.grad)
                of_rank_0 = p.grad.clone()
                processes.broadcast_([of_rank_0])
                assert torch.equal(of_rank_0, p.grad)
            p.grad = q.grad = None


def check_fault_mean_of_rank_means(processes: Processes) -> None:
    """Seeded fault: DDP's mean of the processes' means is not the window's mean."""
    x, y, w = make_rows(11)
    net, reference = make_net(), make_net()
    rows = share(11, processes.rank, processes.n_processes)
    loss = (w[rows] * (net(x[rows], first=False) - y[rows]) ** 2).sum() / w[rows].sum()
    loss.backward()
    sum_gradients(processes, list(net.parameters()), 0.0, 0.0)
    ((w * (reference(x, first=False) - y) ** 2).sum() / w.sum()).backward()
    faulty = net.out.bias.grad / processes.n_processes
    assert not torch.allclose(faulty, reference.out.bias.grad, rtol=1e-2)


def check_memory_layout(processes: Processes) -> None:
    """A gradient keeps its parameter's memory layout, which fused optimizers rely on."""
    conv = nn.Conv2d(2, 4, 3).to(memory_format=torch.channels_last)
    if processes.first:
        conv(torch.ones(1, 2, 5, 5)).sum().backward()
    sum_gradients(processes, list(conv.parameters()), 0.0, 0.0)
    assert conv.weight.grad.stride() == conv.weight.stride()
    expected = torch.full_like(conv.weight, 9.0)
    assert torch.equal(conv.weight.grad, expected)


def check_sums_are_exact(processes: Processes) -> None:
    """Weights beyond 2**24, where float32 skips integers, are summed exactly."""
    p = nn.Parameter(torch.ones(1))
    p.grad = torch.ones(1)
    _, weights, _ = sum_gradients(processes, [p], 0.0, 2.0**24 + 1)
    assert weights == processes.n_processes * (2**24 + 1)
    assert p.grad.item() == processes.n_processes


def check_agree(processes: Processes) -> None:
    """A flag raised in one process is raised in all, and no other flag is."""
    last = processes.rank == processes.n_processes - 1
    assert processes.agree([0, int(last), 15 * processes.first]) == [0, 1, 15]
    assert processes.agree([]) == []


def check_broadcast(processes: Processes) -> None:
    """Tensors of any type and layout, and JSON with any float, become those of process 0."""
    r = processes.rank
    tensors = [
        torch.full((3, 2), float(r)).t(),
        torch.tensor(r == 0),
        torch.empty(0),
        torch.full((2,), r, dtype=torch.int64),
        torch.full((2,), r, dtype=torch.bfloat16),
        nn.Parameter(torch.full((2,), float(r))),
    ]
    processes.broadcast_(tensors)
    assert [t.double().sum().item() for t in tensors] == [0.0, 1.0, 0.0, 0.0, 0.0, 0.0]
    value = {"a": [0.1 + 0.2, float("inf"), None, True], "ü": "x" * 70_000}
    assert processes.broadcast_json(value if processes.first else None) == value
    assert processes.broadcast_json({} if processes.first else 3) == {}


def check_buffers(processes: Processes) -> None:
    """Statistics become the mean over processes weighted by rows; other buffers stay, bit for bit."""
    n = processes.n_processes
    norm = nn.Sequential(nn.BatchNorm1d(2), Net())
    buffers = MovingBuffers(norm, processes)
    for step in range(2):
        n_rows = [4, 2, 2 - 2 * step][processes.rank]  # in step 1, rank 2 has none
        if n_rows:
            norm[0](torch.full((n_rows, 2), float(processes.rank)))
        moved = processes.agree(buffers.moved())
        assert moved == [1, 1, 1, 0]
        buffers.average(moved, n_rows)
        assert norm[0].num_batches_tracked == step + 1
        mean = norm[0].running_mean.clone()
        processes.broadcast_([mean])
        assert torch.equal(mean, norm[0].running_mean)
    in_step_0 = 0.1 * (2 / 6 if n == 2 else (2 + 2 * 2) / 8)  # means 0, 1 and 2, by rows
    expected = 0.9 * in_step_0 + 0.1 * 2 / 6
    torch.testing.assert_close(mean, torch.full((2,), expected))
    assert torch.equal(norm[1].still, torch.tensor([1 / 3, 1 / 7]))


def make_plain() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 1), nn.Flatten(0), nn.Tanh())


def sharded_steps(model: nn.Module, opt: torch.optim.Optimizer, processes: Processes) -> None:
    """Take two steps on a window of 11 rows, in micro-batches of at most 3."""
    x, y, w = make_rows(11)
    rows = list(share(11, processes.rank, processes.n_processes))
    parts = [rows[i : i + 3] for i in range(0, len(rows), 3)]
    most = -(-len(share(11, 0, processes.n_processes)) // 3)
    parts += [[0]] * (most - len(parts))  # every rank goes forward equally often
    for _ in range(2):
        for i, part in enumerate(parts):
            sync_gradients(model, last=i == most - 1)
            weights = w[part] * (i * 3 < len(rows))
            (weights * (model(x[part]) - y[part]) ** 2).sum().backward()
        sum_gradients(processes, [], 0.0, 0.0)
        finish_step(model, opt, float(w.sum()))


def finish_step(model: nn.Module, opt: torch.optim.Optimizer, weight: float) -> None:
    grads = [p.grad for p in model.parameters()]
    torch._foreach_div_(grads, weight)
    norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(grads)))
    if float(whole(norm)) > 0.05:
        torch._foreach_mul_(grads, 0.05 / float(whole(norm)))
    opt.step()
    opt.zero_grad()


def plain_steps(model: nn.Module, opt: torch.optim.Optimizer) -> None:
    x, y, w = make_rows(11)
    for _ in range(2):
        (w * (model(x) - y) ** 2).sum().backward()
        finish_step(model, opt, float(w.sum()))


def make_adamw(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.AdamW(model.parameters(), lr=0.01, fused=True)


def check_sharded_is_plain(processes: Processes) -> None:
    """Sharded steps with AdamW and clipping equal those of one process; the model ends unsharded."""
    model, plain = make_plain(), make_plain()
    opt = make_adamw(plain)
    plain_steps(plain, opt)
    with sharded_copy(model, processes) as sharded:
        sharded_opt = make_adamw(sharded)
        sharded_steps(sharded, sharded_opt, processes)
        assert model[0].weight.untyped_storage().nbytes() == 0
        state = whole(sharded_opt.state_dict())
        dropped = whole(sharded.state_dict(), keep=False)
    assert set(dropped.values()) == {None}
    for p, q in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(p, q, atol=1e-6, rtol=0)
    for index, values in opt.state_dict()["state"].items():
        for name, value in values.items():
            torch.testing.assert_close(state["state"][index][name], value, atol=1e-6, rtol=1e-5)


def check_sharded_resumes(processes: Processes) -> None:
    """From an unsharded state, shards continue bit for bit, and one process can continue too."""
    model = make_plain()
    with sharded_copy(model, processes) as sharded:
        opt = make_adamw(sharded)
        sharded_steps(sharded, opt, processes)
        weights, moments = copied(whole(sharded.state_dict())), copied(whole(opt.state_dict()))
        sharded_steps(sharded, opt, processes)
    again = make_plain()
    with sharded_copy(again, processes) as sharded:
        opt = make_adamw(sharded)
        load_model_state(sharded, weights)
        load_optimizer_state(opt, copied(moments))
        sharded_steps(sharded, opt, processes)
    pairs = zip(model.parameters(), again.parameters(), strict=True)
    assert all(torch.equal(p, q) for p, q in pairs)
    plain = make_plain()
    opt = make_adamw(plain)
    load_model_state(plain, weights)
    load_optimizer_state(opt, copied(moments))
    plain_steps(plain, opt)
    for p, q in zip(model.parameters(), plain.parameters(), strict=True):
        torch.testing.assert_close(p, q, atol=1e-6, rtol=0)


def check_sharded_error(processes: Processes) -> None:
    """After an error the model's parameters are NaN, so that nobody mistakes them for trained ones."""
    model = make_plain()
    with suppress(ZeroDivisionError), sharded_copy(model, processes):
        raise ZeroDivisionError
    assert all(p.isnan().all() for p in model.parameters())


def raised(work: Callable[[], object]) -> Exception | None:
    """Return what a call raises."""
    try:
        work()
    except AfinaError as error:
        return error
    return None


def fail() -> None:
    raise StorageError("The disk is full.")


def check_only_first(processes: Processes) -> None:
    """The others wait for process 0; its error ends all processes, and is reported once."""
    assert only_first(processes, lambda: "done") == ("done" if processes.first else None)
    error = raised(lambda: only_first(processes, fail))
    assert isinstance(error, StorageError if processes.first else PeerError)
    assert str(error).endswith("The disk is full.")
    assert processes.first or error.relayed


def check_all_together(processes: Processes) -> None:
    """If one process fails, all fail; process 0 reports an error that all have, else each its own."""
    assert all_together(processes, lambda: processes.rank) == processes.rank
    last = processes.rank == processes.n_processes - 1
    own = raised(lambda: all_together(processes, fail if last else lambda: None))
    assert isinstance(own, StorageError if last else PeerError)
    alike = raised(lambda: all_together(processes, fail))
    assert isinstance(alike, StorageError if processes.first else PeerError)


def check_started_alike(processes: Processes) -> None:
    """Processes with different settings end with an error, and do not wait forever."""
    given = TrainerSettings()
    check_processes(given, None, processes, record={"lr": 0.1, "n": None})
    kept = {"lr": 0.1 * processes.rank, "n": None}
    error = raised(lambda: check_processes(given, None, processes, record=kept))
    assert isinstance(error, ConfigError)
    assert "started with the same settings" in str(error)
    assert processes.first or "lr is 0.0 in one" in str(error)
    loader = DataLoader([1, 2], sampler=DistributedSampler([1, 2]))
    error = raised(lambda: check_processes(given, loader, processes, record={}))
    assert "Leave the sampler out" in str(error)


def check_lost_peer(processes: Processes) -> None:
    """The remaining processes report that one is lost, with the advice."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)  # torchrun sends it to the others
    processes.agree([0])  # none is killed before all ignore it
    if processes.rank == processes.n_processes - 1:
        os.kill(os.getpid(), signal.SIGKILL)
    time.sleep(0.2)  # so that it is mostly gone already; it need not be
    try:
        with naming_lost_peers("Resume it."):
            for _ in range(3):
                processes.agree([1])
    except PeerError as error:
        assert "another process of the run has ended" in str(error)
        assert str(error).endswith("Resume it.")
    else:
        raise AssertionError("nothing was raised")


CHECKS: dict[str, Callable[[Processes], None]] = {
    name: check
    for name, check in globals().items()
    if name.startswith("check_") and check.__module__ == __name__
}


def main(folder: Path) -> None:
    torch.set_num_threads(1)
    with current_processes() as processes:
        assert dist.get_backend() == "gloo"
        # The seeded fault of all checks: anything pickled on its way to another process fails here.
        dist.distributed_c10d._pickler = dist.distributed_c10d._unpickler = None
        with current_processes() as inner:  # uses the group that is there, and leaves it open
            assert inner == processes
        results = {}
        for name, check in CHECKS.items():
            if name == "check_lost_peer":  # the killed one cannot say anything afterwards
                (folder / f"{processes.rank}.json").write_text(json.dumps(results))
            try:
                check(processes)
                results[name] = ""
            except Exception:  # noqa: BLE001 - told by the test
                results[name] = traceback.format_exc()
        (folder / f"{processes.rank}.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
