"""The peers, each at its defaults, with the preparation that its own documentation shows.

What is given beside the defaults: the seed, the number of threads, silence, and which columns are
categories. Every peer is fitted on the same rows in one call; who holds some of them out to stop
early (RealMLP, TabM, gradient boosting of scikit-learn above 10,000 rows) does it as its default
does.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from peer_frame import PeerFrame

Predict = Callable[[pd.DataFrame], NDArray[Any]]


@dataclass(frozen=True)
class Given:
    """What a peer is fitted on.

    Args:
        x: the raw frame.
        y: numbers, or codes of classes from 0.
        classes: whether `y` are codes of classes.
        seed: the peer's seed.
        threads: how many it may use; 0 is its own default.
    """

    x: pd.DataFrame
    y: NDArray[Any]
    classes: bool
    seed: int
    threads: int


@dataclass(frozen=True)
class Peer:
    """A peer: how to fit it, and the packages whose versions matter.

    Args:
        fit: fits on raw rows, and gives what predicts raw rows: numbers, or a probability a class.
        packages: whose versions are noted.
    """

    fit: Callable[[Given], Predict]
    packages: tuple[str, ...]


def catboost(given: Given) -> Predict:
    """Columns of text are named as `cat_features`; missing ones are a level, as it refuses NaN."""
    from catboost import CatBoostClassifier, CatBoostRegressor

    frame = PeerFrame.fit(given.x)
    model = (CatBoostClassifier if given.classes else CatBoostRegressor)(
        random_seed=given.seed,
        thread_count=given.threads or -1,
        cat_features=[f"cat{j}" for j in range(len(frame.levels))],
        verbose=False,
        allow_writing_files=False,
    )
    model.fit(frame.text(given.x), given.y)
    return answers(model, frame.text, classes=given.classes)


def lightgbm(given: Given) -> Predict:
    """Columns of text are pandas categories."""
    from lightgbm import LGBMClassifier, LGBMRegressor

    frame = PeerFrame.fit(given.x)
    model = (LGBMClassifier if given.classes else LGBMRegressor)(
        random_state=given.seed, n_jobs=given.threads or None, verbose=-1
    )
    model.fit(frame.categories(given.x), given.y)
    return answers(model, frame.categories, classes=given.classes)


def xgboost(given: Given) -> Predict:
    """Columns of text are pandas categories."""
    from xgboost import XGBClassifier, XGBRegressor

    frame = PeerFrame.fit(given.x)
    model = (XGBClassifier if given.classes else XGBRegressor)(
        random_state=given.seed, n_jobs=given.threads or None, enable_categorical=True
    )
    model.fit(frame.categories(given.x), given.y)
    return answers(model, frame.categories, classes=given.classes)


def gradient_boosting(given: Given) -> Predict:
    """Columns of text are pandas categories, of which it takes 255 levels at most."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    frame = PeerFrame.fit(given.x, max_levels=254)
    kind = HistGradientBoostingClassifier if given.classes else HistGradientBoostingRegressor
    model = kind(random_state=given.seed)  # categorical_features="from_dtype" is its default
    model.fit(frame.categories(given.x), given.y)
    return answers(model, frame.categories, classes=given.classes)


def forest(given: Given) -> Predict:
    """Columns of text are numbered; missing numbers stay missing."""
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder

    frame = PeerFrame.fit(given.x)
    encode = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    kind = RandomForestClassifier if given.classes else RandomForestRegressor
    model = make_pipeline(
        make_column_transformer((encode, is_category), remainder="passthrough"),
        kind(random_state=given.seed, n_jobs=given.threads or None),
    )
    model.fit(frame.text(given.x), given.y)
    return answers(model, frame.text, classes=given.classes)


def mlp(given: Given) -> Predict:
    """Numbers are imputed by the median and standardized; columns of text are one-hot."""
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    frame = PeerFrame.fit(given.x)
    prepare = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), is_category),
        remainder=make_pipeline(SimpleImputer(strategy="median"), StandardScaler()),
    )
    model = make_pipeline(
        prepare, (MLPClassifier if given.classes else MLPRegressor)(random_state=given.seed)
    )
    model.fit(frame.text(given.x), given.y)
    return answers(model, frame.text, classes=given.classes)


def realmlp(given: Given) -> Predict:
    from pytabkit import RealMLP_TD_Classifier, RealMLP_TD_Regressor

    return pytabkit(RealMLP_TD_Classifier if given.classes else RealMLP_TD_Regressor, given)


def tabm(given: Given) -> Predict:
    from pytabkit import TabM_D_Classifier, TabM_D_Regressor

    return pytabkit(TabM_D_Classifier if given.classes else TabM_D_Regressor, given)


def pytabkit(kind: Any, given: Given) -> Predict:
    """Columns of text are pandas categories; numbers are imputed by the median: it takes no NaN."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    frame = PeerFrame.fit(given.x)
    medians = frame.number_columns(given.x).median().fillna(0.0)

    def prepare(x: pd.DataFrame) -> pd.DataFrame:
        return frame.categories(x).fillna(dict(medians))

    model = kind(random_state=given.seed, n_threads=given.threads or None, device="cpu")
    model.fit(prepare(given.x), given.y if given.classes else given.y.astype(np.float64))
    return answers(model, prepare, classes=given.classes)


def is_category(frame: pd.DataFrame) -> list[str]:
    """Name the columns of text, for scikit-learn's column transformers."""
    return [name for name in frame if name.startswith("cat")]


def answers(
    model: Any, prepare: Callable[[pd.DataFrame], pd.DataFrame], *, classes: bool
) -> Predict:
    """Return the function from raw rows to probabilities or numbers."""
    return partial(_answer, model.predict_proba if classes else model.predict, prepare)


def _answer(
    predict: Callable[[pd.DataFrame], Any],
    prepare: Callable[[pd.DataFrame], pd.DataFrame],
    x: pd.DataFrame,
) -> NDArray[Any]:
    return np.asarray(predict(prepare(x)), dtype=np.float64)


PEERS = {
    "CatBoost": Peer(catboost, ("catboost",)),
    "LightGBM": Peer(lightgbm, ("lightgbm",)),
    "XGBoost": Peer(xgboost, ("xgboost",)),
    "HistGradientBoosting": Peer(gradient_boosting, ("scikit-learn",)),
    "random forest": Peer(forest, ("scikit-learn",)),
    "sklearn MLP": Peer(mlp, ("scikit-learn",)),
    "RealMLP": Peer(realmlp, ("pytabkit", "torch")),
    "TabM": Peer(tabm, ("pytabkit", "torch")),
}
