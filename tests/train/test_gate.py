"""What people pass to the trainer is taken as what it is, or refused by name."""

from collections import UserDict

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from afina.errors import ConfigError
from afina.train import Trainer

GENERATOR = torch.Generator().manual_seed(0)
X = torch.randn(40, 4, generator=GENERATOR)
Y = X[:, :1] * 2 + 0.1
CLASSES = (X[:, 0] > 0).long()


class Heads(nn.Module):
    """Two inputs, two outputs."""

    def __init__(self) -> None:
        super().__init__()
        self.a, self.b = nn.Linear(4, 2), nn.Linear(4, 1)

    def forward(self, x: Tensor, z: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.a(x), self.b(x if z is None else z)


class Stream(IterableDataset):
    """Rows one by one, without a length."""

    def __iter__(self):
        return iter(zip(X, CLASSES, strict=True))


class OwnRows:
    """A dataset of rows that is no torch Dataset."""

    def __len__(self) -> int:
        return len(X)

    def __getitem__(self, at: int) -> tuple[Tensor, Tensor]:
        return X[at], Y[at]


def net(n_outputs: int = 1) -> nn.Module:
    torch.manual_seed(0)
    return nn.Linear(4, n_outputs)


def heads_loss(output, target):
    each = nn.functional.cross_entropy(output[0], target[0], reduction="none")
    return each + (output[1] - target[1])[:, 0] ** 2


def fit(data, val=None, *, model=None, **settings):
    arguments = {"loss": nn.MSELoss(), "max_epochs": 2, "batch_size": None} | settings
    return Trainer(model or net(), **arguments).fit(data, val)


@pytest.mark.parametrize("x", [X, (X, X + 1)], ids=["one input", "two inputs"])
def test_two_targets_in_memory_are_two_targets(x) -> None:
    """((a, b), (y1, y2)) is 40 rows in one batch, and learns what a list of that batch does."""
    torch.manual_seed(0)
    model, twin = Heads(), Heads()
    twin.load_state_dict(model.state_dict())
    result = fit((x, (CLASSES, Y)), model=model, loss=heads_loss, max_epochs=3, batch_size=40)
    trainer = Trainer(twin, loss=heads_loss, max_epochs=3)
    trainer.fit([(x, (CLASSES, Y))], (x, (CLASSES, Y)))

    assert result.stop.step == 3
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, twin.state_dict()[name])


def test_a_torch_loss_of_two_targets_is_named() -> None:
    """A loss of torch's takes one target, and says so."""
    with pytest.raises(ConfigError, match="MSELoss needs one tensor of outputs and one of targets"):
        fit((X, (Y, Y)))


@pytest.mark.parametrize(
    ("third", "message"),
    [
        (torch.arange(40), "got torch.int64 of shape"),
        (CLASSES.bool(), "got torch.bool"),
        (X[:, 0], "at least 0; got -"),
        (X[:, 0].abs() * float("nan"), "got nan"),
        (torch.ones(40, 2), r"shape \(40, 2\) for 40 rows"),
        (torch.ones(39), r"shape \(39,\) for 40 rows"),
        ((torch.ones(40), torch.ones(40)), "got a tuple"),
        (torch.zeros(40), "the weights of all rows are 0"),
    ],
    ids=["index", "bool", "negative", "nan", "two columns", "short", "tuple", "zeros"],
)
@pytest.mark.parametrize("form", ["memory", "list"])
def test_a_third_part_that_is_no_weight_is_refused(third, message, form) -> None:
    """Only one finite number of at least 0 for each row weighs it."""
    data = (X, Y, third)
    with pytest.raises(ConfigError, match=message):
        fit(data if form == "memory" else [data])
    with pytest.raises(ConfigError, match=message):
        Trainer(net(), loss=nn.MSELoss()).evaluate(data if form == "memory" else [data])


