import math

import pyarrow as pa
import pytest

from afina.table import RowEncoder, encode, infer_schema, to_table
from afina.table.cells import is_missing_word, missing_word_mask

PANDAS = (
    *(
        "#N/A",
        "#N/A N/A",
        "#NA",
        "-1.#IND",
        "-1.#QNAN",
        "-NaN",
        "-nan",
        "1.#IND",
        "1.#QNAN",
        "<NA>",
    ),
    *("N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"),
)
OTHERS = ("NaT", "NAN", "Nat", "Null", "NONE", "na", "?", "-", ".", " <na> ")
NUMBERS = [f"{row * 1.37:.2f}" for row in range(160)]
DAYS = [f"2024-{1 + row % 12:02}-{1 + row % 28:02}" for row in range(160)]
WORDS = [["true", "false"][row % 2] for row in range(160)]


@pytest.mark.parametrize("word", [*PANDAS, *OTHERS])
@pytest.mark.parametrize(
    ("cells", "kind"), [(NUMBERS, "numeric"), (DAYS, "datetime"), (WORDS, "boolean")]
)
def test_every_usual_word_is_missing(word, cells, kind):
    """All that pandas and polars read or write as missing is missing, in any case."""
    table = to_table({"c": [*cells, *[word] * 40]})
    schema = infer_schema(table)
    column = schema.columns[0]
    features = encode(table, schema, source="table")

    assert (column.kind, column.missing_frac) == (kind, 0.2)
    x = {"numeric": features.x_num, "datetime": features.x_time, "boolean": features.x_cat}[kind]
    missing = x[160:, 0]
    assert (missing == 0).all() if kind == "boolean" else all(map(math.isnan, missing))
    row = RowEncoder(schema).encode({"c": word})
    assert row is not None
    for one, all_rows in zip(
        (row.x_num, row.x_cat, row.x_time),
        (features.x_num, features.x_cat, features.x_time),
        strict=True,
    ):
        assert one.tobytes() == all_rows[-1:].tobytes()


def test_words_of_categories_are_values():
    """Among texts, such a word is a level like any other, and the reason says so."""
    table = to_table({"c": ["Oslo", "n/a", "Rome"] * 20})
    column = infer_schema(table).columns[0]

    assert column.vocabulary == ("Oslo", "Rome", "n/a")
    assert "'n/a' (20 cells) is a level like any other" in column.why


def test_words_of_the_user_keep_their_case():
    """Words that the user adds are missing exactly as written."""
    texts = pa.array(["k.A.", "K.A.", "NULL"])

    assert missing_word_mask(texts, ["k.A."]).tolist() == [True, False, True]
    assert [is_missing_word(text) for text in ("", " ", "x", "NÃN")] == [True, True, False, False]
