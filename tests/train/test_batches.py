"""Batches from tensors in memory and from iterables."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from afina.errors import ConfigError
from afina.train.batches import (
    Batch,
    TensorData,
    count_rows,
    ordered_batches,
    split_batch,
)
from afina.train.gate import is_in_memory
from afina.train.stream import StreamData

CPU = torch.device("cpu")


def rows_of(window: list[Batch]) -> list[int]:
    return [int(i) for batch in window for i in batch.x[:, 0]]


def make(n_rows: int, batch_size: int, **settings) -> TensorData:
    x = torch.arange(n_rows, dtype=torch.float32)[:, None]
    arguments = {"seed": 3, "device": CPU, "no_single": False} | settings
    return TensorData(Batch(x, x), batch_size=batch_size, **arguments)


@given(st.integers(1, 70), st.integers(1, 20))
def test_every_row_once_an_epoch(n_rows: int, batch_size: int) -> None:
    """Each epoch holds every row once, in windows of batch_size rows."""
    windows = list(make(n_rows, batch_size).windows(0, 0))

    assert sorted(i for w in windows for i in rows_of(w)) == list(range(n_rows))
    assert [len(rows_of(w)) for w in windows[:-1]] == [batch_size] * (len(windows) - 1)


@given(st.integers(2, 60), st.integers(1, 9), st.data())
def test_any_place_is_reached_directly(n_rows: int, batch_size: int, data) -> None:
    """Starting at window k yields exactly the windows from k on, for any chunk size."""
    source = make(n_rows, batch_size)
    windows = [rows_of(w) for w in source.windows(5, 0)]
    start = data.draw(st.integers(0, len(windows)))
    source.chunk = data.draw(st.integers(1, 4))

    assert [rows_of(w) for w in source.windows(5, start)] == windows[start:]


def test_order_changes_with_epoch_and_seed() -> None:
    """The order depends on epoch and seed, and on nothing else."""
    orders = {
        (seed, epoch): tuple(make(50, 10, seed=seed).order(epoch).tolist())
        for seed in (0, 1)
        for epoch in (0, 1)
    }

    assert len(set(orders.values())) == 4
    assert make(50, 10, seed=1).order(1).tolist() == list(orders[1, 1])


def test_single_last_row_joins_the_window_before() -> None:
    """If the model has batch normalization, no window has a single row."""
    assert make(9, 4, no_single=True).sizes == [4, 5]
    assert make(9, 4).sizes == [4, 4, 1]
    assert make(1, 4, no_single=True).sizes == [1]


@given(st.integers(1, 40), st.integers(1, 40))
def test_parts_are_even(n_rows: int, most: int) -> None:
    """A window is split into the fewest parts, whose sizes differ by at most one."""
    sizes = [len(b.x) for b in split_batch(Batch(torch.zeros(n_rows, 1), None), most, n_rows)]

    assert sum(sizes) == n_rows
    assert max(sizes) <= most
    assert max(sizes) - min(sizes) <= 1
    assert len(sizes) == -(-n_rows // most)


def test_stream_takes_batches_together() -> None:
    """With batch_size, a step takes batches of an iterable until it has that many rows."""
    batches = [(torch.zeros(3, 1), torch.zeros(3))] * 5
    stream = StreamData(batches, batch_size=6, seed=0, device=CPU)

    sizes = [[len(b.x) for b in w] for w in stream.windows(0, 0)]
    assert sizes == [[3, 3], [3, 3], [3]]


def test_stream_is_read_again_up_to_its_place() -> None:
    """A plain iterable that draws random numbers gives the same batches after a resume."""

    class Noisy:
        def __iter__(self):
            return ((torch.randn(2, 1), torch.zeros(2)) for _ in range(4))

    def read(start: int) -> list[float]:
        torch.manual_seed(start)  # whatever state the process is in
        stream = StreamData(Noisy(), batch_size=None, seed=0, device=CPU)
        return [w[0].x[0, 0].item() for w in stream.windows(1, start)]

    assert read(2) == read(0)[2:]


def test_stream_with_a_state_goes_to_its_place() -> None:
    """An iterable with state_dict and load_state_dict is not read again."""

    class Counter:
        at = 0

        def __iter__(self):
            while self.at < 5:
                self.at += 1
                yield torch.full((1, 1), float(self.at)), torch.zeros(1)
            self.at = 0

        def state_dict(self):
            return {"at": self.at}

        def load_state_dict(self, state):
            self.at = state["at"]

    source = Counter()
    stream = StreamData(source, batch_size=None, seed=0, device=CPU)
    windows = stream.windows(0, 0)
    assert [next(windows)[0].x.item() for _ in range(2)] == [1, 2]
    position = stream.position()

    other = StreamData(Counter(), batch_size=None, seed=0, device=CPU)
    other.seek(position)
    assert [w[0].x.item() for w in other.windows(0, 2)] == [3, 4, 5]
    assert [w[0].x.item() for w in other.windows(1, 0)] == [1, 2, 3, 4, 5]


def test_nests_are_cut_along_the_rows() -> None:
    """Inputs may be tuples or dicts of tensors."""
    x = {"a": torch.arange(5), "b": (torch.arange(5) * 2,)}
    parts = list(ordered_batches(Batch(x, torch.arange(5)), 2, CPU))

    assert [p.x["b"][0].tolist() for p in parts] == [[0, 2], [4, 6], [8]]


def test_unequal_rows_are_an_error() -> None:
    """Inputs and targets of different lengths are refused, with both numbers."""
    with pytest.raises(ConfigError, match="got 2 and 3"):
        count_rows(Batch(torch.zeros(3, 1), torch.zeros(2)))


def test_in_memory_is_told_from_an_iterable() -> None:
    """A tuple (x, y) is data in memory; a list of batches is an iterable."""
    x, y = torch.zeros(2, 1), torch.zeros(2)

    assert is_in_memory((x, y))
    assert is_in_memory(((x, x), y, y))
    assert not is_in_memory([(x, y)])
    assert is_in_memory(((x, x), (y, y)))
    assert not is_in_memory(((x, y),) * 4)
