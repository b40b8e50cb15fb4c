"""What the command line writes to: neither a letter nor a reader gone breaks it."""

import codecs
import contextlib
import io
import json
import os
import sys
from collections.abc import Callable, Iterator
from typing import Any

CLOSED = 141
"""The status of a program whose reader has left, as shells say it: 128 + SIGPIPE."""

LOST = 2
ESCAPED = "llmrank.escaped"


class OutputLostError(SystemExit):
    """Standard output takes no more; nobody but the command's end may catch it."""


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Have all that is printed written, or its loss said.

    What an encoding lacks is written as JSON escapes it, so that JSON stays JSON. A
    screen that takes no more progress and no more notes ends no measurement; standard
    output that takes no more ends the command, since its reader has gone.

    Raises:
        OutputLostError: with the status that says so.
    """
    codecs.register_error(ESCAPED, _escaped)
    out, err = (_opened(stream) for stream in (sys.stdout, sys.stderr))
    with (
        contextlib.redirect_stderr(_Guarded(err, lambda _: None)),
        contextlib.redirect_stdout(_Guarded(out, _lost)),
    ):
        try:
            yield
        finally:
            sys.stderr.flush()
            sys.stdout.flush()


class _Guarded(io.TextIOBase):
    """A stream whose failures go to a function of ours."""

    def __init__(self, stream: Any, failed: Callable[[OSError], None]) -> None:
        self._stream, self._failed, self._is_broken = stream, failed, False

    def write(self, text: str) -> int:
        self._try(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._try(self._stream.flush)

    def isatty(self) -> bool:
        return self._stream.isatty()

    def _try(self, act: Callable[[], object]) -> None:
        if self._is_broken:
            return
        try:
            act()
        except OSError as error:
            self._is_broken = True
            _discard(self._stream)
            self._failed(error)


def _escaped(error: UnicodeError) -> tuple[str, int]:
    assert isinstance(error, UnicodeEncodeError)
    letters = error.object[error.start : error.end]
    return json.dumps(letters)[1:-1], error.end


def _opened(stream: Any) -> Any:
    """Return the stream; one that was closed before we began takes anything."""
    if stream is None:
        return io.StringIO()
    if isinstance(stream, io.TextIOWrapper):
        stream.reconfigure(errors=ESCAPED)
    return stream


def _discard(stream: Any) -> None:
    """Lead a broken stream nowhere: else Python complains once more at its end."""
    with contextlib.suppress(OSError, ValueError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, stream.fileno())
        os.close(nowhere)


def _lost(error: OSError) -> None:
    if isinstance(error, BrokenPipeError):
        raise OutputLostError(CLOSED) from error
    print(
        f"error: standard output takes no more ({error.strerror}) and what was not "
        "printed is lost; send it to a place with room, or name files for it",
        file=sys.stderr,
    )
    raise OutputLostError(LOST) from error
