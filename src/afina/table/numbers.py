"""How a text cell holds a number: decimal mark, thousands, currency and percent signs."""

import re
from dataclasses import dataclass
from functools import cache, cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

_SPACES = "[ \u00a0\u2009\u202f]"  # also the fixed and the narrow space
_CURLY = "\u2019"  # the apostrophe of typesetters
_SIGN = "[+\u2212-]?"
_SIGNS = "R$ C$ A$ US$ CA$ AU$ NZ$ HK$ S$ $ € £ ¥ ₹ ₽ ₩ ₺ ₫ ₴ ₪ ₱ ฿ ₦ ₡ ₲ S/ Fr. kr zł Kč Ft %"
_CODES = (
    "EUR USD GBP CHF JPY CNY CAD AUD NZD SEK NOK DKK PLN CZK HUF INR BRL MXN ARS CLP COP PEN UYU "
    "ZAR RUB TRY KRW SGD HKD ILS THB"
)
_AFFIXES = sorted(f"{_SIGNS} {_CODES}".split(), key=len, reverse=True)  # the longest first
_AFFIX = "|".join(re.escape(sign) for sign in _AFFIXES)
_EXPONENT = r"(?:[eE][+-]?[0-9]+)?"
_PLAIN = rf"^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+){_EXPONENT}$"
_LOOSE = (
    rf"^{_SIGN}{_SPACES}*(?P<prefix>(?:{_AFFIX})?){_SPACES}*{_SIGN}"
    rf"[.,]?[0-9](?:[0-9.,'{_CURLY}]|{_SPACES}[0-9])*{_EXPONENT}"
    rf"{_SPACES}*(?P<suffix>(?:{_AFFIX})?)$"
)
_MARKS = (
    (".", ""),
    (".", ","),
    (",", ""),
    (",", "."),
    (".", " "),
    (",", " "),
    (".", "'"),
    (",", "'"),
)
_THOUSANDS = {",": ",", ".": r"\.", " ": _SPACES, "'": f"['{_CURLY}]"}
_WORDS = {".": "point", ",": "comma", " ": "space", "'": "apostrophe"}
_LEADING_ZERO = r"^[+-]?0[0-9]"
_INFINITE = r"^(?i)[+-]?inf(inity)?$"
_WHOLE = r"^[+-]?[0-9]+$"
_PLAIN_TEXT = re.compile(_PLAIN)
_LONGEST_WHOLE = 40  # letters
_CANONICAL = re.compile(rf"[+-]?(?:(?:0|[1-9][0-9]*)(?:\.[0-9]*)?|\.[0-9]+){_EXPONENT}", re.ASCII)


@dataclass(frozen=True)
class NumberFormat:
    """How numbers are written in a column.

    Args:
        decimal: `.` or `,`.
        thousands: what may stand between groups of three digits: `,`, `.`, a space (also a fixed
            one), an apostrophe, or nothing.
        prefix: a currency sign or code that may stand before.
        suffix: one that may stand behind; `%` must.

    Example:
        >>> NumberFormat(decimal=",", thousands=".", suffix="€").describe()
        "numbers with decimal comma, points between thousands, '€' behind"
    """

    decimal: str = "."
    thousands: str = ""
    prefix: str = ""
    suffix: str = ""

    def describe(self) -> str:
        """Say it in words."""
        notes = ["decimal comma"] * (self.decimal == ",")
        notes += [f"{_WORDS[self.thousands]}s between thousands"] if self.thousands else []
        notes += [f"{self.prefix!r} in front"] if self.prefix else []
        notes += [f"{self.suffix!r} behind"] if self.suffix else []
        return "numbers" + (" with " + ", ".join(notes) if notes else "")

    @cached_property
    def is_plain(self) -> bool:
        """Whether it is the plainest format."""
        return self == PLAIN

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """What a trimmed text of this format looks like."""
        return re.compile(_pattern(self))


PLAIN = NumberFormat()


def parse_numbers(
    texts: pa.Array, form: NumberFormat
) -> tuple[NDArray[np.float64], NDArray[np.bool_], pa.Array]:
    """Read texts as numbers written in one format.

    Returns:
        The numbers (NaN where a text is none; infinite where one is too large), which texts are
        numbers, and those written plainly (null where not).

    Example:
        >>> parse_numbers(pa.array(["1.234,5 €", "x"]), NumberFormat(",", ".", "", "€"))[0]
        array([1234.5,    nan])
    """
    plain = _write_plainly(texts, form)
    fits = np.ones(len(plain), dtype=bool)
    if plain.null_count:
        fits = np.asarray(plain.is_valid().to_numpy(zero_copy_only=False))
    values = plain.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return values, fits, plain


