"""`Trainer` as its users meet it."""

import copy
import random
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from afina.errors import AfinaWarning, ConfigError, StorageError
from afina.train import EpochEvent, EvalEvent, StepEvent, Stop, StopEvent, Trainer
from afina.train.events import Event


def rows(n: int = 60, seed: int = 0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(n, 4, generator=generator)
    return x, (x[:, :2].sum(1, keepdim=True) + 0.1 * torch.randn(n, 1, generator=generator))


def network(seed: int = 0, dropout: float = 0.0) -> nn.Module:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 16), nn.ReLU(), nn.Dropout(dropout), nn.Linear(16, 1))


def final(**settings) -> dict[str, Tensor]:
    model = settings.pop("model", None) or network(dropout=0.2)
    data, val = settings.pop("data", rows()), settings.pop("val", rows(20, 1))
    arguments = {"loss": nn.MSELoss(), "batch_size": 16, "max_epochs": 4, "lr": 0.01} | settings
    Trainer(model, **arguments).fit(data, val)
    return model.state_dict()


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return all(torch.equal(a[k], b[k]) for k in a)


def test_it_learns() -> None:
    """A sum of two features is learned, as the validation loss shows."""
    trainer = Trainer(network(), loss=nn.MSELoss(), lr=0.02, batch_size=16, max_epochs=60)
    result = trainer.fit(rows(), rows(40, 1))

    assert result.stop.best < 0.1
    assert result.stop.reason == "max_epochs"
    assert trainer.evaluate(rows(40, 1))["loss"] == pytest.approx(result.stop.best)


def test_same_seed_same_bits_another_seed_others() -> None:
    """A run is a function of its seed, whatever the global generators hold."""
    torch.manual_seed(1)
    first = final(seed=3)
    torch.manual_seed(2)

    assert equal(first, final(seed=3))
    assert not equal(first, final(seed=4))


def test_global_generators_are_given_back() -> None:
    """A fit leaves torch's, numpy's and Python's random numbers as they were."""
    torch.manual_seed(0)
    np.random.seed(0)
    random.seed(0)
    expected = (torch.rand(1).item(), np.random.rand(), random.random())
    torch.manual_seed(0)
    np.random.seed(0)
    random.seed(0)
    model = network()
    torch.manual_seed(0)
    Trainer(model, loss=nn.MSELoss(), max_epochs=2).fit(DataLoader(TensorDataset(*rows()), 8))

    assert (torch.rand(1).item(), np.random.rand(), random.random()) == expected


def test_it_ends_on_the_best_weights() -> None:
    """After an early stop the model gives the best validation loss, not the last."""
    x, y = rows(24)
    trainer = Trainer(network(), loss=nn.MSELoss(), lr=0.3, batch_size=8, max_epochs=40, patience=5)
    result = trainer.fit((x, y), rows(40, 1))
    evals = [e.metrics["val/loss"] for e in result.history if isinstance(e, EvalEvent)]

    assert result.stop.best == min(evals)
    assert evals[-1] > min(evals)
    assert trainer.evaluate(rows(40, 1))["loss"] == min(evals)


def test_seeded_fault_last_weights_are_caught() -> None:
    """Seeded fault: if the best weights are not restored, the check above fails."""
    trainer = Trainer(network(), loss=nn.MSELoss(), lr=0.3, batch_size=8, max_epochs=40, patience=5)
    load, trainer.model.load_state_dict = trainer.model.load_state_dict, lambda *_: None
    result = trainer.fit(rows(24), rows(40, 1))
    trainer.model.load_state_dict = load

    assert trainer.evaluate(rows(40, 1))["loss"] != result.stop.best


def test_validation_leaves_no_trace() -> None:
    """Validating or not, with dropout and batch norm in the net: the same last weights."""

    def last(val, eval_every: int) -> dict[str, Tensor]:
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.3), nn.Linear(8, 1))
        kept = {}

        def watch(event: Event) -> None:
            if isinstance(event, StepEvent):
                kept.update(copy.deepcopy(model.state_dict()))

        Trainer(
            model,
            loss=nn.MSELoss(),
            batch_size=16,
            max_epochs=8,
            eval_every=eval_every,
            observers=[watch],
        ).fit(rows(), val)
        return kept

    never = last(None, 1)
    assert equal(never, last(rows(20, 1), 1))
    assert equal(never, last(rows(20, 1), 7))
    loader = DataLoader(TensorDataset(*rows(20, 1)), batch_size=6, shuffle=True)
    assert equal(never, last(loader, 1))


