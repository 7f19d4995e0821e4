"""The settings of one thread apply in another."""

import threading

import torch

from afina.train.window.thread_state import current_thread_state


def test_conditions_come_along() -> None:
    """Autocast, the number of threads and the gradient mode are the caller's in another thread."""
    found = {}

    def look(name: str) -> None:
        found[name] = (
            torch.is_autocast_enabled("cpu"),
            torch.get_num_threads(),
            torch.is_grad_enabled(),
            torch.tensor(0.0).device.type,
        )

    def look_with() -> None:
        with conditions.restored():
            look("with")

    with torch.autocast("cpu", torch.bfloat16), torch.device("meta"):
        conditions = current_thread_state()
        for target in (lambda: look("without"), look_with):
            thread = threading.Thread(target=target)
            thread.start()
            thread.join()

    assert found["with"] == (True, torch.get_num_threads(), True, "meta")
    assert found["without"][0] is False
    assert found["without"][3] == "cpu"
