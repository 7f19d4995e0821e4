"""What a fit returns."""

from dataclasses import dataclass

from afina.train.events import Event, StopEvent


@dataclass(frozen=True)
class Result:
    """What came of a fit: why it ended, events since the last resume, trained parameters."""

    stop: StopEvent
    history: tuple[Event, ...]
    n_parameters: int
