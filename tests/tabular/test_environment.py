import json

import pytest
import torch

from afina.tabular.environment import describe_environment, name_differences, torch_threads


def test_the_environment_is_plain_json():
    """What is stored of versions and machine reads back equal, and differs in nothing."""
    found = describe_environment(3)

    assert json.loads(json.dumps(found)) == found
    assert found["threads"] == 3
    assert found["torch"] == torch.__version__.split("+")[0] or found["torch"] == torch.__version__
    assert name_differences(found, found) == ()


def test_differences_are_named():
    """Each difference that may change a number is a sentence; others are not."""
    then = describe_environment(1)
    found = name_differences({**then, "torch": "2.0", "platform": "elsewhere"}, then)

    assert len(found) == 1
    assert found[0].startswith("torch was 2.0")


def test_threads_are_given_back():
    """Inside, torch has the threads asked for; afterwards those it had, also after an error."""
    before = torch.get_num_threads()
    with torch_threads(2):
        assert torch.get_num_threads() == 2
    with pytest.raises(ZeroDivisionError), torch_threads(2):
        _ = 1 / 0

    assert torch.get_num_threads() == before
