"""A message is built from its parts, and survives what Python does with exceptions."""

import pickle

import pytest

from afina.errors import AfinaError, Interrupted, PeerError, StorageError


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({}, "a must be."),
        ({"got": "3"}, "a must be; got 3."),
        ({"but": "it is not"}, "a must be, but it is not."),
        ({"got": "3", "fix": "Use 4."}, "a must be; got 3. Use 4."),
        ({"fix": "Use 4."}, "a must be. Use 4."),
    ],
)
@pytest.mark.parametrize("kind", [AfinaError, StorageError])
def test_message(kind: type[AfinaError], parts: dict[str, str], message: str) -> None:
    """What must hold, what came and what to do are joined into sentences."""
    assert message == str(kind("a must be", **parts))


@pytest.mark.parametrize("kind", [AfinaError, StorageError, PeerError])
def test_advice_is_added_and_pickled(kind: type[AfinaError]) -> None:
    """A sentence added later is part of the message, also in another process."""
    error = kind("a must be", fix="Use 4.")
    error.add_fix("Fit again.")
    other = pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes

    assert str(error) == str(other) == "a must be. Use 4. Fit again."
    assert other.fix == "Use 4. Fit again."


def test_advice_on_an_interruption() -> None:
    """An interruption takes further advice too, and keeps its exit code."""
    error = Interrupted("Stopped.", 15)
    error.add_fix("Continue with: afina resume run.")

    assert str(error) == "Stopped. Continue with: afina resume run."
    assert error.exit_code == 143
