"""The lecture's worked example: by hand = by afina's formulas = by torch, to four decimals.

"By hand" is plain Python arithmetic, a number at a time, with nothing of numpy or torch in it.
"""

from math import sqrt

import pytest
import torch
from torch import nn

from afina.nn import batch_norm, layer_norm, make_norm, rms_norm

EPS = 1e-5
SHARE = 0.1  # of the newest batch in the running pair; torch calls it momentum
N = 10
TEN_ROWS = [
    [16, 14, 12],
    [15, 3, 15],
    [16, 7, 6],
    [14, 3, 16],
    [4, 4, 18],
    [8, 11, 9],
    [18, 18, 14],
    [5, 17, 11],
    [15, 9, 11],
    [10, 7, 7],
]
BATCH_MEAN = [12.1, 9.3, 11.9]
BATCH_VAR = [22.29, 27.81, 13.69]
RUNNING_MEAN = [1.21, 0.93, 1.19]
RUNNING_VAR = [3.3767, 3.9900, 2.4211]
ROW_MEAN = [14, 11, 9.6667, 11, 8.6667, 9.3333, 16.6667, 11, 11.6667, 8]
ROW_VAR = [2.6667, 32, 20.2222, 32.6667, 43.5556, 1.5556, 3.5556, 24, 6.2222, 2]
BATCH_NORM_TRAIN = [
    [0.8261, 0.8912, 0.0270],
    [0.6142, -1.1946, 0.8378],
    [0.8261, -0.4361, -1.5946],
    [0.4024, -1.1946, 1.1081],
    [-1.7157, -1.0050, 1.6486],
    [-0.8684, 0.3224, -0.7838],
    [1.2497, 1.6498, 0.5676],
    [-1.5038, 1.4601, -0.2432],
    [0.6142, -0.0569, -0.2432],
    [-0.4448, -0.4361, -1.3243],
]
BATCH_NORM_EVAL = [
    [8.0487, 6.5432, 6.9473],
    [7.5045, 1.0363, 8.8753],
    [8.0487, 3.0388, 3.0913],
    [6.9603, 1.0363, 9.5180],
    [1.5183, 1.5369, 10.8034],
    [3.6951, 5.0413, 5.0193],
    [9.1370, 8.5457, 8.2327],
    [2.0625, 8.0451, 6.3046],
    [7.5045, 4.0400, 6.3046],
    [4.7835, 3.0388, 3.7339],
]
LAYER_NORM = [
    [1.2247, 0.0000, -1.2247],
    [0.7071, -1.4142, 0.7071],
    [1.4084, -0.5930, -0.8154],
    [0.5249, -1.3997, 0.8748],
    [-0.7071, -0.7071, 1.4142],
    [-1.0690, 1.3363, -0.2673],
    [0.7071, 0.7071, -1.4142],
    [-1.2247, 1.2247, 0.0000],
    [1.3363, -1.0690, -0.2673],
    [1.4142, -0.7071, -0.7071],
]
RMS_NORM = [
    [1.1352, 0.9933, 0.8514],
    [1.2127, 0.2425, 1.2127],
    [1.5007, 0.6566, 0.5628],
    [1.1294, 0.2420, 1.2907],
    [0.3672, 0.3672, 1.6524],
    [0.8496, 1.1682, 0.9558],
    [1.0732, 1.0732, 0.8347],
    [0.4152, 1.4118, 0.9135],
    [1.2573, 0.7544, 0.9220],
    [1.2309, 0.8616, 0.8616],
]

Rows = list[list[float]]


def to_four(rows: Rows) -> Rows:
    """Round as the lecture prints: four decimals, and no minus before a zero."""
    return [[round(value, 4) + 0.0 for value in row] for row in rows]


def column(j: int) -> list[int]:
    """Return a feature's ten values."""
    return [row[j] for row in TEN_ROWS]


def batch_mean_by_hand(j: int) -> float:
    """Add up a feature's values and divide by N."""
    return sum(column(j)) / N


def batch_var_by_hand(j: int) -> float:
    """Biased: divided by N."""
    mean = batch_mean_by_hand(j)
    return sum((value - mean) ** 2 for value in column(j)) / N


def running_by_hand(j: int) -> tuple[float, float]:
    """One training step from the fresh pair (0, 1); the variance's share is the unbiased one."""
    unbiased = batch_var_by_hand(j) * N / (N - 1)
    running_mean = (1 - SHARE) * 0 + SHARE * batch_mean_by_hand(j)
    running_var = (1 - SHARE) * 1 + SHARE * unbiased
    return running_mean, running_var


def batch_norm_by_hand(*, training: bool) -> Rows:
    """Normalize each value by its feature's batch pair, or by the running pair."""
    out = []
    for row in TEN_ROWS:
        normed = []
        for j, value in enumerate(row):
            if training:
                mean, var = batch_mean_by_hand(j), batch_var_by_hand(j)
            else:
                mean, var = running_by_hand(j)
            x_norm = (value - mean) / sqrt(var + EPS)
            gamma, beta = 1, 0
            normed.append(gamma * x_norm + beta)
        out.append(normed)
    return out


def layer_norm_by_hand() -> Rows:
    """Normalize each value by its row's mean and biased variance."""
    out = []
    for row in TEN_ROWS:
        mean = sum(row) / 3
        var = sum((value - mean) ** 2 for value in row) / 3
        out.append([(value - mean) / sqrt(var + EPS) for value in row])
    return out


