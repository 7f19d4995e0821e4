"""Finding the format that a column's numbers are written in."""

import re

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from afina.table.cells import as_mask
from afina.table.numeric.number_format import (
    CURLY,
    EXPONENT,
    PLAIN,
    PLAIN_NUMBER,
    SIGN,
    SPACES,
    Decimal,
    NumberFormat,
    Thousands,
    format_pattern,
)

_SIGNS = "R$ C$ A$ US$ CA$ AU$ NZ$ HK$ S$ $ € £ ¥ ₹ ₽ ₩ ₺ ₫ ₴ ₪ ₱ ฿ ₦ ₡ ₲ S/ Fr. kr zł Kč Ft %"
_CODES = (
    "EUR USD GBP CHF JPY CNY CAD AUD NZD SEK NOK DKK PLN CZK HUF INR BRL MXN ARS CLP COP PEN UYU "
    "ZAR RUB TRY KRW SGD HKD ILS THB"
)
_AFFIXES = sorted(f"{_SIGNS} {_CODES}".split(), key=len, reverse=True)  # the longest first
_AFFIX = "|".join(re.escape(sign) for sign in _AFFIXES)
_LOOSE = (
    rf"^{SIGN}{SPACES}*(?P<prefix>(?:{_AFFIX})?){SPACES}*{SIGN}"
    rf"[.,]?[0-9](?:[0-9.,'{CURLY}]|{SPACES}[0-9])*{EXPONENT}"
    rf"{SPACES}*(?P<suffix>(?:{_AFFIX})?)$"
)
_MARKS: tuple[tuple[Decimal, Thousands], ...] = (
    (".", ""),
    (".", ","),
    (",", ""),
    (",", "."),
    (".", " "),
    (",", " "),
    (".", "'"),
    (",", "'"),
)


def find_format(
    texts: pa.Array, counts: NDArray[np.float64]
) -> tuple[NumberFormat, NDArray[np.bool_]]:
    """Find the format that most cells are written in; the plainest if several fit equally.

    Args:
        texts: distinct cells.
        counts: how often each occurs.

    Returns:
        The format, and which texts fit it.
    """
    trimmed = pc.utf8_trim_whitespace(texts)
    best, fits = PLAIN, as_mask(pc.match_substring_regex(trimmed, PLAIN_NUMBER))
    if fits.all():
        return best, fits
    loose = pc.extract_regex(trimmed, _LOOSE)
    is_loose = as_mask(pc.is_valid(loose))
    if counts[is_loose].sum() < 0.5 * counts.sum():
        return best, fits  # mostly words: no format makes numbers of them
    most = counts[fits].sum()
    for prefix, suffix in _likely_affixes(loose, counts, is_loose):
        for decimal, thousands in _MARKS:
            form = NumberFormat(decimal, thousands, prefix, suffix)
            fit = as_mask(pc.match_substring_regex(trimmed, format_pattern(form)))
            if counts[fit].sum() > most:
                best, fits, most = form, fit, counts[fit].sum()
    return best, fits


def is_ambiguous(texts: pa.Array, form: NumberFormat) -> bool:
    """Return whether commas taken as thousands could all be decimal commas too."""
    if form.thousands != "," or form.decimal != ".":
        return False
    twin = format_pattern(NumberFormat(",", "", form.prefix, form.suffix))
    return bool(pc.all(pc.match_substring_regex(pc.utf8_trim_whitespace(texts), twin)).as_py())


def _likely_affixes(
    loose: pa.Array, counts: NDArray[np.float64], is_loose: NDArray[np.bool_]
) -> list[tuple[str, str]]:
    """Return no affix, and the pair of prefix and suffix that most cells have, if any."""
    prefixes, suffixes = (pc.struct_field(loose, name) for name in ("prefix", "suffix"))
    pairs = pc.binary_join_element_wise(prefixes, suffixes, pa.scalar(" ", prefixes.type))
    coded = pairs.dictionary_encode()
    codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    weights = np.bincount(codes[is_loose], counts[is_loose], len(coded.dictionary))
    ranked = sorted(
        (-weight, pair)
        for weight, pair in zip(weights, coded.dictionary.to_pylist(), strict=True)
        if pair != " "
    )
    if not ranked:
        return [("", "")]
    prefix, _, suffix = ranked[0][1].partition(" ")
    return [("", ""), (prefix, suffix)]
