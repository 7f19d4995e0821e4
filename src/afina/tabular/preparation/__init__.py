"""From a table to rows of numbers and codes: `Given` in, `Prepared` out.

`take_columns` turns a file into a `Given`, and `join_arrays` does the same for rows passed from
Python; from there on, `prepare` treats both alike. The modules, in the order in which they are
used: roles, given, targets, sides, prepare, rows.
"""

__all__: list[str] = []