def rms_norm_by_hand() -> Rows:
    """Divide each value by its row's root mean square."""
    out = []
    for row in TEN_ROWS:
        mean_square = sum(value**2 for value in row) / 3
        out.append([value / sqrt(mean_square + EPS) for value in row])
    return out


@pytest.fixture
def x() -> torch.Tensor:
    """Return the ten rows in float64, so that the fourth decimal is the formula's own."""
    return torch.tensor(TEN_ROWS, dtype=torch.float64)


def test_batch_statistics(x: torch.Tensor) -> None:
    """The batch's mean and biased variance are the lecture's."""
    assert [round(batch_mean_by_hand(j), 4) for j in range(3)] == BATCH_MEAN
    assert [round(batch_var_by_hand(j), 4) for j in range(3)] == BATCH_VAR
    assert to_four([x.mean(0).tolist()]) == [BATCH_MEAN]
    assert to_four([x.var(0, correction=0).tolist()]) == [BATCH_VAR]


def test_row_statistics() -> None:
    """Each row's mean and biased variance are the lecture's."""
    means = [sum(row) / 3 for row in TEN_ROWS]
    variances = [
        sum((v - mean) ** 2 for v in row) / 3 for row, mean in zip(TEN_ROWS, means, strict=True)
    ]

    assert [round(mean, 4) for mean in means] == ROW_MEAN
    assert [round(var, 4) for var in variances] == ROW_VAR


def test_batch_norm_train(x: torch.Tensor) -> None:
    """While training, rows are normalized by the batch: by hand, by afina, by afina's layer."""
    formula = batch_norm(x, torch.zeros(3).double(), torch.ones(3).double(), training=True)
    layer = make_norm("batch", 3, momentum=SHARE, eps=EPS).double()
    by_torch = nn.BatchNorm1d(3).double()

    assert to_four(batch_norm_by_hand(training=True)) == BATCH_NORM_TRAIN
    assert to_four(formula.tolist()) == BATCH_NORM_TRAIN
    assert to_four(layer(x).tolist()) == BATCH_NORM_TRAIN
    assert to_four(by_torch(x).tolist()) == BATCH_NORM_TRAIN


def test_running_statistics(x: torch.Tensor) -> None:
    """One step from (0, 1) moves the running pair by a tenth, the variance by the unbiased one."""
    running_mean, running_var = torch.zeros(3).double(), torch.ones(3).double()
    batch_norm(x, running_mean, running_var, training=True)
    layer = make_norm("batch", 3).double()
    layer(x)
    by_torch = nn.BatchNorm1d(3).double()
    by_torch(x)

    assert to_four([[running_by_hand(j)[0] for j in range(3)]]) == [RUNNING_MEAN]
    assert to_four([[running_by_hand(j)[1] for j in range(3)]]) == [RUNNING_VAR]
    assert to_four([running_mean.tolist()]) == [RUNNING_MEAN]
    assert to_four([running_var.tolist()]) == [RUNNING_VAR]
    for module in (layer, by_torch):
        assert to_four([module.get_buffer("running_mean").tolist()]) == [RUNNING_MEAN]
        assert to_four([module.get_buffer("running_var").tolist()]) == [RUNNING_VAR]


def test_batch_norm_eval_after_one_step(x: torch.Tensor) -> None:
    """In evaluation, rows are normalized by the running pair, and do not see each other."""
    running_mean, running_var = torch.zeros(3).double(), torch.ones(3).double()
    batch_norm(x, running_mean, running_var, training=True)
    formula = batch_norm(x, running_mean, running_var, training=False)
    layer = make_norm("batch", 3).double()
    layer(x)
    layer.eval()

    assert to_four(batch_norm_by_hand(training=False)) == BATCH_NORM_EVAL
    assert to_four(formula.tolist()) == BATCH_NORM_EVAL
    assert to_four(layer(x).tolist()) == BATCH_NORM_EVAL
    assert to_four([layer(x[i : i + 1]).flatten().tolist() for i in range(N)]) == BATCH_NORM_EVAL


def test_layer_norm(x: torch.Tensor) -> None:
    """Layer normalization centers and scales each row by itself."""
    assert to_four(layer_norm_by_hand()) == LAYER_NORM
    assert to_four(layer_norm(x).tolist()) == LAYER_NORM
    assert to_four(make_norm("layer", 3).double()(x).tolist()) == LAYER_NORM
    assert to_four(nn.LayerNorm(3).double()(x).tolist()) == LAYER_NORM


def test_rms_norm(x: torch.Tensor) -> None:
    """RMS normalization scales each row by itself and centers nothing."""
    assert to_four(rms_norm_by_hand()) == RMS_NORM
    assert to_four(rms_norm(x).tolist()) == RMS_NORM
    assert to_four(make_norm("rms", 3).double()(x).tolist()) == RMS_NORM
    assert to_four(nn.RMSNorm(3, eps=EPS).double()(x).tolist()) == RMS_NORM


def test_float32_gives_the_same_figures() -> None:
    """The precision that networks run in gives the figures within half a unit of the last place."""
    x = torch.tensor(TEN_ROWS, dtype=torch.float32)
    layer = make_norm("batch", 3)

    for got, wanted in (
        (layer(x), BATCH_NORM_TRAIN),
        (layer.eval()(x), BATCH_NORM_EVAL),
        (make_norm("layer", 3)(x), LAYER_NORM),
        (make_norm("rms", 3)(x), RMS_NORM),
    ):
        torch.testing.assert_close(got, torch.tensor(wanted), rtol=0, atol=6e-5)
