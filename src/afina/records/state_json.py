"""state.json of a checkpoint: everything but the tensors that is needed to resume."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Strict
from pydantic.dataclasses import dataclass

from afina.records.json_record import Count, Text, parse_record
from afina.storage.bounded_json import MAX_BYTES


@dataclass(frozen=True, kw_only=True)
class CheckpointState:
    """The position of a run, and its settings and environment.

    Args:
        state: the scalars of the training state, as `TrainState.to_dict` returns them.
        monitored: value of the metric that decides which epoch is best. None: no evaluation at this
            step.
        position: the position of the data's iterator, in its own format. None: at the start of an
            epoch.
        metrics_bytes: length of metrics.jsonl at this step.
        conditions: threads, versions and processes, on which the run's bits depend.
        settings: settings that must be the same when the run is resumed.
        trees: the structure of each nested state; its tensors are in `<name>.safetensors`.
    """

    format: Literal[2] = 2
    state: dict[Text, Any]
    monitored: Annotated[float, Strict()] | None
    position: Any
    metrics_bytes: Count
    conditions: dict[Text, Any]
    settings: dict[Text, Any]
    trees: dict[Text, Any]


def parse_state(data: bytes, source: Path) -> CheckpointState:
    """Decode state.json without trusting it, in bounded time.

    Raises:
        CheckpointError: state.json is damaged, or has another format.
    """
    fix = "Use another checkpoint."
    return parse_record(data, CheckpointState, source=source, fix=fix, max_bytes=MAX_BYTES)
