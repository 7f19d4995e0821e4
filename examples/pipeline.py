"""Use afina's estimators inside a scikit-learn `Pipeline`, `cross_val_score` and a grid search.

python examples/pipeline.py
"""

import pandas as pd
from sklearn.datasets import load_breast_cancer
from sklearn.decomposition import PCA
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline

import afina
from afina.data import BUNDLED_TARGET, bundled_table


def main() -> tuple[float, float]:
    # A raw table with text, numbers and missing values needs nothing in front of afina.
    table = pd.read_csv(bundled_table()).sample(1200, random_state=0)
    y = table.pop(BUNDLED_TARGET)
    model = afina.AfinaClassifier(max_epochs=20, random_state=0)
    scores = cross_val_score(model, table, y, cv=3, scoring="roc_auc")
    print(f"credit, raw table: AUC {scores.mean():.3f} over 3 folds")

    # Like any other estimator, it works at the end of a pipeline and in a search.
    x, labels = load_breast_cancer(return_X_y=True)
    pipeline = make_pipeline(PCA(10), afina.AfinaClassifier(max_epochs=20, random_state=0))
    search = GridSearchCV(pipeline, {"afinaclassifier__dropout": [0.0, 0.2]}, cv=2)
    search.fit(x, labels)
    print(f"breast cancer, in a pipeline: accuracy {search.best_score_:.3f}")
    return float(scores.mean()), float(search.best_score_)


if __name__ == "__main__":
    main()
