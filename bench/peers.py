"""The peers, each with its defaults and the preparation that its own documentation shows.

Only these arguments are set: the seed, the number of threads, silence, and which columns are
categories. Every peer is fitted on the same rows in one call. Peers that hold some rows out to stop
early (RealMLP, TabM, scikit-learn's gradient boosting above 10,000 rows) do so by their defaults.
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
class FitData:
    """The data and arguments for fitting a peer.

    Args:
        x: the raw frame.
        y: numbers, or class codes from 0.
        classes: whether `y` holds class codes.
        seed: the peer's seed.
        threads: how many threads it may use; 0 means the peer's default.
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
        fit: fits on raw rows and returns a function that predicts raw rows: numbers, or class
            probabilities.
        packages: packages whose versions are recorded.
    """

    fit: Callable[[FitData], Predict]
    packages: tuple[str, ...]


def catboost(data: FitData) -> Predict:
    """Text columns are named as `cat_features`; missing is a level, because CatBoost rejects NaN."""
    from catboost import CatBoostClassifier, CatBoostRegressor

    frame = PeerFrame.fit(data.x)
    model = (CatBoostClassifier if data.classes else CatBoostRegressor)(
        random_seed=data.seed,
        thread_count=data.threads or -1,
        cat_features=[f"cat{j}" for j in range(len(frame.levels))],
        verbose=False,
        allow_writing_files=False,
    )
    model.fit(frame.text(data.x), data.y)
    return make_predict(model, frame.text, classes=data.classes)


def lightgbm(data: FitData) -> Predict:
    """Text columns are pandas categories."""
    from lightgbm import LGBMClassifier, LGBMRegressor

    frame = PeerFrame.fit(data.x)
    model = (LGBMClassifier if data.classes else LGBMRegressor)(
        random_state=data.seed, n_jobs=data.threads or None, verbose=-1
    )
    model.fit(frame.categories(data.x), data.y)
    return make_predict(model, frame.categories, classes=data.classes)


def xgboost(data: FitData) -> Predict:
    """Text columns are pandas categories."""
    from xgboost import XGBClassifier, XGBRegressor

    frame = PeerFrame.fit(data.x)
    model = (XGBClassifier if data.classes else XGBRegressor)(
        random_state=data.seed, n_jobs=data.threads or None, enable_categorical=True
    )
    model.fit(frame.categories(data.x), data.y)
    return make_predict(model, frame.categories, classes=data.classes)


def gradient_boosting(data: FitData) -> Predict:
    """Text columns are pandas categories, of at most 255 levels."""
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    frame = PeerFrame.fit(data.x, max_levels=254)
    kind = HistGradientBoostingClassifier if data.classes else HistGradientBoostingRegressor
    model = kind(random_state=data.seed)  # categorical_features="from_dtype" is its default
    model.fit(frame.categories(data.x), data.y)
    return make_predict(model, frame.categories, classes=data.classes)


def forest(data: FitData) -> Predict:
    """Text columns are ordinal codes; missing numbers stay missing."""
    from sklearn.compose import make_column_transformer
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OrdinalEncoder

    frame = PeerFrame.fit(data.x)
    encode = OrdinalEncoder(handle_unknown="use_encoded_value", unknown_value=-1)
    kind = RandomForestClassifier if data.classes else RandomForestRegressor
    model = make_pipeline(
        make_column_transformer((encode, is_category), remainder="passthrough"),
        kind(random_state=data.seed, n_jobs=data.threads or None),
    )
    model.fit(frame.text(data.x), data.y)
    return make_predict(model, frame.text, classes=data.classes)


def mlp(data: FitData) -> Predict:
    """Numbers are imputed by the median and standardized; text columns are one-hot encoded."""
    from sklearn.compose import make_column_transformer
    from sklearn.impute import SimpleImputer
    from sklearn.neural_network import MLPClassifier, MLPRegressor
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import OneHotEncoder, StandardScaler

    frame = PeerFrame.fit(data.x)
    prepare = make_column_transformer(
        (OneHotEncoder(handle_unknown="ignore"), is_category),
        remainder=make_pipeline(SimpleImputer(strategy="median"), StandardScaler()),
    )
    model = make_pipeline(
        prepare, (MLPClassifier if data.classes else MLPRegressor)(random_state=data.seed)
    )
    model.fit(frame.text(data.x), data.y)
    return make_predict(model, frame.text, classes=data.classes)


def realmlp(data: FitData) -> Predict:
    from pytabkit import RealMLP_TD_Classifier, RealMLP_TD_Regressor

    return pytabkit(RealMLP_TD_Classifier if data.classes else RealMLP_TD_Regressor, data)


def tabm(data: FitData) -> Predict:
    from pytabkit import TabM_D_Classifier, TabM_D_Regressor

    return pytabkit(TabM_D_Classifier if data.classes else TabM_D_Regressor, data)


def pytabkit(kind: Any, data: FitData) -> Predict:
    """Text columns are pandas categories; numbers are imputed by the median, since NaN is rejected."""
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    frame = PeerFrame.fit(data.x)
    medians = frame.number_columns(data.x).median().fillna(0.0)

    def prepare(x: pd.DataFrame) -> pd.DataFrame:
        return frame.categories(x).fillna(dict(medians))

    model = kind(random_state=data.seed, n_threads=data.threads or None, device="cpu")
    model.fit(prepare(data.x), data.y if data.classes else data.y.astype(np.float64))
    return make_predict(model, prepare, classes=data.classes)


def is_category(frame: pd.DataFrame) -> list[str]:
    """Return the names of the text columns, for scikit-learn's column transformers."""
    return [name for name in frame if name.startswith("cat")]


def make_predict(
    model: Any, prepare: Callable[[pd.DataFrame], pd.DataFrame], *, classes: bool
) -> Predict:
    """Return the function from raw rows to probabilities or numbers."""
    return partial(_predict, model.predict_proba if classes else model.predict, prepare)


def _predict(
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
