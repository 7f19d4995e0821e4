"""Numeric columns: recognize, record and encode them."""

from afina.table.numeric.exact_numbers import (
    canonical_number,
    check_finite,
    infinite_error,
    typed_numbers,
    whole_cells,
)
from afina.table.numeric.number_column import NumberColumn, NumberReader, encode_numbers
from afina.table.numeric.number_format import (
    PLAIN,
    NumberFormat,
    all_plain,
    find_format,
    has_leading_zero,
    parse_numbers,
)
from afina.table.numeric.number_inference import infer_text_numbers, infer_typed_numbers

__all__ = [
    "PLAIN",
    "NumberColumn",
    "NumberFormat",
    "NumberReader",
    "all_plain",
    "canonical_number",
    "check_finite",
    "encode_numbers",
    "find_format",
    "has_leading_zero",
    "infer_text_numbers",
    "infer_typed_numbers",
    "infinite_error",
    "parse_numbers",
    "typed_numbers",
    "whole_cells",
]
