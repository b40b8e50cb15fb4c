"""Processes that this one starts end with it, however it ends."""

import os
import threading
from collections.abc import Callable

STDIN = 0


def end_with_parent(*, last: Callable[[], None] = lambda: None) -> None:
    """End this process when the one that started it is gone, doing `last` before.

    The parent holds the other end of our standard input (a pipe that it keeps open and
    no other process inherits); the system closes it with the parent, killed or not.
    """
    threading.Thread(target=_wait, args=(last,), daemon=True).start()


def _wait(last: Callable[[], None]) -> None:
    # not by sys.stdin: its lock would be held while the interpreter ends
    while os.read(STDIN, 4096):
        pass
    last()
    os._exit(1)
