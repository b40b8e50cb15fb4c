"""Which folders are read and written, and how nothing half-written ever looks whole."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from safetensors import SafetensorError

from llmrank.errors import LLMRankError


def cache_folder() -> Path:
    """Return the folder of converted models: `LLMRANK_CACHE` or ~/.cache/llmrank."""
    return Path(os.environ.get("LLMRANK_CACHE", "~/.cache/llmrank")).expanduser()


def allowed_roots() -> tuple[Path, ...]:
    """Return the folders a visitor of the app may read models from and export to.

    `LLMRANK_MODEL_DIRS` (separated like PATH) replaces the default: the home and the
    working folder.
    """
    named = os.environ.get("LLMRANK_MODEL_DIRS")
    paths = named.split(os.pathsep) if named else [str(Path.home()), str(Path.cwd())]
    return tuple(Path(p).expanduser().resolve() for p in paths if p)


def named_path(name: str) -> Path:
    """Return the path a visitor named, `~` meaning the home folder.

    Raises:
        LLMRankError: no path can have that name.
    """
    try:
        path = Path(name).expanduser()
        path.exists()
    except (OSError, RuntimeError) as error:  # too long; a `~user` without a home
        raise LLMRankError(
            f"{name[:80]!r} cannot be the name of a file or folder ({error!s:.80}); "
            "check it"
        ) from error
    return path


def check_allowed(path: Path) -> None:
    """Refuse a path outside the allowed folders, links and `..` followed.

    Raises:
        LLMRankError: naming the path and the allowed folders.
    """
    roots = allowed_roots()
    resolved = path.expanduser().resolve()
    if not any(resolved.is_relative_to(root) for root in roots):
        names = ", ".join(str(root) for root in roots)
        raise LLMRankError(
            f"{resolved} lies outside the allowed folders ({names}); "
            "whoever runs the server can widen them with LLMRANK_MODEL_DIRS"
        )


def check_export_target(folder: Path) -> None:
    """Refuse an export folder that is a file, is not empty or cannot be made.

    Raises:
        LLMRankError: saying which, and what would be accepted.
    """
    if folder.exists() and not folder.is_dir():
        raise LLMRankError(f"{folder} is a file; name a new or an empty folder")
    if folder.is_dir() and any(folder.iterdir()):
        raise LLMRankError(
            f"{folder} is not empty and nothing in it is overwritten; "
            "name a new or an empty folder"
        )
    parent = next(p for p in (folder, *folder.parents) if p.exists())
    if not parent.is_dir() or not os.access(parent, os.W_OK | os.X_OK):
        raise LLMRankError(f"{parent} cannot be written to; name another folder")


@contextmanager
def written_whole(folder: Path) -> Iterator[Path]:
    """Give a folder to write in that takes the target's name only when all is written.

    Raises:
        LLMRankError: the target is refused, or the disk is full or fails; then nothing
            of the attempt is left.
    """
    check_export_target(folder)
    beside: Path | None = None
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        beside = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
        yield beside
        beside.chmod(0o755)
        beside.replace(folder)
    except (OSError, SafetensorError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise LLMRankError(
            f"writing {folder} failed ({why}); nothing was left there, "
            "free some space or name another folder"
        ) from error
    finally:
        if beside is not None:
            shutil.rmtree(beside, ignore_errors=True)


@contextmanager
def written_file(path: Path) -> Iterator[Path]:
    """Give a path to write to that becomes the file only when all is written.

    Raises:
        LLMRankError: the folder does not exist, or the disk is full or fails.
    """
    beside = path.with_name(f".{path.name}-{os.getpid()}")
    try:
        yield beside
        beside.replace(path)
    except (OSError, SafetensorError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise LLMRankError(
            f"writing {path} failed ({why}); name a file in a folder that exists, "
            "can be written to and has room"
        ) from error
    finally:
        beside.unlink(missing_ok=True)
