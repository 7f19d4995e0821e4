import pytest

from afina.errors import SchemaError
from afina.tabular import fit_table, inspect_table


def test_a_table_is_inspected_as_it_would_be_fitted(tables, kinds_csv, tmp_path):
    """With a target, the schema is that of a fit with the same settings."""
    found = inspect_table(kinds_csv, target="kind", config=tables.config())
    done = fit_table(kinds_csv, target="kind", config=tables.config(), out=tmp_path / "run")

    assert found.schema == done.schema
    assert (found.target, found.n_rows) == ("kind", 120)
    assert any("multiclass" in note for note in found.notes)


def test_without_a_target_every_column_is_shown(tables, kinds_csv):
    """Without a target the schema has all columns, and nothing is written."""
    found = inspect_table(kinds_csv)

    assert found.target is None
    assert [column.name for column in found.schema.columns] == [
        "size",
        "color",
        "sunny",
        "day",
        "code",
        "kind",
    ]
    assert [path.name for path in kinds_csv.parent.iterdir()] == ["kinds.csv"]


def test_a_wrong_target_is_named(kinds_csv):
    """A target that is not there is an error with the nearest name."""
    with pytest.raises(SchemaError, match="Did you mean 'color'"):
        inspect_table(kinds_csv, target="colour")


def test_the_bundled_table_is_the_default():
    """Without a table, the one that ships with afina is shown."""
    assert inspect_table(None).target == "Status"
