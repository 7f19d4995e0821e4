import datetime as dt

import pyarrow as pa
import pyarrow.parquet
import pytest

from afina.errors import SchemaError
from afina.tabular import fit_table, load


@pytest.fixture
def predictor(tables, kinds_csv, tmp_path):
    return load(fit_table(kinds_csv, target="kind", config=tables.config(), out=tmp_path / "r").run)


def with_columns(tables, path, **columns):
    """Write the table again with more columns."""
    made = tables.without(tables.make(120), "price", "kind")
    return tables.write(path, {**columns, **made})


def test_kept_columns_stand_beside_each_prediction(predictor, tables, kinds_csv, tmp_path, recwarn):
    """Identifiers come first, unchanged, in the order requested; predictions are as without."""
    ids = [f"{row:05d}" for row in range(120)]
    path = with_columns(tables, tmp_path / "new.csv", id=ids, note=["x, y".replace(",", "")] * 120)
    kept = predictor.predict_table(path, keep=["note", "id", "code", "id"])

    assert kept.column_names[:4] == ["note", "id", "code", "prediction"]
    assert kept["id"].to_pylist() == ids
    assert kept.drop_columns(["note", "id", "code"]).equals(predictor.predict_table(kinds_csv))
    assert not [warning for warning in recwarn if "id" in str(warning.message)]


def test_the_target_can_be_kept(predictor, kinds_csv):
    """The known target beside the prediction is a comparison at a glance."""
    kept = predictor.predict_table(kinds_csv, keep=["kind"])

    assert set(kept["kind"].to_pylist()) == {"cheap", "dear", "fair"}
    assert kept.drop_columns(["kind"]).equals(predictor.predict_table(kinds_csv))


def test_typed_columns_keep_their_type(predictor, tables, tmp_path):
    """Numbers, dates and missing cells of a typed file stay what they are."""
    made = tables.without(tables.make(120), "price", "kind")
    days = [dt.date(2024, 1, 1) + dt.timedelta(row) for row in range(120)]
    columns = {"key": pa.array([None, *range(1, 120)], pa.int64()), "when": days}
    path = tmp_path / "new.parquet"
    pa.parquet.write_table(pa.table({**columns, **made}), path)
    kept = predictor.predict_table(path, keep=["key", "when"])

    assert kept["key"].to_pylist() == [None, *range(1, 120)]
    assert kept["when"].to_pylist() == days
    assert kept.schema.field("key").type == pa.int64()


@pytest.mark.parametrize("name", ["prediction", "probability_dear"])
def test_a_name_of_the_output_is_refused(predictor, tables, tmp_path, name):
    """A kept column that would be taken for a prediction is refused by name."""
    path = with_columns(tables, tmp_path / "new.csv", **{name: ["1"] * 120})
    with pytest.raises(
        SchemaError, match=f"must not have the name .*'{name}' is one of them. Rename"
    ):
        predictor.predict_table(path, keep=[name])
    with pytest.warns(UserWarning, match=name):
        assert predictor.predict_table(path).num_rows == 120


def test_an_absent_column_is_refused(predictor, kinds_csv):
    """A column that is not there is refused, with the one that was probably meant."""
    with pytest.raises(SchemaError, match=r"no column 'kinds'\. Did you mean 'kind'"):
        predictor.predict_table(kinds_csv, keep=["kinds"])
    with pytest.raises(SchemaError, match=r"no column 'zzz'\. The columns are 'size', "):
        predictor.predict_table(kinds_csv, keep=["zzz"])
