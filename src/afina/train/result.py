"""What a fit returns."""

from dataclasses import dataclass
from typing import Any

from afina.errors import ConfigError
from afina.train.events import EpochEvent, EvalEvent, Event, StopEvent
from afina.train.notebook import describe_stop, draw_html, loss_curves


@dataclass(frozen=True)
class Result:
    """The result of a fit: why it ended, events since the last resume, trained parameters."""

    stop: StopEvent
    history: tuple[Event, ...]
    n_parameters: int

    def __repr__(self) -> str:
        return f"Result({describe_stop(self.stop, self.n_parameters)})"

    def _repr_html_(self) -> str:
        """Return what a notebook shows: the text, with the loss curves."""
        sentence = describe_stop(self.stop, self.n_parameters)
        return draw_html("Result", sentence, loss_curves(self.history))

    def to_pandas(self) -> Any:
        """Return a data frame with one row for each epoch or evaluation since the last resume.

        Its columns are `step`, `epoch`, `train/loss` (NaN between epochs), the metrics of the
        evaluations by name, and `best`: whether the evaluation was the best so far.

        Raises:
            ConfigError: pandas is not installed.
        """
        try:
            import pandas as pd  # noqa: PLC0415 - not a dependency
        except ImportError:
            raise ConfigError(
                "to_pandas needs pandas",
                but="it cannot be imported",
                fix="Run pip install pandas, or read result.history.",
            ) from None
        rows: dict[int, dict[str, Any]] = {}
        for event in self.history:
            if not isinstance(event, EpochEvent | EvalEvent):
                continue
            row = rows.setdefault(event.step, {"step": event.step})
            row["epoch"] = event.epoch
            if isinstance(event, EpochEvent):
                row["train/loss"] = event.loss
            else:
                row |= {**event.metrics, "best": event.best}
        metrics = dict.fromkeys(name for row in rows.values() for name in row)
        columns = [*dict.fromkeys(["step", "epoch", "train/loss", *metrics, "best"])]
        columns.append(columns.pop(columns.index("best")))
        frame = pd.DataFrame(list(rows.values()), columns=columns)
        frame["best"] = [row.get("best", False) for row in rows.values()]
        return frame.astype({"step": "int64", "epoch": "int64", "train/loss": float, "best": bool})
