"""Formats of numbers in text cells: decimal mark, thousands, currency and percent signs."""

import re
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Annotated, Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray
from pydantic import Field

from afina.table.cells import as_mask, to_codes
from afina.table.column import Text

Affix = Annotated[Text, Field(max_length=8)]
Decimal = Literal[".", ","]
Thousands = Literal["", ",", ".", " ", "'"]

_SPACES = "[ \u00a0\u2009\u202f]"  # no-break and thin spaces included
_CURLY = "\u2019"  # the typographic apostrophe
_SIGN = "[+\u2212-]?"
EXPONENT = r"(?:[eE][+-]?[0-9]+)?"
_PLAIN_NUMBER = rf"^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+){EXPONENT}$"
_PLAIN_TEXT = re.compile(_PLAIN_NUMBER)
_THOUSANDS = {",": ",", ".": r"\.", " ": _SPACES, "'": f"['{_CURLY}]"}
_WORDS = {".": "point", ",": "comma", " ": "space", "'": "apostrophe"}
_LEADING_ZERO = r"^[+-]?0[0-9]"
_SIGNS = "R$ C$ A$ US$ CA$ AU$ NZ$ HK$ S$ $ € £ ¥ ₹ ₽ ₩ ₺ ₫ ₴ ₪ ₱ ฿ ₦ ₡ ₲ S/ Fr. kr zł Kč Ft %"
_CODES = (
    "EUR USD GBP CHF JPY CNY CAD AUD NZD SEK NOK DKK PLN CZK HUF INR BRL MXN ARS CLP COP PEN UYU "
    "ZAR RUB TRY KRW SGD HKD ILS THB"
)
_AFFIXES = sorted(f"{_SIGNS} {_CODES}".split(), key=len, reverse=True)  # the longest first
_AFFIX = "|".join(re.escape(sign) for sign in _AFFIXES)
_LOOSE = (
    rf"^{_SIGN}{_SPACES}*(?P<prefix>(?:{_AFFIX})?){_SPACES}*{_SIGN}"
    rf"[.,]?[0-9](?:[0-9.,'{_CURLY}]|{_SPACES}[0-9])*{EXPONENT}"
    rf"{_SPACES}*(?P<suffix>(?:{_AFFIX})?)$"
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


@dataclass(frozen=True)
class NumberFormat:
    """The way numbers are written in a column.

    Args:
        decimal: `.` or `,`.
        thousands: separator between groups of three digits: `,`, `.`, a space (or no-break space),
            an apostrophe, or none.
        prefix: a currency sign or code that may precede the number.
        suffix: a currency sign or code that may follow the number, or `%`, which must follow it.

    Example:
        >>> NumberFormat(decimal=",", thousands=".", suffix="€").describe()
        "numbers with decimal comma, points between thousands, '€' at the end"
    """

    decimal: Decimal = "."
    thousands: Thousands = ""
    prefix: Affix = ""
    suffix: Affix = ""

    def __post_init__(self) -> None:
        if self.decimal == self.thousands:
            raise ValueError(
                f"decimal and thousands must be different marks; both are {self.decimal!r}."
            )

    def describe(self) -> str:
        """Describe the format in words."""
        notes = ["decimal comma"] * (self.decimal == ",")
        notes += [f"{_WORDS[self.thousands]}s between thousands"] if self.thousands else []
        notes += [f"{self.prefix!r} in front"] if self.prefix else []
        notes += [f"{self.suffix!r} at the end"] if self.suffix else []
        return "numbers" + (" with " + ", ".join(notes) if notes else "")

    @cached_property
    def is_plain(self) -> bool:
        """Whether the format has a decimal point and nothing else."""
        return self == PLAIN

    @cached_property
    def compiled(self) -> re.Pattern[str]:
        """The regular expression that trimmed text in this format matches."""
        return re.compile(_pattern(self))

    @cached_property
    def separators(self) -> str:
        """The regular expression of thousands separators, which are removed."""
        return f"{_THOUSANDS[self.thousands]}|{_SPACES}" if self.thousands else _SPACES


PLAIN = NumberFormat()


def parse_numbers(
    texts: pa.Array, form: NumberFormat
) -> tuple[NDArray[np.float64], NDArray[np.bool_], pa.Array]:
    """Read text values as numbers in one format.

    Returns:
        The numbers (NaN for text that is not a number, infinity for a number that is too large);
        which values are numbers; and the numbers as plain text (null for text that is not a
        number).

    Example:
        >>> parse_numbers(pa.array(["1.234,5 €", "x"]), NumberFormat(",", ".", "", "€"))[0]
        array([1234.5,    nan])
    """
    plain = _write_plainly(texts, form)
    return (
        plain.cast(pa.float64()).to_numpy(zero_copy_only=False),
        as_mask(plain.is_valid()),
        plain,
    )


def parse_number(text: str, form: NumberFormat) -> tuple[float, str] | None:
    """Read one value as `parse_numbers` does, a hundred times as fast.

    Returns:
        The number (infinity if it is too large) and its plain text; None for text that is not a
        number.

    Example:
        >>> parse_number("1.234,5 €", NumberFormat(",", ".", "", "€"))
        (1234.5, '1234.5')
    """
    plain = text.strip()
    if form.is_plain and _PLAIN_TEXT.fullmatch(plain):
        return float(plain), plain
    if not form.compiled.fullmatch(plain):
        return None
    for sign in (form.prefix, form.suffix):
        plain = plain.replace(sign, "") if sign else plain
    plain = re.sub(form.separators, "", plain).replace("\u2212", "-")
    plain = plain.replace(",", ".") if form.decimal == "," else plain
    return float(plain), plain


def has_leading_zero(texts: pa.Array) -> NDArray[np.bool_]:
    """Mark the values that start with a zero and another digit, like the code 01234."""
    return as_mask(pc.match_substring_regex(texts, _LEADING_ZERO))


def all_plain(texts: pa.Array) -> bool:
    """Return whether every value is a plain number, as a cheap first check."""
    return bool(pc.all(pc.match_substring_regex(texts, _PLAIN_NUMBER)).as_py())


@cache
def _pattern(form: NumberFormat) -> str:
    """Return the regular expression that trimmed text in a format matches."""
    mark = re.escape(form.decimal)
    whole = "[0-9]+"
    if form.thousands:
        between = _THOUSANDS[form.thousands]
        whole = f"(?:[1-9][0-9]{{0,2}}(?:{between}[0-9]{{3}})+|[0-9]+)"
    body = f"(?:{whole}(?:{mark}[0-9]*)?|{mark}[0-9]+)" + ("" if form.thousands else EXPONENT)
    before = f"{_SIGN}{_SPACES}*"
    if form.prefix:  # the minus sign comes before or after it, not both
        prefix = re.escape(form.prefix)
        before = f"(?:{_SIGN}{_SPACES}*(?:{prefix})?|{prefix}{_SPACES}*{_SIGN}){_SPACES}*"
    behind = f"{_SPACES}*{re.escape(form.suffix)}" if form.suffix else ""
    # A percentage without its sign may mean a share; a price without its sign is still a price.
    return f"^{before}{body}" + (
        f"(?:{behind})?$" if behind and form.suffix != "%" else f"{behind}$"
    )


def _write_plainly(texts: pa.Array, form: NumberFormat) -> pa.Array:
    trimmed = pc.utf8_trim_whitespace(texts)
    if form == PLAIN:
        fits = pc.match_substring_regex(trimmed, _PLAIN_NUMBER)
        if pc.all(fits).as_py():
            return trimmed
        if pc.all(pc.or_(fits, pc.equal(trimmed, ""))).as_py():  # all but the empty cells fit
            return pc.if_else(fits, trimmed, None)
    fits = pc.match_substring_regex(trimmed, _pattern(form))
    plain = pc.if_else(fits, trimmed, None)
    for sign in (form.prefix, form.suffix):
        plain = pc.replace_substring(plain, sign, "") if sign else plain
    plain = pc.replace_substring_regex(plain, form.separators, "")
    plain = pc.replace_substring(plain, "\u2212", "-")
    return pc.replace_substring(plain, ",", ".") if form.decimal == "," else plain


def find_format(
    texts: pa.Array, counts: NDArray[np.float64]
) -> tuple[NumberFormat, NDArray[np.bool_]]:
    """Find the format that fits most cells; the plainest one if several fit equally.

    Args:
        texts: distinct cells.
        counts: number of rows with each of them.

    Returns:
        The format, and which values fit it.
    """
    trimmed = pc.utf8_trim_whitespace(texts)
    best, fits = PLAIN, as_mask(pc.match_substring_regex(trimmed, _PLAIN_NUMBER))
    if fits.all():
        return best, fits
    loose = pc.extract_regex(trimmed, _LOOSE)
    is_loose = as_mask(pc.is_valid(loose))
    if counts[is_loose].sum() < 0.5 * counts.sum():
        return best, fits  # mostly words: no format would fit
    most = counts[fits].sum()
    for prefix, suffix in _likely_affixes(loose, counts, is_loose):
        for decimal, thousands in _MARKS:
            form = NumberFormat(decimal, thousands, prefix, suffix)
            fit = as_mask(pc.match_substring_regex(trimmed, _pattern(form)))
            if counts[fit].sum() > most:
                best, fits, most = form, fit, counts[fit].sum()
    return best, fits


def is_ambiguous(texts: pa.Array, form: NumberFormat) -> bool:
    """Return whether all commas read as thousands separators could also be decimal commas."""
    if form.thousands != "," or form.decimal != ".":
        return False
    twin = _pattern(NumberFormat(",", "", form.prefix, form.suffix))
    return bool(pc.all(pc.match_substring_regex(pc.utf8_trim_whitespace(texts), twin)).as_py())


def _likely_affixes(
    loose: pa.Array, counts: NDArray[np.float64], is_loose: NDArray[np.bool_]
) -> list[tuple[str, str]]:
    """Return the candidate affixes: none, and the most common pair of prefix and suffix, if any."""
    prefixes, suffixes = (pc.struct_field(loose, name) for name in ("prefix", "suffix"))
    pairs = pc.binary_join_element_wise(prefixes, suffixes, pa.scalar(" ", prefixes.type))
    coded = pairs.dictionary_encode()
    codes = to_codes(coded.indices)[is_loose]
    weights = np.bincount(codes, counts[is_loose], len(coded.dictionary))
    ranked = sorted(
        (-weight, pair)
        for weight, pair in zip(weights, coded.dictionary.to_pylist(), strict=True)
        if pair != " "
    )
    if not ranked:
        return [("", "")]
    prefix, _, suffix = ranked[0][1].partition(" ")
    return [("", ""), (prefix, suffix)]