def test_weights_of_some_rows_may_be_zero() -> None:
    """A batch without weight takes no step; the others are weighted exactly."""
    half = torch.cat([torch.zeros(20), torch.ones(20)])
    model, twin = net(), net()
    fit((X, Y, half), model=model, batch_size=40)
    fit((X[20:], Y[20:]), model=twin, batch_size=20)
    stopped = fit([(X[:20], Y[:20], half[:20]), (X[20:], Y[20:], half[20:])], model=net())

    torch.testing.assert_close(model.weight, twin.weight)
    assert stopped.stop.step == 4


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (TensorDataset(X, Y), r"a Dataset \(TensorDataset\) yields single rows"),
        (Subset(TensorDataset(X, Y), range(9)), r"a Dataset \(Subset\)"),
        (Stream(), r"a Dataset \(Stream\)"),
        (OwnRows(), r"a Dataset \(OwnRows\)"),
        (DataLoader(TensorDataset(X, Y), batch_size=None), "batch_size=None yields single rows"),
        (X, r"must be \(x, y\).*; got Tensor"),
        (X.numpy(), "got ndarray"),
        ([X, Y], "got a list of Tensors"),
        ({"x": X, "y": Y}, "got dict"),
        ([{"x": X, "labels": Y}], "a dict with the keys 'x', 'labels'.*a pair"),
        ([UserDict(x=X, labels=Y)], "a UserDict with the keys 'x', 'labels'"),
        ((X,), "got tuple of 1"),
        ((X, Y, None, None), "got tuple of 4"),
        ((X, Y[:9]), "same number of rows; got 9 and 40"),
        ((X, torch.tensor(1.0)), "a row for each row of x; got a single number"),
        ((X, np.array(["a"] * 40)), "got an array of <U1"),
        ((X[:0], Y[:0]), "training data must have at least one row"),
        (DataLoader(TensorDataset(X[:3], Y[:3]), 8, drop_last=True), "at least one row"),
        ([], "at least one row"),
        (7, "got int"),
        ((np.ma.masked_greater(X.numpy(), 1), Y), "an array with masked values"),
        (((X, Y), (X, Y)), "put several batches in a list, not in a tuple"),
        ((X[:, :3], Y), "the width that the model takes"),
        ((nn.utils.rnn.pack_sequence([X, X[:3]]), Y), "got PackedSequence.*inside the model"),
    ],
    ids=lambda value: value[:24] if isinstance(value, str) else type(value).__name__,
)
def test_what_is_no_batch_is_named(data, message) -> None:
    """Whatever would be read as something else is refused before a step is taken."""
    with pytest.raises(ConfigError, match=message):
        fit(data)


@pytest.mark.parametrize("make", [dict, UserDict], ids=["dict", "mapping"])
def test_a_mapping_is_keyword_arguments(make) -> None:
    """A dict, or a mapping like Hugging Face's BatchEncoding, is passed by keyword."""
    x = make(x=X, z=X + 1)
    trainer = Trainer(Heads(), loss=heads_loss, max_epochs=1)
    trainer.fit((x, (CLASSES, Y)), [(make(x=X, z=X), (CLASSES, Y))])
    outputs = trainer.predict(x)

    assert [tuple(output.shape) for output in outputs] == [(40, 2), (40, 1)]
    assert torch.equal(trainer.predict([x])[1], outputs[1])


def test_a_loader_of_a_stream_has_no_length() -> None:
    """A DataLoader of an iterable dataset is read to its end, in every epoch."""
    stop = fit(
        DataLoader(Stream(), batch_size=16), model=net(2), loss=nn.CrossEntropyLoss(), max_epochs=2
    ).stop

    assert (stop.step, stop.epoch) == (6, 2)


@pytest.mark.parametrize(
    ("val", "message"),
    [
        ((X[:0], Y[:0]), "validation data must have at least one row"),
        (DataLoader(TensorDataset(X[:3], Y[:3]), 8, drop_last=True), "at least one row"),
        (((X, Y) for _ in range(1)), "Validation data must be readable once per epoch"),
        (zip([X], [Y], strict=True), "a zip can be read only once"),
        (TensorDataset(X, Y), "a Dataset .* yields single rows"),
        ((X, Y, torch.zeros(40)), "validation rows must have a weight above 0"),
    ],
    ids=["no rows", "drop_last", "generator", "zip", "dataset", "weights"],
)
def test_validation_goes_through_the_same_gate(val, message) -> None:
    """Validation data that has no rows, or has them once, is refused before training."""
    model = net()
    with pytest.raises(ConfigError, match=message):
        fit((X, Y), val, model=model)

    assert torch.equal(model.weight, net().weight)


