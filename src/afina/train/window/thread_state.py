"""The settings that torch keeps for each thread, taken along to another one."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class Conditions:
    """What the code of one thread runs under.

    Args:
        n_threads: threads that an operation on the CPU may use.
        autocasts: device type and precision of each autocast that is on.
        device: where new tensors are made.
        stream: the CUDA stream; none where CUDA is not used.
    """

    n_threads: int
    autocasts: tuple[tuple[str, torch.dtype], ...]
    device: torch.device
    stream: torch.cuda.Stream | None

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Run under these conditions inside, with gradients; call it in the other thread."""
        if torch.get_num_threads() != self.n_threads:
            torch.set_num_threads(self.n_threads)
        with ExitStack() as stack:
            if self.stream is not None:
                stack.enter_context(torch.cuda.stream(self.stream))
            if self.device.type != "cpu":
                stack.enter_context(self.device)
            for device_type, dtype in self.autocasts:
                stack.enter_context(torch.autocast(device_type, dtype))
            stack.enter_context(torch.enable_grad())
            yield


def current_conditions() -> Conditions:
    """Take down what this thread runs under."""
    types = ("cpu", "cuda") if torch.cuda.is_initialized() else ("cpu",)  # type: ignore[no-untyped-call]
    return Conditions(
        torch.get_num_threads(),
        tuple((t, torch.get_autocast_dtype(t)) for t in types if torch.is_autocast_enabled(t)),
        torch.get_default_device(),
        torch.cuda.current_stream() if "cuda" in types else None,
    )
