"""What commands write: progress on stderr, results on stdout or into a file."""

import json
import math
import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

from llmrank.cli.output import ESCAPED
from llmrank.core.errors import LLMRankError
from llmrank.core.paths import check_file_target, named_path, written_file


class ProgressBar:
    """One line on stderr that is rewritten; plain lines where stderr is no screen."""

    def __init__(self) -> None:
        self._live = sys.stderr.isatty()
        self._last = ""

    def __call__(self, what: str, done: int, total: int) -> None:
        """Draw the bar."""
        if self._live:
            filled = 24 * done // max(total, 1)
            bar = "█" * filled + "·" * (24 - filled)
            sys.stderr.write(f"\r\x1b[2K{bar} {done}/{total} {what}")
            sys.stderr.flush()
        elif what != self._last:
            print(f"{what} ...", file=sys.stderr)
        self._last = what

    def clear(self) -> None:
        """Take the bar off the screen."""
        if self._live:
            sys.stderr.write("\r\x1b[2K")
        self._last = ""


def announce(needed: Any) -> None:
    """Say what memory is needed before it is taken, and refuse what cannot fit."""
    print(needed.sentence, file=sys.stderr)
    needed.check()


def check_new_file(target: str | None) -> None:
    """Refuse a file that is there already or cannot be written; `-` is stdout."""
    if target is not None and target != "-":
        check_file_target(named_path(target))
        if named_path(target).exists():
            raise LLMRankError(f"{target} exists already and is not overwritten")


def give(plain: dict[str, Any], target: str | None, text: str) -> None:
    """Print the text, or the JSON; a file takes its name only when it is whole.

    A file that cannot be written takes nothing from what is printed.
    """
    try:
        write(target, lambda: json.dumps(finite(plain), indent=1, ensure_ascii=False))
    finally:
        if target != "-":
            print(text)


def each_of(*writes: Callable[[], None]) -> None:
    """Write one after the other; one that fails keeps none of the others from it."""
    with ExitStack() as stack:
        for one in reversed(writes):
            stack.callback(one)


def write(target: str | None, content: Callable[[], str]) -> None:
    """Print what is asked for, or give it a file of its own; `-` is stdout."""
    if target == "-":
        print(content())
    elif target is not None:
        with written_file(named_path(target)) as beside:
            beside.write_text(content(), "utf-8", errors=ESCAPED)


def finite(value: Any) -> Any:
    """JSON knows neither infinity nor NaN: they become null."""
    if isinstance(value, dict):
        return {k: finite(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
