"""Columns of dates: recognize, record and encode them."""

from afina.table.date.date_column import DateColumn, DateReader, encode_dates
from afina.table.date.date_format import find_date_formats, parse_dates
from afina.table.date.date_inference import infer_text_dates, infer_typed_dates

__all__ = [
    "DateColumn",
    "DateReader",
    "encode_dates",
    "find_date_formats",
    "infer_text_dates",
    "infer_typed_dates",
    "parse_dates",
]
