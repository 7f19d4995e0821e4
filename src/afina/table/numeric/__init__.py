"""Columns of numbers: how they are recognized, recorded, and encoded."""

from afina.table.numeric.format_search import find_format
from afina.table.numeric.number_column import NumberColumn
from afina.table.numeric.number_encoding import encode_numbers, number_reader
from afina.table.numeric.number_format import (
    PLAIN,
    NumberFormat,
    all_plain,
    has_leading_zero,
    parse_numbers,
)
from afina.table.numeric.number_inference import infer_text_numbers, infer_typed_numbers
from afina.table.numeric.typed_numbers import check_finite, typed_numbers
from afina.table.numeric.whole_numbers import canonical_number, whole_cells

__all__ = [
    "PLAIN",
    "NumberColumn",
    "NumberFormat",
    "all_plain",
    "canonical_number",
    "check_finite",
    "encode_numbers",
    "find_format",
    "has_leading_zero",
    "infer_text_numbers",
    "infer_typed_numbers",
    "number_reader",
    "parse_numbers",
    "typed_numbers",
    "whole_cells",
]
