"""Join the parts: raw table, schema, preprocessing, network, training, predictor.

No other package knows all of them. The command line calls `fit_table`; the estimators offer the
same with scikit-learn's interface. scikit-learn is imported when an estimator is first used.
"""

from typing import TYPE_CHECKING

from afina.lazy import import_on_use
from afina.tabular.inspection import Inspection, inspect_table
from afina.tabular.prediction.artifact import load
from afina.tabular.prediction.predictor import Predictor
from afina.tabular.run.finish import Outcome
from afina.tabular.run.fit import fit_table
from afina.tabular.run.resume import resume_run
from afina.tabular.run.run_folder import was_trained_on

if TYPE_CHECKING:
    from afina.tabular.estimators.estimators import AfinaClassifier, AfinaRegressor
else:
    __getattr__ = import_on_use(
        __name__, estimators__estimators=["AfinaClassifier", "AfinaRegressor"]
    )

__all__ = [
    "AfinaClassifier",
    "AfinaRegressor",
    "Inspection",
    "Outcome",
    "Predictor",
    "fit_table",
    "inspect_table",
    "load",
    "resume_run",
    "was_trained_on",
]
