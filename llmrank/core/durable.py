"""What is written is on the disk, and what a killed program had begun goes away."""

import errno
import os
import platform
import re
import shutil
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from llmrank.core.process import Owner, this_process

DAY_S = 24 * 3600.0
"""After which what another machine began, and has not touched since, is left over."""

_PREFIX = ".llmrank-"
_BEGUN = re.compile(rf"{re.escape(_PREFIX)}((\d+)-(\d+)-(.+)-)?\w{{8}}")
"""Process, start and machine; earlier versions named none of them."""

_NO_SYNC = (errno.EINVAL, errno.ENOTSUP)
"""What a file system says that keeps no folders of its own to synchronise."""


def begin(folder: Path) -> Path:
    """Make a new folder for something unfinished; its name says whose it is.

    Only its owner may open it. What dead programs had begun in the same place goes.
    """
    sweep(folder)
    owner = this_process()
    mine = f"{_PREFIX}{owner.pid}-{owner.started:.0f}-{_machine()}-"
    return Path(tempfile.mkdtemp(prefix=mine, dir=folder))


def sweep(folder: Path) -> None:
    """Remove what killed programs had begun in a folder.

    Its name tells whose it was. Of a machine that cannot be asked, or where nobody is
    named, it goes a day after it was last written to.
    """
    names: list[str] = []
    with suppress(OSError):
        names = os.listdir(folder)
    for named in filter(None, map(_BEGUN.fullmatch, names)):
        path = folder / named[0]
        with suppress(OSError):  # what another user has closed hides nothing behind it
            if path.is_dir() and not path.is_symlink() and _is_left_over(path, named):
                shutil.rmtree(path, ignore_errors=True)


def _is_left_over(path: Path, named: re.Match[str]) -> bool:
    if any(p.name != "new" for p in path.iterdir()):  # we put nothing else there
        return False
    _, pid, started, machine = named.groups()
    if machine == _machine():
        return not Owner(platform.node(), int(pid), float(started)).is_alive
    times = [p.lstat().st_mtime for p in (path, *path.rglob("*"))]
    return time.time() - max(times) > DAY_S


def _machine() -> str:
    """The name of this machine as a file's name can have it."""
    return re.sub(r"[^\w.-]", "_", platform.node())[:64] or "_"


def make_folder(folder: Path) -> None:
    """Make a folder and those above it, and have their names on the disk."""
    new = [p for p in (folder, *folder.parents) if not p.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    for path in new:
        sync(path.parent)


def settle(folder: Path) -> None:
    """Have all that lies in a folder on the disk: contents first, then the names."""
    inside = sorted(folder.rglob("*"), key=lambda path: path.is_dir())
    for path in (*inside, folder):
        sync(path)


def sync(path: Path) -> None:
    """Wait until a file's content, or the names in a folder, are on the disk."""
    is_folder = path.is_dir()
    if is_folder and os.name == "nt":  # Windows opens no folders
        return
    descriptor = os.open(path, os.O_RDONLY if is_folder else os.O_RDWR)
    try:
        os.fsync(descriptor)
    except OSError as error:
        if not is_folder or error.errno not in _NO_SYNC:
            raise
    finally:
        os.close(descriptor)
