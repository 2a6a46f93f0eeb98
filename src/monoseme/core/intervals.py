"""95 % intervals under a normal approximation: how standard errors and the ends of an interval become each other."""

Z_95 = 1.96
"""Standard errors in half of a 95 % interval: what ± means wherever it is shown, and how far the ends are from a value."""


def error_between(low: float | None, high: float | None) -> float | None:
    """The standard error whose 95 % interval is as wide as that from `low` to `high`; None where an end is not known."""
    return None if low is None or high is None else (high - low) / (2 * Z_95)
