"""Format text for people: shortened names, numbers with as many digits as they need."""

LONGEST = 120


def clean(text: object, longest: int = LONGEST) -> str:
    """Make any text printable: shorten it, and replace control characters with U+FFFD.

    Example:
        >>> clean("a" * 200, longest=4)
        'aaa…'
    """
    letters = str(text)
    if len(letters) > longest:
        letters = letters[: longest - 1] + "…"
    return "".join(
        letter if letter.isprintable() or letter in "\n\t" else "\ufffd" for letter in letters
    )


def figure(value: float | None, digits: int = 3) -> str:
    """Format a number for a person to read.

    Args:
        value: the number. None: it was not finite.
        digits: significant digits, at least 1.

    Example:
        >>> [figure(v) for v in (0.81461, 1234567.0, 3.2e-7, 0.0, None, 42, 0.99999)]
        ['0.815', '1,234,567', '3.20e-07', '0', 'not finite', '42', '0.99999']
    """
    if value is None:
        return "not finite"
    size = abs(value)
    while 0.9 < size < 1 and digits < 9 and float(f"{size:.{digits}g}") == 1:
        digits += 1  # an accuracy of 0.9996 is not 1
    if isinstance(value, int) or (value.is_integer() and size < 1e15):
        return f"{value:,.0f}"
    if size < 1e-4 or size >= 1e15:
        return f"{value:.{digits - 1}e}"
    if size >= 10**digits:
        return f"{value:,.0f}"
    rounded = float(f"{value:.{digits}g}")
    whole = len(str(int(abs(rounded)))) if abs(rounded) >= 1 else 0
    return f"{rounded:,.{max(digits - whole, 0)}f}" if size >= 0.1 else f"{value:.{digits}g}"


def percent(fraction: float) -> str:
    """Format a share as a percentage.

    Example:
        >>> percent(0.12345), percent(0.0001)
        ('12.3 %', '<0.1 %')
    """
    return "<0.1 %" if 0 < fraction < 0.001 else f"{100 * fraction:.1f} %"


def pair(one: float | None, other: float | None) -> tuple[str, str]:
    """Format two numbers with enough digits to tell them apart.

    Example:
        >>> pair(0.81461, 0.81472)
        ('0.8146', '0.8147')
    """
    for digits in range(3, 8):
        texts = figure(one, digits), figure(other, digits)
        if texts[0] != texts[1] or one == other:
            break
    return texts


def seconds(value: float) -> str:
    """Format a duration.

    Example:
        >>> seconds(3.21), seconds(75), seconds(7262)
        ('3.2 s', '1 min 15 s', '2 h 1 min')
    """
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"
