"""Checks of arguments that many layers share."""

from collections.abc import Collection


def check_choice(name: str, value: object, choices: Collection[str]) -> None:
    """Raise a ValueError unless the argument has one of the allowed values."""
    if value not in choices:
        raise ValueError(f"{name} must be one of {', '.join(choices)}; got {name}={value!r}.")


def check_probability(p: float, *, name: str = "p") -> None:
    """Raise a ValueError unless a probability is in [0, 1)."""
    if not 0.0 <= p < 1.0:
        raise ValueError(f"{name} must be in [0, 1); got {name}={p}. Use 0.0 to disable it.")


def check_sizes(**sizes: int) -> None:
    """Raise a ValueError unless all sizes are at least 1."""
    if min(sizes.values()) < 1:
        values = ", ".join(f"{name}={size}" for name, size in sizes.items())
        raise ValueError(f"{', '.join(sizes)} must be at least 1; got {values}.")
