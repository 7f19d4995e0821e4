"""From a table to rows of numbers and codes: `Given` in, `Prepared` out.

`take_columns` turns a file into a `Given`, and `join_arrays` does so with rows passed from Python;
from there on, `prepare` treats them alike. The modules in the order of use: roles, given, targets,
sides, prepare, rows.
"""

__all__: list[str] = []
