"""From a table to rows of numbers and codes: `Given` in, `Prepared` out.

A file becomes a `Given` by `take_columns`, rows passed from Python by `join_arrays`; from there on
`prepare` knows no difference. In the order in which they are used: roles, given, targets, sides,
prepare, rows.
"""

__all__: list[str] = []
