"""Run a fit from its first or resumed step to its end, and evaluate with the trainer's settings."""

from dataclasses import replace
from typing import Any

from torch import nn

from afina.errors import Interrupted
from afina.train import gate
from afina.train.assembly import (
    check_processes,
    choose_sign_reader,
    device_of,
    first_state,
    resume_record,
)
from afina.train.batch_loss import evaluate_sums
from afina.train.evaluate import evaluate_blocks, shared_metrics
from afina.train.events import StopEvent
from afina.train.loop import TrainSetup, stop_event, train
from afina.train.processes import Processes
from afina.train.result import Result
from afina.train.run.checkpoint_plan import CheckpointPlan
from afina.train.run.interrupts import StopRequest
from afina.train.run.journal import Journal, open_journal
from afina.train.run.resume_point import (
    checkpoint_content,
    continued,
    find_snapshot,
    shared_snapshot,
)
from afina.train.run.run_tensors import end_on_best
from afina.train.state import TrainState
from afina.train.trained_module import model_of, with_loss


def run(
    trainer: Any,
    setup: TrainSetup,
    data: Any,
    val: Any,
    *,
    resume: bool,
    request: StopRequest,
    processes: Processes,
) -> Result:
    """Train until the end, and leave the best weights in the model.

    Args:
        trainer: the `Trainer`: its settings, folder and observers.
        setup: what is trained, and how.
        data: training data, as it was passed.
        val: validation data. None: no validation.
        resume: continue from the newest checkpoint, if there is one.
        request: the signal that asked for a stop, if any.
        processes: the processes that train together.
    """
    model, settings, device = setup.model, setup.settings, device_of(setup.model)
    record = resume_record(
        settings,
        batch_size=trainer.batch_size,
        optimizer=trainer.optimizer,
        schedule=trainer.schedule,
        steps_per_epoch=setup.data.steps_per_epoch,
    )
    limits = {"max_epochs": settings.max_epochs, "max_steps": settings.max_steps}
    alike = {**record, **limits, "validation": val is not None, "resume": resume}
    check_processes(settings, data, processes, record=alike)
    snapshot = shared_snapshot(
        processes, lambda: find_snapshot(trainer.folder, record, resume=resume)
    )
    state = first_state(settings)

    def evaluate() -> dict[str, float]:
        return evaluated(trainer, model, val, fitting=state.microbatch_size)

    with (
        continued(setup, state, snapshot, device, processes),
        open_journal(
            trainer.folder,
            settings,
            plan=trainer.checkpoints or CheckpointPlan(),
            observers=trainer.observers,
            request=request,
            whole=checkpoint_content(setup, record, device, processes),
            processes=processes,
            metrics_bytes=0 if snapshot is None else snapshot.metrics_bytes,
        ) as journal,
    ):
        setup = replace(
            setup,
            evaluate=None if val is None else shared_metrics(evaluate, processes),
            read_signs=choose_sign_reader(setup, val, gate.eval_rows(trainer)),
            notify=journal.notify,
            checkpoint=journal.checkpoint,
        )
        return _train_to_end(setup, state, journal)


def _train_to_end(setup: TrainSetup, state: TrainState, journal: Journal) -> Result:
    """Train and end on the best weights, even after Ctrl-C."""
    try:
        stop = train(setup, state)
        journal.save(state)
        if journal.folder is None:  # a Ctrl-C in the last step is not lost
            journal.request.leave_if_asked(step=state.step, saved_in=None)
    except KeyboardInterrupt as error:
        end_on_best(setup.model, state)
        if isinstance(error, Interrupted):
            stop = state.stop or stop_event(setup, state, "interrupted", str(error))
            error.result = _result(setup.model, stop, journal)
        raise
    end_on_best(setup.model, state)
    return _result(setup.model, stop, journal)


def _result(model: nn.Module, stop: StopEvent, journal: Journal) -> Result:
    n_parameters = sum(p.numel() for p in model.parameters() if p.requires_grad)
    return Result(stop, tuple(journal.history), n_parameters)


def evaluated(
    trainer: Any, model: nn.Module, data: Any, *, fitting: int | None = None
) -> dict[str, float]:
    """Return the loss and the scores of the trainer on data.

    Args:
        trainer: the `Trainer`: its loss, scores and number of rows at a time.
        model: the model to evaluate, or what a fit trains.
        fitting: rows of a micro-batch that fits in memory. None: no limit is known.
    """
    loss = trainer.weighted_loss
    rows, convert = gate.eval_rows(trainer, fitting), trainer.convert
    blocks = gate.eval_blocks(data, rows, device_of(model), convert)
    if loss.call is not None:
        return evaluate_sums(model_of(model), loss.call, blocks)
    return evaluate_blocks(with_loss(model, loss), loss, blocks, trainer.scores)