def test_modes_are_restored() -> None:
    """Each module has its own mode during training and after it; frozen parts stay frozen."""
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1))
    model[1].eval()
    seen = []

    def watch(event: Event) -> None:
        if isinstance(event, StepEvent):
            seen.append([m.training for m in model])

    Trainer(model, loss=nn.MSELoss(), max_epochs=3, observers=[watch]).fit(rows(), rows(9, 1))

    assert {tuple(s) for s in seen} == {(True, False, True, True)}
    assert [m.training for m in model] == [True, False, True, True]
    assert torch.equal(model[1].running_mean, torch.zeros(8))


def test_a_model_in_eval_mode_is_trained_in_train_mode() -> None:
    """A model loaded for prediction trains with its dropout, and is in eval mode again afterwards."""
    model = network(dropout=0.5).eval()
    seen = []
    Trainer(
        model,
        loss=nn.MSELoss(),
        max_epochs=1,
        observers=[lambda e: seen.append(model[2].training) or None],
    ).fit(rows())

    assert seen[0] is True
    assert not model.training


def test_prediction_never_runs_in_train_mode() -> None:
    """With heavy dropout and batch norm, predictions repeat, and rows do not affect each other."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Dropout(0.9), nn.Linear(8, 1))
    trainer = Trainer(model.double(), loss=nn.MSELoss(), max_epochs=2)
    trainer.fit(tuple(part.double() for part in rows()))
    x = rows(30, 2)[0].double()
    whole = trainer.predict(x)

    assert torch.equal(whole, trainer.predict(x))
    for i in range(30):
        torch.testing.assert_close(trainer.predict(x[i : i + 1])[0], whole[i], atol=1e-12, rtol=0)
    assert model.training


def test_loader_and_tensors_agree_on_the_same_batches() -> None:
    """An iterable of the same batches in the same order leads to the same weights."""
    trainer = Trainer(network(), loss=nn.MSELoss(), batch_size=16, max_epochs=1, seed=9)
    batches = [tuple(w[0][:2]) for w in trainer._data(rows()).windows(0, 0)]

    by_tensors = final(model=network(), data=rows(), val=None, max_epochs=1, seed=9)
    by_stream = final(
        model=network(), data=batches, val=None, max_epochs=1, seed=9, batch_size=None
    )
    assert equal(by_tensors, by_stream)


def test_one_row_too_many_for_batch_norm() -> None:
    """A last window of one row does not stop a net with batch normalization."""
    model = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Linear(8, 1))
    result = Trainer(model, loss=nn.MSELoss(), batch_size=16, max_epochs=1).fit(rows(33))

    assert result.stop.step == 2


def test_observers_hear_everything_in_order_and_can_stop() -> None:
    """Steps, epoch, evaluation, stop; a returned text ends the run and is its reason."""
    heard: list[Event] = []

    def observer(event: Event) -> Stop | None:
        heard.append(event)
        return Stop("seen enough") if isinstance(event, EvalEvent) and event.epoch == 2 else None

    result = Trainer(
        network(), loss=nn.MSELoss(), batch_size=30, max_epochs=9, observers=[observer]
    ).fit(rows(), rows(9, 1))

    kinds = [type(e) for e in heard]
    assert kinds == [StepEvent, StepEvent, EpochEvent, EvalEvent] * 2 + [StopEvent]
    assert (result.stop.reason, result.stop.why) == ("observer", "seen enough")


def test_observers_leave_no_trace() -> None:
    """Observers change no bit."""
    assert equal(final(), final(observers=[lambda e: None]))


def test_max_steps_ends_mid_epoch() -> None:
    """max_steps is counted in optimizer steps."""
    result = Trainer(
        network(), loss=nn.MSELoss(), batch_size=16, microbatch_size=4, max_steps=6
    ).fit(rows(), rows(9, 1))

    assert (result.stop.step, result.stop.epoch, result.stop.reason) == (6, 1, "max_steps")
    assert result.stop.best is not None


def test_schedule_goes_by_steps_not_microbatches() -> None:
    """Linear warm-up over four steps, with two micro-batches a step."""
    rates: list[float] = []

    def watch(event: Event) -> None:
        if isinstance(event, StepEvent):
            rates.append(event.lr)

    Trainer(
        network(),
        loss=nn.MSELoss(),
        lr=1.0,
        batch_size=10,
        microbatch_size=5,
        max_epochs=1,
        warmup_steps=4,
        observers=[watch],
    ).fit(rows())

    assert rates == pytest.approx([0.25, 0.5, 0.75, 1.0, 1.0, 1.0])


def test_own_optimizer_keeps_its_rates() -> None:
    """An optimizer passed in is used with its groups and learning rates."""
    model = network()
    optimizer = torch.optim.SGD(
        [{"params": model[0].parameters(), "lr": 0.0}, {"params": model[3].parameters()}], lr=0.1
    )
    before = copy.deepcopy(model.state_dict())
    Trainer(model, loss=nn.MSELoss(), optimizer=optimizer, max_epochs=2).fit(rows())

    assert torch.equal(model[0].weight, before["0.weight"])
    assert not torch.equal(model[3].weight, before["3.weight"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"batch_size": 8, "microbatch_size": 9}, "must not exceed batch_size"),
        ({"batch_size": 0}, "batch_size must be a whole number"),
        ({"monitor": "val/accuracy"}, "higher_is_better must be set"),
    ],
)
def test_wrong_settings_are_refused(settings, message) -> None:
    """An invalid setting is refused before anything runs."""
    with pytest.raises(ConfigError, match=message):
        Trainer(network(), loss=nn.MSELoss(), **settings)


def test_arrays_are_taken_as_tensors() -> None:
    """Numpy arrays lead to exactly the weights that tensors lead to, and can be predicted."""
    x, y = rows()
    model = network()
    trainer = Trainer(model, loss=nn.MSELoss(), max_epochs=2)
    trainer.fit((x.numpy(), y.numpy()), (x.numpy(), y.numpy()))

    assert equal(model.state_dict(), final(model=network(), val=(x, y), max_epochs=2, lr=None,
                                           batch_size=None))  # fmt: skip
    assert torch.equal(trainer.predict(x.numpy()), trainer.predict(x))


def test_predict_takes_a_loader() -> None:
    """An iterable of batches, with or without targets, is predicted in order."""
    x, y = rows()
    trainer = Trainer(network(), loss=nn.MSELoss())
    whole = trainer.predict(x)

    torch.testing.assert_close(trainer.predict(DataLoader(TensorDataset(x, y), 7)), whole)
    torch.testing.assert_close(trainer.predict(list(x.split(9))), whole)


def test_a_finished_run_goes_on_when_its_limit_is_raised(tmp_path) -> None:
    """A run of two epochs, resumed with max_epochs=5, ends on the weights of five epochs."""
    model = network(dropout=0.2)
    settings = {"loss": nn.MSELoss(), "batch_size": 16, "lr": 0.01, "run_dir": tmp_path / "run"}
    Trainer(network(dropout=0.2), max_epochs=2, **settings).fit(rows())
    result = Trainer(model, max_epochs=5, **settings).fit(rows(), resume=True)

    assert result.stop.epoch == 5
    assert equal(model.state_dict(), final(val=None, max_epochs=5))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"optimizer": torch.optim.RMSprop}, "the class RMSprop"),
        ({"data": ((x, y) for x, y in [rows()])}, "generator can be read only once"),
        ({"data": [rows()], "batch_size": 7}, "more rows than batch_size=7; got 60 rows"),
        ({"data": (rows()[0].tolist(), rows()[1])}, "tensors, numpy arrays.*; got float"),
        (
            {"optimizer": lambda m: torch.optim.SGD(m.parameters()), "lr": 1.0},
            "Set them in that optimizer",
        ),
    ],
)
def test_misunderstandings_are_named(settings, message) -> None:
    """Misunderstandings that would be ignored, or would fail later, are refused by name."""
    arguments = {"loss": nn.MSELoss(), "max_epochs": 2} | settings
    data = arguments.pop("data", rows())
    with pytest.raises(ConfigError, match=message):
        Trainer(network(), **arguments).fit(data)


def test_wrong_use_is_refused(tmp_path) -> None:
    """Patience without validation, an unknown monitor, and a folder that holds a run."""
    with pytest.raises(ConfigError, match="patience needs validation rows"):
        Trainer(network(), loss=nn.MSELoss(), patience=3).fit(rows())
    with pytest.raises(ConfigError, match="one of val/loss; got 'val/los_loss'"):
        Trainer(network(), loss=nn.MSELoss(), monitor="val/los_loss").fit(rows(), rows())
    settings = {"loss": nn.MSELoss(), "max_epochs": 1, "run_dir": tmp_path / "run"}
    Trainer(network(), **settings).fit(rows())
    with pytest.raises(StorageError, match="must hold no run yet"):
        Trainer(network(), **settings).fit(rows())


def test_patience_is_extended_while_the_signs_say_so() -> None:
    """A model that has memorized its rows and still shrinks continues past its patience, and says so."""
    generator = torch.Generator().manual_seed(0)
    x, val = (torch.randn(n, 30, generator=generator) for n in (24, 40))
    y, val_y = (torch.randint(0, 2, (n,), generator=generator) for n in (24, 40))

    def fit(**settings):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(30, 64), nn.ReLU(), nn.Linear(64, 2))
        arguments = {"loss": nn.CrossEntropyLoss(), "lr": 0.01, "max_epochs": 400, "patience": 40}
        return Trainer(net, **arguments | settings).fit((x, y), (val, val_y))

    plain = fit(weight_decay=1.0).stop
    asked = {"patience_extends_while": "grokking", "patience_budget": 3.0}
    result = fit(weight_decay=1.0, **asked)
    undecayed = fit(**asked).stop
    extended = [e for e in result.history if isinstance(e, EvalEvent) and e.extended]

    assert plain.reason == result.stop.reason == undecayed.reason == "patience"
    assert len(extended) == result.stop.step - plain.step > 0
    assert f"was extended by {len(extended)} evaluations" in result.stop.why
    assert undecayed.step == plain.step
    assert "not extended: weight decay is off" in undecayed.why


@pytest.mark.parametrize("microbatch_size", [5, "auto"])
def test_batch_normalization_over_the_window_is_the_large_batchs(microbatch_size) -> None:
    """With batchnorm="window", a run in micro-batches ends where the large batch's ends."""
    x, y = (part.double() for part in rows(100))

    def fit(**settings) -> dict[str, Tensor]:
        torch.manual_seed(0)
        net = nn.Sequential(
            nn.Linear(x.shape[1], 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, y.shape[1])
        ).double()
        arguments = {"loss": nn.MSELoss(), "optimizer": "sgd", "lr": 0.01, "batch_size": 32}
        Trainer(net, max_epochs=3, max_grad_norm=1.0, **arguments | settings).fit((x, y))
        return net.state_dict()

    whole = fit()
    window = fit(microbatch_size=microbatch_size, batchnorm="window")
    for name, value in whole.items():
        torch.testing.assert_close(window[name], value, rtol=0, atol=1e-10)
    parts = fit(microbatch_size=5)  # the fault that it guards against
    assert not torch.allclose(parts["1.running_var"], whole["1.running_var"], atol=1e-4)