def parse_number(text: str, form: NumberFormat) -> tuple[float, str] | None:
    """Read one text as `parse_numbers` does, at a hundredth of its cost.

    Returns:
        The number (infinite where it is too large), and the same written plainly; None where the
        text is none.

    Example:
        >>> parse_number("1.234,5 €", NumberFormat(",", ".", "", "€"))
        (1234.5, '1234.5')
    """
    plain = text.strip()
    if form.is_plain and _PLAIN_TEXT.fullmatch(plain):
        return float(plain), plain
    if not form.pattern.fullmatch(plain):
        return None
    for sign in (form.prefix, form.suffix):
        plain = plain.replace(sign, "") if sign else plain
    plain = re.sub(_dropped(form), "", plain).replace("\u2212", "-")
    plain = plain.replace(",", ".") if form.decimal == "," else plain
    return float(plain), plain


def whole_number(plain: str) -> int | None:
    """Read one plainly written number as `whole_cells` does; None where it is not whole.

    Raises:
        ValueError: it is too long to say.
    """
    if len(plain) > _LONGEST_WHOLE:
        raise ValueError(f"plain must have {_LONGEST_WHOLE} letters at most, however: {plain!r}.")
    head, _, tail = plain.partition(".")
    if tail.strip("0") or not head.lstrip("+-").isdigit():
        return None
    whole = int(head)
    return whole if -(2**63) <= whole < 2**63 else None


