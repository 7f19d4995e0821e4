"""afina predict: predict the rows of a table."""

import sys
from pathlib import Path
from typing import Annotated

from afina.cli.options import (
    Debug,
    Model,
    Overwrite,
    Quiet,
    ReadingSettings,
    Table,
    reading_arguments,
    value_option,
)


def predict(
    model: Model,
    table: Table,
    out: Annotated[
        Path | None,
        value_option(
            "FILE", "The file to write: .csv, .tsv, .parquet, .feather or .arrow. Default: stdout."
        ),
    ] = None,
    keep: Annotated[
        list[str] | None,
        value_option(
            "COL",
            "Copy a column of the table, such as an identifier, beside the predictions. "
            "Can be given several times.",
        ),
    ] = None,
    overwrite: Overwrite = False,
    settings: ReadingSettings = None,
    _quiet: Quiet = False,
    _debug: Debug = False,
) -> None:
    """Predict each row of a table, in order.

    The output has the columns to keep, a column `prediction` and, for classification, a column `probability_<class>`
    for each class.
    """
    reading = reading_arguments(settings)

    from afina.cli.write import TEXT_FORMATS, check_out, shorten, write_csv, write_table

    if out is not None:
        check_out(out, table=table, overwrite=overwrite)

    from afina.tabular import load

    predictor = load(model)
    kept = keep or ()
    predictions = predictor.predict_table(table, keep=kept, **reading)
    if out is None or out.suffix.lower() in TEXT_FORMATS:
        predictions = shorten(predictions, classes=bool(predictor.classes), kept=kept)
    if out is None:
        write_csv(predictions, sys.stdout.buffer)
    else:
        write_table(predictions, out)
