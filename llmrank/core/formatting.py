"""How numbers and choices are written, the same everywhere."""

import re


def number(value: int | float) -> str:
    """Write three significant digits, thousands separated."""
    if 0 < abs(value) < 0.1:
        return f"{value:.3g}"
    decimals = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:,.{decimals if abs(value) >= 1 else 3}f}"


def share(ratio: int | float) -> str:
    """Write a ratio in per cent with three significant digits: 30 %."""
    percent = 100 * ratio
    return f"{percent:.3g} %" if abs(percent) < 999.5 else f"{percent:,.0f} %"


def times(ratio: int | float) -> str:
    """Write a ratio as a multiple: ×2.26."""
    return f"×{number(ratio)}"


def interval(low: int | float, high: int | float) -> str:
    """Write the ends of a 95 % interval: [1.98, 2.57]."""
    return f"[{number(low)}, {number(high)}]"


def counted(n: int, noun: str) -> str:
    """Write a count and what is counted: 1 thread, 28,748 tokens."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"


def duration(seconds: int | float) -> str:
    """Write a rough time."""
    if seconds < 90:
        return f"about {max(seconds, 1):.0f} s"
    minutes = seconds / 60
    return f"about {minutes:.0f} min" if minutes < 90 else f"about {minutes / 60:.1f} h"


def choice(value: object) -> str:
    """Write what an option is set to as a part of a name: of a path its last part.

    Text from outside keeps letters, digits, spaces, dots and dashes: names stand in
    markdown and in charts.
    """
    if not isinstance(value, str):
        return str(value)
    return re.sub(r"[^\w .-]", "", value.rsplit("/", 1)[-1])[:40]
