"""afina evaluate: score a model on a table with known targets."""

from afina.cli.options import AsJson, Debug, Model, Quiet, ReadingSettings, Table, reading_arguments
from afina.cli.streams import emit, emit_json, show_note


def evaluate(
    model: Model,
    table: Table,
    settings: ReadingSettings = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    _debug: Debug = False,
) -> None:
    """Score a model on a table whose targets are known.

    Each score is shown next to the score of a baseline, which always predicts the mean target of
    the training rows, or the share of each class among them.
    """
    reading = reading_arguments(settings)

    from afina.table import table_name
    from afina.tabular import load, was_trained_on

    name = table_name(table)
    result = load(model).evaluate_table(table, **reading)
    if was_trained_on(model, table):
        result["notes"].append(
            f"{name} is the table this model was trained on; expect lower scores on new rows"
        )
    if not quiet:
        for note in result["notes"]:
            show_note(note)
    if as_json:
        emit_json({"model": str(model), "table": name, **result})
        return

    from afina.cli.tables import score_lines

    emit("\n".join(score_lines(result["scores"], result["baseline_scores"])))
