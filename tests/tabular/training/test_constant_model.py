"""A model that predicts the baseline, whatever its layers."""

import numpy as np
import pytest
import torch

from afina.config import apply_settings
from afina.table import NumberColumn, NumberFormat, Schema
from afina.tabular.preparation.rows import Rows
from afina.tabular.probabilities import to_predictions
from afina.tabular.scoring import learn_baseline
from afina.tabular.training.constant_model import make_constant_
from afina.tabular.training.plan import make_plan

PLAIN = NumberFormat(".", "", "", "")
SCHEMA = Schema((NumberColumn("a", "numeric", "why", number=PLAIN),))
KINDS = {
    "ensemble": ["model.members=2", "model.members_differ=weights"],
    "no skip": ["model.members=2", "model.members_differ=weights", "model.linear_skip=false"],
    "members": ["model.members=2", "model.members_differ=layers"],
    "input": ["model.members=2", "model.members_differ=input"],
    "mlp": ["model.norm=batch", "model.residual=true"],
    "linear": ["model.n_blocks=0"],
    "log": ["preprocess.target_transform=log"],
}


@pytest.mark.parametrize("n_classes", [0, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_network_can_predict_the_baseline(tables, kind, n_classes, rng):
    """Whatever the network, the prediction for every row is the weighted shares or mean."""
    x, none = rng.normal(size=(60, 1)), np.empty((60, 0))
    y = rng.integers(0, 3, 60) if n_classes else np.exp(rng.normal(size=60)) + 1e3
    rows = Rows(x, none.astype(np.int64), none, y, rng.random(60) + 0.1)
    config = apply_settings(tables.config(), KINDS[kind])
    plan = make_plan(rows, rows, schema=SCHEMA, n_classes=n_classes, config=config)
    baseline = learn_baseline(rows, n_classes)
    make_constant_(plan.built.model, baseline)
    with torch.no_grad():
        outputs = plan.built.model.eval()(torch.tensor(x), *map(torch.tensor, (rows.x_cat, none)))

    predictions = to_predictions(outputs.double().numpy(), n_classes)
    assert predictions == pytest.approx(baseline.predict(60), rel=1e-5)
