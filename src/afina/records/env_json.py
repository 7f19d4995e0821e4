"""env.json: the versions, threads and hardware of a run."""

from typing import Annotated, Literal

from pydantic import ConfigDict, Field
from pydantic.dataclasses import dataclass

from afina.records.json_record import Count, Text


@dataclass(frozen=True, kw_only=True, config=ConfigDict(populate_by_name=True))
class Environment:
    """The conditions, apart from the settings, that affect the last bits of a run's numbers.

    Args:
        cpu_capability: the vector instructions that torch uses.
        n_cpus: number of processors in the machine. None: unknown.
        threads: number of processor threads of the run.
    """

    format: Literal[1] = 1
    afina: Text
    python: Text
    torch: Text
    numpy: Text
    pyarrow: Text
    scikit_learn: Annotated[Text, Field(alias="scikit-learn")]
    platform: Text
    machine: Text
    processor: Text
    cpu_capability: Text
    n_cpus: Count | None
    threads: Count
    device: Text