def whole_cells(plain: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Read plainly written whole numbers exactly, also with `.0` behind.

    Returns:
        The numbers (0 where a cell is null, no whole number, or beyond int64), and which are read.
    """
    try:
        whole = plain.cast(pa.int64())
    except pa.ArrowInvalid:
        digits = pc.replace_substring_regex(plain, r"^\+|\.0*$", "")
        sound = pc.and_(
            pc.match_substring_regex(digits, _WHOLE), pc.invert(pa.array(exceeds_int64(digits)))
        )
        whole = pc.if_else(sound, digits, None).cast(pa.int64())
    read = np.asarray(whole.is_valid().to_numpy(zero_copy_only=False))
    return np.asarray(whole.fill_null(0).to_numpy(zero_copy_only=False)), read


def exceeds_int64(plain: pa.Array) -> NDArray[np.bool_]:
    """Which plainly written numbers are whole and beyond 64 bits."""
    long = pc.match_substring_regex(plain, r"^[+-]?[0-9]{19,}$").fill_null(False)
    mask = np.array(long.to_numpy(zero_copy_only=False))
    for at in np.flatnonzero(mask):
        digits = plain[int(at)].as_py()
        mask[at] = len(digits) > 40 or not -(2**63) <= int(digits) < 2**63
    return mask


@cache
def missing_numbers(words: tuple[str, ...]) -> tuple[float, ...]:
    """Take the numbers among words that mean "missing"."""
    return tuple(float(word) for word in words if canonical_number(word.strip()) is not None)


def has_leading_zero(texts: pa.Array) -> NDArray[np.bool_]:
    """Which texts start with a zero and another digit, as codes such as 01234 do."""
    return _mask(pc.match_substring_regex(texts, _LEADING_ZERO))


def is_infinite(texts: pa.Array) -> NDArray[np.bool_]:
    """Which texts are a word for infinity."""
    return _mask(pc.match_substring_regex(pc.utf8_trim_whitespace(texts), _INFINITE))


def all_plain(texts: pa.Array) -> bool:
    """Whether every text is a plain number; cheap, for a first look."""
    return bool(pc.all(pc.match_substring_regex(texts, _PLAIN)).as_py())


def find_format(
    texts: pa.Array, counts: NDArray[np.float64]
) -> tuple[NumberFormat, NDArray[np.bool_]]:
    """Find the format that most cells are written in; the plainest of equals.

    Args:
        texts: distinct cells.
        counts: how often each occurs.

    Returns:
        The format, and which texts fit it.
    """
    trimmed = pc.utf8_trim_whitespace(texts)
    best, fits = PLAIN, _mask(pc.match_substring_regex(trimmed, _PLAIN))
    if fits.all():
        return best, fits
    loose = pc.extract_regex(trimmed, _LOOSE)
    found = np.asarray(pc.is_valid(loose).to_numpy(zero_copy_only=False))
    if counts[found].sum() < 0.5 * counts.sum():
        return best, fits  # mostly words: no format makes numbers of them
    most = counts[fits].sum()
    for prefix, suffix in _affixes(loose, counts, found):
        for decimal, thousands in _MARKS:
            form = NumberFormat(decimal, thousands, prefix, suffix)
            fit = _mask(pc.match_substring_regex(trimmed, _pattern(form)))
            if counts[fit].sum() > most:
                best, fits, most = form, fit, counts[fit].sum()
    return best, fits


def is_ambiguous(texts: pa.Array, form: NumberFormat) -> bool:
    """Whether commas taken as thousands could all be decimal commas too."""
    if form.thousands != "," or form.decimal != ".":
        return False
    twin = NumberFormat(",", "", form.prefix, form.suffix)
    return bool(
        pc.all(pc.match_substring_regex(pc.utf8_trim_whitespace(texts), _pattern(twin))).as_py()
    )


def canonical_number(text: str) -> str | None:
    """Write a plain number the one way that equal numbers share; None for any other text.

    Example:
        >>> canonical_number("1.0"), canonical_number("+1"), canonical_number("1e-1")
        ('1', '1', '0.1')
        >>> canonical_number("01"), canonical_number("9007199254740993")
        (None, '9007199254740993')
    """
    if not _CANONICAL.fullmatch(text):
        return None
    digits = text.rstrip("0").removesuffix(".") if "." in text and "e" not in text.lower() else text
    if digits.lstrip("+-").isdigit():
        return str(int(digits)) if len(digits) < 1000 else None
    value = float(text)
    return str(int(value)) if value.is_integer() and abs(value) < 2**63 else repr(value)


def _write_plainly(texts: pa.Array, form: NumberFormat) -> pa.Array:
    trimmed = pc.utf8_trim_whitespace(texts)
    if form == PLAIN:
        fits = pc.match_substring_regex(trimmed, _PLAIN)
        if pc.all(fits).as_py():
            return trimmed
        if pc.all(pc.or_(fits, pc.equal(trimmed, ""))).as_py():  # all but the empty cells
            return pc.if_else(fits, trimmed, None)
    fits = pc.match_substring_regex(trimmed, _pattern(form))
    plain = pc.if_else(fits, trimmed, None)
    for sign in (form.prefix, form.suffix):
        plain = pc.replace_substring(plain, sign, "") if sign else plain
    plain = pc.replace_substring_regex(plain, _dropped(form), "")
    plain = pc.replace_substring(plain, "\u2212", "-")
    return pc.replace_substring(plain, ",", ".") if form.decimal == "," else plain


def _dropped(form: NumberFormat) -> str:
    """Return the pattern of what stands between digits and means nothing."""
    return f"{_THOUSANDS[form.thousands]}|{_SPACES}" if form.thousands else _SPACES


@cache
def _pattern(form: NumberFormat) -> str:
    mark = re.escape(form.decimal)
    whole = "[0-9]+"
    if form.thousands:
        between = _THOUSANDS[form.thousands]
        whole = f"(?:[1-9][0-9]{{0,2}}(?:{between}[0-9]{{3}})+|[0-9]+)"
    body = f"(?:{whole}(?:{mark}[0-9]*)?|{mark}[0-9]+)" + ("" if form.thousands else _EXPONENT)
    before = f"{_SIGN}{_SPACES}*"
    if form.prefix:  # the sign before or after it, not both
        before = f"(?:{_SIGN}{_SPACES}*(?:{re.escape(form.prefix)})?|{re.escape(form.prefix)}{_SPACES}*{_SIGN}){_SPACES}*"
    behind = f"{_SPACES}*{re.escape(form.suffix)}" if form.suffix else ""
    # Without its sign a percentage may be a share; a price stays a price.
    return f"^{before}{body}" + (
        f"(?:{behind})?$" if behind and form.suffix != "%" else f"{behind}$"
    )


def _affixes(
    loose: pa.Array, counts: NDArray[np.float64], found: NDArray[np.bool_]
) -> list[tuple[str, str]]:
    """Return no affix, and the pair of prefix and suffix that most cells have, if any."""
    prefixes, suffixes = (pc.struct_field(loose, name) for name in ("prefix", "suffix"))
    pairs = pc.binary_join_element_wise(prefixes, suffixes, pa.scalar(" ", prefixes.type))
    coded = pairs.dictionary_encode()
    codes = coded.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    weights = np.bincount(codes[found], counts[found], len(coded.dictionary))
    ranked = sorted(
        (-weight, pair)
        for weight, pair in zip(weights, coded.dictionary.to_pylist(), strict=True)
        if pair != " "
    )
    if not ranked:
        return [("", "")]
    prefix, _, suffix = ranked[0][1].partition(" ")
    return [("", ""), (prefix, suffix)]


def _mask(matches: pa.Array) -> NDArray[np.bool_]:
    return np.asarray(matches.to_numpy(zero_copy_only=False), dtype=bool)
