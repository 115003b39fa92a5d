"""``expect``: a claim about a number that is tested and told, without its digits."""

from typing import SupportsFloat

from coursekit.checks.report import CheckFailed, say


def expect(
    name: str,
    value: SupportsFloat,
    low: SupportsFloat | None = None,
    high: SupportsFloat | None = None,
) -> None:
    """Assert that ``low <= value <= high`` and print a line that does not change with the digits.

    A stored notebook can then be compared line by line on another machine, and the claim is
    still tested there: ``expect("validation accuracy", acc, 0.30, 0.60)`` prints
    "✓ validation accuracy is between 0.30 and 0.60".

    Args:
        name: what the number is, as it should be read in the line.
        value: one number.
        low: smallest value that is fine, or None for no lower bound.
        high: largest value that is fine, or None for no upper bound.

    Raises:
        CheckFailed: the value is outside, or is not a number (nan).
        ValueError: neither bound is given, or they are the wrong way round.
    """
    number = float(value)
    low = None if low is None else float(low)
    high = None if high is None else float(high)
    claim = _claim(low, high)
    inside = (low is None or number >= low) and (high is None or number <= high)
    if not inside or number != number:
        raise CheckFailed(f"✗ {name} is {_exact(number, low, high)}, expected it {claim}")
    say(f"✓ {name} is {claim}")


def _claim(low: float | None, high: float | None) -> str:
    if low is not None and high is not None:
        if not low <= high:
            raise ValueError(f"low must not be above high, got low={low} and high={high}")
        return f"between {_bound(low)} and {_bound(high)}"
    if low is not None:
        return f"at least {_bound(low)}"
    if high is not None:
        return f"at most {_bound(high)}"
    raise ValueError("expect needs low, high or both, got neither")


def _bound(bound: float) -> str:
    """0.3 as "0.30", 10.0 as "10", 1e-10 as "1e-10"."""
    two_digits = f"{bound:.2f}"
    if bound % 1 and float(two_digits) == bound:
        return two_digits
    return f"{bound:g}" if float(f"{bound:g}") == bound else repr(bound)


def _exact(number: float, *bounds: float | None) -> str:
    """Six digits, or all of them where six would make it look equal to a bound."""
    short = f"{number:.6g}"
    return repr(number) if float(short) in bounds else short