def test_an_optimizer_of_another_model_is_refused() -> None:
    """An optimizer that holds none of the model's parameters would train nothing."""
    other = torch.optim.SGD(nn.Linear(3, 1).parameters(), lr=0.1)
    with pytest.raises(ConfigError, match="has none of them"):
        Trainer(network(), loss=nn.MSELoss(), optimizer=other).fit(rows())


def test_validation_that_is_no_number_is_said() -> None:
    """NaN among the validation rows is a warning, not only an early end."""
    x, y = rows(20, 1)
    y[0] = float("nan")
    with pytest.warns(AfinaWarning, match="val/loss is NaN after epoch 1"):
        Trainer(network(), loss=nn.MSELoss(), max_epochs=1).fit(rows(), (x, y))


@pytest.mark.parametrize("changed", [{"eval_every": 2}, {"higher_is_better": True}], ids=str)
def test_what_decides_is_the_same_at_resume(tmp_path, changed) -> None:
    """A run is not resumed with other evaluations, or in the other direction."""
    settings = {"loss": nn.MSELoss(), "batch_size": 16, "run_dir": tmp_path / "run"}
    Trainer(network(), max_epochs=2, **settings).fit(rows(), rows(20, 1))
    (name,) = changed
    with pytest.raises(
        ConfigError, match=rf"{name} was .* and is now {changed[name]}\. Restore them"
    ):
        Trainer(network(), max_epochs=4, **settings, **changed).fit(
            rows(), rows(20, 1), resume=True
        )


