"""The gate for data: recognize what was passed to the trainer, or name it and refuse it.

A tuple `(x, y)` or `(x, y, weights)` is rows in memory; x and y may be tuples themselves. Any other
iterable yields batches. Data that would be misread, such as a Dataset of rows or an
iterator that is exhausted after one epoch, is refused here, before anything is trained.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, NamedTuple, TypeAlias

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import (
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    TensorDataset,
)

from afina.errors import AfinaError, ConfigError
from afina.process_state import Drawing
from afina.train.batches import (
    DEFAULT_BATCH_SIZE,
    EVAL_ROWS,
    Batch,
    Data,
    Opaque,
    TensorData,
    as_batch,
    as_tensors,
    as_whole_batch,
    count_rows,
    move_batch,
    no_weight,
    ordered_batches,
    split_batch,
)
from afina.train.nests import list_tensors
from afina.train.own_randomness import refuse_own_randomness
from afina.train.settings import TrainerSettings
from afina.train.stream import StreamData, length_of, loader_generators, restart_workers

Convert: TypeAlias = Callable[[Any], Batch]


class EvalRows(NamedTuple):
    """The number of rows that go through the model at a time in evaluation.

    Args:
        in_memory: for rows in memory.
        of_batch: for a batch of an iterable. None: the whole batch.
    """

    in_memory: int
    of_batch: int | None = None


def make_data(
    data: Any,
    *,
    batch_size: int | None,
    seed: int,
    device: torch.device,
    no_single: bool,
    batches_per_step: int = 1,
    convert: Convert = as_batch,
) -> Data:
    """Make training data from what was passed to `Trainer.fit`; see the two classes.

    Args:
        convert: makes a batch from what the data yields, or from rows in memory.
    """
    if is_in_memory(data, convert):
        if batches_per_step > 1:
            raise ConfigError(
                "batches_per_step needs an iterable of batches",
                but="the data is rows in memory",
                fix="Use batch_size, and microbatch_size for parts of a step.",
            )
        return TensorData(
            convert(data),
            batch_size=batch_size or DEFAULT_BATCH_SIZE,
            seed=seed,
            device=device,
            no_single=no_single,
        )
    return StreamData(
        data,
        batch_size=batch_size,
        seed=seed,
        device=device,
        batches_per_step=batches_per_step,
        convert=convert,
    )


def eval_blocks(
    data: Any, rows: EvalRows, device: torch.device, convert: Convert = as_batch
) -> Iterator[Iterable[Batch]]:
    """Yield blocks of validation rows, in order, each as the batches that go through the model.

    A block is `EVAL_ROWS` rows in memory, or a batch of an iterable. Losses are summed per block, so
    the sums hardly depend on the number of rows at a time.

    Args:
        data: rows in memory, or an iterable of batches.
        rows: the number of rows at a time.
        convert: as in `make_data`.
    """
    if is_in_memory(data, convert):
        for block in ordered_batches(convert(data), EVAL_ROWS, torch.device("cpu")):
            yield ordered_batches(block, rows.in_memory, device)
        return
    restart_workers(data)
    for item in data:
        yield _split(move_batch(convert(item), device), rows.of_batch)


def input_batches(x: Any, rows: EvalRows, device: torch.device) -> Iterator[Batch]:
    """Yield batches of inputs; from an iterable of batches, the first item of each.

    Args:
        x: inputs in memory, or an iterable of batches.
        rows: the number of rows at a time.
    """
    if isinstance(x, Tensor | np.ndarray | tuple | Mapping):
        yield from ordered_batches(Batch(as_tensors(x), None), rows.in_memory, device)
        return
    refuse_rows(x, "data to predict")
    if not isinstance(x, Iterable) or isinstance(x, str | bytes):
        raise ConfigError(
            "data to predict must be tensors, or an iterable of batches",
            got=type(x).__name__,
            fix="Pass the inputs that the model takes.",
        )
    for item in x:
        first = item[0] if isinstance(item, tuple | list) and item else item
        yield from _split(move_batch(Batch(as_tensors(first), None), device), rows.of_batch)


def undisturbed(data: Any) -> AbstractContextManager[None]:
    """Return the context in which to read data: loaders draw from torch's global generator."""
    in_memory = isinstance(data, Tensor | np.ndarray | Mapping | tuple)
    return nullcontext() if in_memory else Drawing()


