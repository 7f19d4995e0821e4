"""Which column is the target, and which hold weights, groups and times."""

from dataclasses import dataclass

import pyarrow as pa

from afina.config import TableSettings
from afina.errors import SchemaError
from afina.table import did_you_mean

_MOST_NAMES = 12  # column names listed in a message


@dataclass(frozen=True)
class Roles:
    """The names of the columns with a special role.

    Args:
        target: the column to predict.
        weight: the weight of each row; not a feature.
        group: rows with the same value stay on one side of a split; not a feature.
        time: the latest rows are held out; also a feature.
    """

    target: str
    weight: str | None = None
    group: str | None = None
    time: str | None = None

    @property
    def no_features(self) -> tuple[str, ...]:
        """List the columns that the network does not see."""
        return tuple(name for name in (self.target, self.weight, self.group) if name is not None)


def choose_roles(target: str, config: TableSettings) -> Roles:
    """Return the roles that the settings assign to columns."""
    return Roles(target, config.weight, config.group, config.time)


def check_roles(table: pa.Table, roles: Roles, source: str, *, held_out: bool = False) -> None:
    """Raise unless every column with a role exists and no column has two.

    Args:
        table: the table.
        roles: column names by role.
        source: the table's name for messages.
        held_out: the rows are not split, so the group and time columns may be absent.

    Raises:
        SchemaError: a column is missing (the nearest name is suggested), or has two roles.
    """
    needed = {"target": roles.target, "weight": roles.weight}
    if not held_out:
        needed |= {"group": roles.group, "time": roles.time}
    role_of: dict[str, str] = {}
    for role, name in needed.items():
        if name is None:
            continue
        _check_column(table, name, role, source)
        if name in role_of:
            raise SchemaError(
                f"{source}: a column must have only one role",
                but=f"{name!r} is both the {role_of[name]} and the {role} column",
                fix="Choose another column for one of them.",
            )
        role_of[name] = role


def _check_column(table: pa.Table, name: str, role: str, source: str) -> None:
    names = table.column_names
    if name in names:
        return
    fix = did_you_mean(name, names).strip()
    if role == "target" and set(name.split(",")) <= set(names):
        fix = "A model predicts one target: fit one for each column."
    if not fix:
        more = f" and {len(names) - _MOST_NAMES} more" if len(names) > _MOST_NAMES else ""
        fix = f"The columns are {', '.join(map(repr, names[:_MOST_NAMES]))}{more}."
    raise SchemaError(
        f"{source}: the {role} column must be in the table",
        but=f"there is no column {name!r}",
        fix=fix,
    )