def test_the_word_none_means_none() -> None:
    """What was a word in files is one for the trainer too, and means None."""
    words = {"averaging": "none", "sharding": "none", "patience_extends_while": "none"}

    assert equal(final(), final(**words))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"lr": "find"}, "lr must be a number, above 0, or None; got lr='find'"),
        ({"batch_size": "auto"}, "a whole number, at least 1, or None; got batch_size='auto'"),
        ({"ema_decay": "auto"}, "at least 0 and below 1; got ema_decay='auto'"),
        ({"microbatch_size": "all"}, 'at least 1, or "auto", or None; got microbatch_size='),
        (
            {"schedule": "linear"},
            '"constant", "cosine", .*"coslog4", or a function of the step, or a torch scheduler; got',
        ),
        ({"optimizer": "lion"}, '"shampoo", or a torch optimizer, or a callable .*; got'),
        ({"compile": 1}, "compile must be True or False; got compile=1"),
        ({"precision": "half"}, 'one of "float32", "bf16", "fp16"; got precision='),
    ],
)
def test_messages_say_what_is_allowed(wrong, message) -> None:
    """A wrong keyword is named, with what it can be and what came."""
    with pytest.raises(ConfigError, match=message):
        Trainer(network(), loss=nn.MSELoss(), **wrong)


