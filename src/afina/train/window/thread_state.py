"""The settings that torch keeps for each thread, copied to another thread."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class ThreadState:
    """The settings of torch that apply to one thread.

    Args:
        n_threads: number of threads that an operation on the CPU may use.
        autocasts: device type and precision of each active autocast.
        device: device of new tensors.
        stream: the CUDA stream; None if CUDA is not used.
    """

    n_threads: int
    autocasts: tuple[tuple[str, torch.dtype], ...]
    device: torch.device
    stream: torch.cuda.Stream | None

    @contextmanager
    def restored(self) -> Iterator[None]:
        """Apply these settings in the `with` block, with gradients on; call it in the other thread."""
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


def current_thread_state() -> ThreadState:
    """Return torch's settings in this thread."""
    types = ("cpu", "cuda") if torch.cuda.is_initialized() else ("cpu",)  # type: ignore[no-untyped-call]
    return ThreadState(
        torch.get_num_threads(),
        tuple((t, torch.get_autocast_dtype(t)) for t in types if torch.is_autocast_enabled(t)),
        torch.get_default_device(),
        torch.cuda.current_stream() if "cuda" in types else None,
    )
