#!/usr/bin/env bash
# From a raw table to predictions on the command line:
#
#     bash examples/command_line.sh [TABLE.csv TARGET FOLDER]
#
# The table may have text, numbers, dates and missing values. By default, it is the bundled one.
set -euo pipefail
table=${1:-$(python -c "from afina.data import bundled_table; print(bundled_table())")}
target=${2:-Status}
folder=${3:-.}

afina inspect "$table" --target "$target"
afina fit "$table" --target "$target" --out "$folder/run" --set train.max_epochs=10
afina evaluate "$folder/run" "$table"
afina predict "$folder/run" "$table" --out "$folder/predictions.csv"
head -n 3 "$folder/predictions.csv"