def test_attributes_are_what_was_passed() -> None:
    """Keywords are attributes, and a changed one counts at the next fit."""
    trainer = Trainer(network(), loss=nn.MSELoss(), lr=0.5, max_epochs=1)
    assert (trainer.lr, trainer.weight_decay, trainer.max_epochs) == (0.5, None, 1)
    trainer.max_epochs = 2

    assert trainer.fit(rows()).stop.epoch == 2


@pytest.mark.parametrize(
    "wrong",
    [
        {"max_grad_norm": -1.0},
        {"max_grad_norm": 0.0},
        {"weight_decay": -1.0},
        {"l2": -1.0},
        {"min_delta": -1.0},
        {"lr": "find"},
        {"seed": -1},
        {"seed": "a"},
        {"max_epochs": 1.5},
        {"patience": "3"},
        {"microbatch_size": 2.5},
    ],
)
def test_values_that_cannot_be_are_refused_by_name(wrong) -> None:
    """Numbers out of range and wrong types are errors that name the setting."""
    (name,) = wrong
    with pytest.raises(ConfigError, match=name):
        Trainer(network(), loss=nn.MSELoss(), **wrong)


def test_numbers_of_numpy_are_settings(tmp_path: Path) -> None:
    """Settings computed by numpy train the same model as Python's, and can be written and resumed."""
    data, weights = (torch.eye(8, 3), torch.ones(8, 1)), []
    for batch_size, lr in ((4, 0.1), (np.int64(4), np.float64(0.1))):
        torch.manual_seed(0)
        model = nn.Linear(3, 1)
        settings = {"loss": nn.MSELoss(), "batch_size": batch_size, "lr": lr, "max_epochs": 2}
        run_dir = tmp_path / type(lr).__name__
        Trainer(model, **settings, run_dir=run_dir).fit(data)
        Trainer(model, **settings, run_dir=run_dir).fit(data, resume=True)
        weights.append(model.weight.detach())

    assert torch.equal(*weights)