def is_in_memory(data: Any, convert: Convert = as_batch) -> bool:
    """Tell whether data is a tuple of rows, not an iterable of batches."""
    if convert is as_whole_batch:
        return isinstance(data, tuple | Mapping) and not isinstance(convert(data).x, Opaque)
    if not isinstance(data, tuple) or isinstance(data, Batch):
        return isinstance(data, Batch)
    return len(data) in (2, 3) or not all(isinstance(item, tuple | list) for item in data)


def eval_rows(keywords: Any, fitting: int | None = None) -> EvalRows:
    """Return the number of rows that go through the model at a time in evaluation.

    Args:
        keywords: the trainer, which has the keywords as attributes.
        fitting: rows of a micro-batch that fits in memory. None: no limit is known.
    """
    own = keywords.microbatch_size if isinstance(keywords.microbatch_size, int) else None
    most = keywords.eval_batch_size or fitting or own
    in_training = keywords.batch_size or keywords.loader_rows or DEFAULT_BATCH_SIZE
    return EvalRows(most or min(EVAL_ROWS, in_training), most)


def exactly(batch_size: int) -> EvalRows:
    """Return the same number of rows for rows in memory and for batches.

    Raises:
        ConfigError: the number is below 1.
    """
    if batch_size < 1:
        raise ConfigError("batch_size must be at least 1", got=f"{batch_size}", fix="Leave it out.")
    return EvalRows(batch_size, batch_size)


def check_data(
    data: Any,
    val: Any,
    settings: TrainerSettings,
    *,
    resumable: bool,
    convert: Convert = as_batch,
) -> None:
    """Raise unless data for `Trainer.fit` is what it seems to be, and a run on it can be resumed.

    Args:
        data: training data, as passed.
        val: validation data. None: no validation.
        settings: how often the data is read, and whether validation rows are needed.
        resumable: whether a resumed run must be the same as one that was not interrupted.
        convert: as in `make_data`.

    Raises:
        ConfigError: the message names the fault.
    """
    once = settings.max_epochs == 1
    check_training_data(data, once=once, convert=convert)
    if val is not None:
        check_validation_data(val, once=once, convert=convert)
    if val is None and settings.patience is not None:
        raise ConfigError(
            "patience needs validation rows", fix="Pass val=(x, y), or patience=None."
        )
    if resumable:
        restored = loader_generators(data)
        refuse_own_randomness(data, "training data", restored=restored)
        refuse_own_randomness(val, "validation data", restored=restored)


def check_training_data(data: Any, *, once: bool, convert: Convert = as_batch) -> None:
    """Raise a ConfigError for training data that would be misread or has no rows."""
    _check_readable(data, "training data", once=once, convert=convert)


def check_validation_data(data: Any, *, once: bool, convert: Convert = as_batch) -> None:
    """Raise a ConfigError for validation data that would be misread or has no rows."""
    _check_readable(data, "validation data", once=once, convert=convert)


def refuse_rows(data: Any, what: str) -> None:
    """Raise if data yields single rows instead of batches.

    Raises:
        ConfigError: the message says how to make batches.
    """
    name = type(data).__name__
    own_dataset = hasattr(data, "__getitem__") and not hasattr(data, "__iter__")
    if isinstance(data, Dataset) or own_dataset:
        whole = isinstance(data, IterableDataset)
        raise ConfigError(
            f"{what} must come in batches",
            but=f"a Dataset ({name}) yields single rows",
            fix="Pass DataLoader(dataset, batch_size=256"
            + (
                "), or DataLoader(dataset, batch_size=None) if it yields whole batches."
                if whole
                else ", shuffle=True), or the tensors themselves as (x, y)."
            ),
        )
    if (
        isinstance(data, DataLoader)
        and data.batch_sampler is None
        and isinstance(data.dataset, TensorDataset)
        and isinstance(data.sampler, SequentialSampler | RandomSampler)
    ):
        raise ConfigError(
            f"{what} must come in batches",
            but="a DataLoader of a TensorDataset with batch_size=None yields single rows",
            fix="Give the DataLoader a batch_size.",
        )


def rows_at_once(data: Any, convert: Convert = as_batch) -> int | None:
    """Return the number of rows per batch of an iterable; None if it is not known."""
    if isinstance(data, DataLoader):
        sized = data.batch_size or getattr(data.batch_sampler, "batch_size", None)
        return sized if isinstance(sized, int) else None
    if isinstance(data, list) and data:
        return count_rows(convert(data[0]))
    return None


