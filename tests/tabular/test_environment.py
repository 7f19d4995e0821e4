import json
from dataclasses import replace

import torch

from afina.records.env_json import Environment
from afina.records.json_record import parse_record, write_record
from afina.tabular.environment import describe_environment, name_differences


def test_the_environment_reads_back_equal():
    """What is stored of versions and machine reads back equal, and differs in nothing."""
    now = describe_environment(3)
    data = write_record(now)

    assert parse_record(data, Environment, source="env.json") == now
    assert json.loads(data)["scikit-learn"] == now.scikit_learn
    assert now.threads == 3
    assert now.torch in (torch.__version__, torch.__version__.split("+")[0])
    assert name_differences(now, now) == ()


def test_differences_are_named():
    """Each difference that may change a number is a sentence; others are not."""
    now = describe_environment(1)
    sentences = name_differences(replace(now, torch="2.0", platform="elsewhere"), now)

    assert len(sentences) == 1
    assert sentences[0].startswith("torch was 2.0")