def test_validation_that_runs_dry_is_named() -> None:
    """An iterable that is empty the second time is an error then, not a NaN."""

    class Once:
        def __init__(self) -> None:
            self.batches = iter([(X, Y)])

        def __iter__(self):
            return iter(list(self.batches))

    with pytest.raises(ConfigError, match="an iterator is empty once it has been read"):
        fit((X, Y), Once())


@pytest.mark.parametrize(
    ("data", "settings", "message"),
    [
        ((X.double(), Y), {}, "the type of number that the model computes with.*float()"),
        ((X, CLASSES.float()), {"loss": nn.CrossEntropyLoss(), "n": 2}, "class numbers as int64"),
        ((X, CLASSES.int()), {"loss": nn.CrossEntropyLoss(), "n": 2}, "class numbers as int64"),
        ((X, CLASSES[:, None]), {"loss": nn.CrossEntropyLoss(), "n": 2}, "class numbers as int64"),
        ((X, CLASSES + 1), {"loss": nn.CrossEntropyLoss(), "n": 2}, "below the number of outputs"),
        ((X, CLASSES[:, None]), {"loss": nn.BCEWithLogitsLoss()}, "must be floating-point numbers"),
        ((X, Y.flatten()), {}, r"the same shape; got \(40, 1\) and \(40,\)"),
        ((X, CLASSES), {"loss": nn.CrossEntropyLoss(), "n": 1}, "at least two outputs"),
    ],
    ids=["float64", "float", "int32", "column", "range", "bce", "shape", "one output"],
)
def test_what_does_not_fit_the_loss_is_named(data, settings, message) -> None:
    """Wrong types and shapes are errors that say how to convert, in fit and in evaluate."""
    settings = dict(settings)
    n = settings.pop("n", 1)
    with pytest.raises(ConfigError, match=message):
        fit(data, model=net(n), **settings)
    with pytest.raises(ConfigError, match=message):
        Trainer(net(n), **({"loss": nn.MSELoss()} | settings)).evaluate(data)


def test_a_single_row_before_batch_normalization_is_named() -> None:
    """A loader's last batch of one row is refused with what to do, not by torch's own error."""
    model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Linear(3, 1))
    with pytest.raises(ConfigError, match="drop_last=True"):
        fit(DataLoader(TensorDataset(X, Y), batch_size=13), model=model)


def test_a_sampler_hears_which_epoch_begins() -> None:
    """A dataset or sampler with set_epoch is told, so that its order is a function of the epoch."""
    told = []

    class Rows(Dataset):
        def set_epoch(self, epoch: int) -> None:
            told.append(epoch)

        def __len__(self) -> int:
            return 40

        def __getitem__(self, at: int):
            return X[at], Y[at]

    fit(DataLoader(Rows(), batch_size=20), max_epochs=3)

    assert told == [0, 1, 2]


def test_prediction_of_nothing_is_named() -> None:
    """A loader without a batch, and a dataset of rows, are refused by name."""
    trainer = Trainer(net(), loss=nn.MSELoss())
    with pytest.raises(ConfigError, match="data to predict must have at least one row"):
        trainer.predict(DataLoader(TensorDataset(X[:0], Y[:0]), batch_size=3))
    with pytest.raises(ConfigError, match="data to predict must come in batches"):
        trainer.predict(TensorDataset(X, Y))
    with pytest.raises(ConfigError, match="got NoneType"):
        trainer.predict(None)
    with pytest.raises(ConfigError, match="got NoneType"):
        trainer.evaluate(None)
    with pytest.raises(ConfigError, match="batch_size must be at least 1; got 0"):
        trainer.predict(X, batch_size=0)