@contextmanager
def naming_mismatches() -> Iterator[None]:
    """Replace torch's error with a ConfigError if data does not fit the model or the loss.

    Raises:
        ConfigError: the message says what must hold, what torch says, and what to do.
    """
    try:
        yield
    except AfinaError:
        raise
    except (RuntimeError, ValueError, IndexError, TypeError) as error:
        text = str(error)
        for sign, must, fix in _MISMATCHES:
            if sign in text:
                raise ConfigError(
                    must, but=f"torch says: {text.splitlines()[0]}", fix=fix
                ) from error
        raise


_CAST = "Convert the inputs, for example x.float(): numpy's default is float64, torch's float32."
_TYPED = "inputs must have the type of number that the model computes with"
_CLASSES = "targets must be class numbers as int64, one for each row"
_AS_CLASSES = (
    "Convert them, for example y.long().flatten(); for numbers as targets, use a loss such as "
    "nn.MSELoss."
)
_FLOATS = "targets must be floating-point numbers of the same type as the outputs"

_MISMATCHES = (
    ("must have the same dtype", _TYPED, _CAST),
    ("should be the same", _TYPED, _CAST),
    ("does not match weight dtype", _TYPED, _CAST),
    (
        "shapes cannot be multiplied",
        "inputs must have the width that the model takes",
        "Look at the shapes of x and of the model's layers.",
    ),
    (
        "forward() takes",
        "inputs must be the arguments of the model's forward",
        "A tuple x is passed as several arguments; put several batches in a list, not in a tuple.",
    ),
    ("argument #1 'indices'", "inputs of an embedding must be whole numbers", "Use x.long()."),
    ("expected target dtype", _CLASSES, _AS_CLASSES),
    ("expected scalar type Long", _CLASSES, _AS_CLASSES),
    ("multi-target not supported", _CLASSES, _AS_CLASSES),
    (
        "is out of bounds",
        "class numbers must be at least 0 and below the number of outputs",
        "Number the classes from 0, and give the model one output for each.",
    ),
    ("cast to the desired output type", _FLOATS, "Convert them, for example y.float()."),
    ("Found dtype", _FLOATS, "Convert them, for example y.float()."),
    (
        "to match target batch_size",
        "the model must return one output for each target",
        "Look at the shapes of the outputs and of y.",
    ),
    (
        "Expected more than 1 value per channel",
        "batch normalization must see more than one row at a time in training",
        "If the last batch has one row, pass drop_last=True to the DataLoader, or another batch_size.",
    ),
)
"""Part of torch's message; what must hold; what to do."""


def _check_readable(data: Any, what: str, *, once: bool, convert: Convert) -> None:
    refuse_rows(data, what)
    if isinstance(data, Iterator) and not once:
        raise ConfigError(
            f"{what.capitalize()} must be readable once per epoch",
            but=f"a {type(data).__name__} can be read only once",
            fix="Pass a list or a DataLoader.",
        )
    if is_in_memory(data, convert):
        batch = convert(data)
        if count_rows(batch) == 0:
            raise no_rows(what)
        if batch.weights is not None and not bool((batch.weights > 0).any()):
            raise no_weight(what.split(maxsplit=1)[0])
        return
    alone = isinstance(data, Tensor | np.ndarray | Mapping | str | bytes)
    listed = isinstance(data, list) and data and isinstance(data[0], Tensor | np.ndarray)
    if alone or listed or not isinstance(data, Iterable):
        kind = f"a list of {type(data[0]).__name__}s" if listed else type(data).__name__
        raise ConfigError(
            f"{what} must be (x, y) or (x, y, weights), or an iterable of them",
            got=kind,
            fix="Put inputs and targets in a tuple, such as (x, y); (x, None) if the loss needs no "
            "targets.",
        )
    if length_of(data) == 0:
        raise no_rows(what)


def no_rows(what: str) -> ConfigError:
    """Return the error to raise when data is empty."""
    return ConfigError(
        f"{what} must have at least one row",
        got="none",
        fix="Pass at least one. A DataLoader with drop_last=True leaves out a batch that is not "
        "full, and an iterator is empty once it has been read.",
    )


def _split(batch: Batch, most: int | None) -> list[Batch]:
    if most is None or not list_tensors(batch):
        return [batch]
    return split_batch(batch, most, count_rows(batch))
