"""Thin out long curves without losing peaks."""

from itertools import pairwise

from afina.report.metrics import Curve


def thin(curve: Curve, n_max: int = 1000) -> Curve:
    """Keep at most `n_max` points: the first, the last, and the two extremes of every interval.

    Thinning drops points that are not finite. A short curve is returned unchanged.

    Args:
        curve: the points, ascending in x.
        n_max: largest number of points to keep, at least 4.

    Example:
        >>> spike = Curve(list(range(10_000)), [1.0] * 5_000 + [99.0] + [1.0] * 4_999)
        >>> len(thin(spike).x) <= 1000, max(thin(spike).finite())
        (True, 99.0)
    """
    if n_max < 4:
        raise ValueError(f"n_max must be at least 4; got {n_max=}.")
    if len(curve.x) <= n_max:
        return curve
    points = [(x, y) for x, y in zip(curve.x, curve.y, strict=True) if y is not None]
    if len(points) <= n_max:
        return Curve([x for x, _ in points], [y for _, y in points])
    n_stretches = (n_max - 2) // 2
    ends = [stretch * len(points) // n_stretches for stretch in range(n_stretches + 1)]
    kept = {0, len(points) - 1}
    for first, end in pairwise(ends):
        kept |= {f(range(first, end), key=lambda i: points[i][1]) for f in (min, max)}
    return Curve([points[i][0] for i in sorted(kept)], [points[i][1] for i in sorted(kept)])
