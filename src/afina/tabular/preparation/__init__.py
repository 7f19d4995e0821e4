"""From a table to rows of numbers and codes: roles of columns, split, schema."""

__all__: list[str] = []
