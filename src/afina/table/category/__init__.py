"""Categorical and boolean columns: recognize, record and encode them."""

from afina.table.category.category_column import (
    BOOLEANS,
    FIRST_LEVEL,
    MISSING,
    UNKNOWN,
    CategoryColumn,
    CategoryReader,
    encode_categories,
    unknown_fault,
)
from afina.table.category.category_inference import infer_booleans, infer_categories

__all__ = [
    "BOOLEANS",
    "FIRST_LEVEL",
    "MISSING",
    "UNKNOWN",
    "CategoryColumn",
    "CategoryReader",
    "encode_categories",
    "infer_booleans",
    "infer_categories",
    "unknown_fault",
]
