"""The process that downloads from the Hugging Face hub: only data, patiently."""

import json
import os
import re
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from email.utils import parsedate_to_datetime
from functools import partial
from pathlib import Path
from typing import Any

from llmrank.core.child_process import end_with_parent
from llmrank.core.errors import LLMRankError
from llmrank.models.checkpoint_files import ADAPTER, CONFIG, check_config, read_json
from llmrank.models.families import check_type

FILES = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja")
"""What is fetched: never a pickle, never code."""

CHUNK = 2**20
"""Bytes after which the client writes to the disk, where its progress is seen."""

BEGUN = re.compile(r"(.+)\.[0-9a-f]{8}\.incomplete")
"""What the client names a file that it has begun: its tag, and a number of its own."""

STALE_S = 600.0
"""After which a file that nobody holds and nobody wrote to was left over."""

TOO_MANY, BUSY = 429, 503
TRIES = 5
UNTOLD_S = 10.0
"""How long to wait where too many requests were made and no time is named."""

BAD_CONFIG = (ValueError, KeyError, TypeError)
"""What a config.json that is no JSON, no object or names no type raises."""


def begun_by(pid: int) -> list[Path]:
    """List the files that a client is writing to: nobody ever goes on with them."""
    import psutil  # the core alone needs none

    with suppress(psutil.Error):
        paths = [Path(file.path) for file in psutil.Process(pid).open_files()]
        return [path for path in paths if path.suffix == ".incomplete"]
    return []


def forget(begun: list[Path]) -> None:
    """Remove files that a client has begun."""
    for path in begun:
        path.unlink(missing_ok=True)


def _answers(
    name: str, revision: str, *, weights: bool = False, data: bool = False
) -> Iterator[dict[str, Any]]:
    """Fetch in the child: what is missing is announced first, then the folder."""
    from huggingface_hub.errors import HfHubHTTPError

    try:
        yield from _data(name) if data else _model(name, revision, weights)
    except LLMRankError as error:
        yield {"sentence": str(error)}
    except (OSError, HfHubHTTPError, *BAD_CONFIG) as error:
        yield {"error": getattr(error, "strerror", None) or type(error).__name__}


def _model(name: str, revision: str, weights: bool) -> Iterator[dict[str, Any]]:
    """Fetch a configuration and, if wanted, all else; the folder is its commit's."""
    from huggingface_hub import snapshot_download

    head = _head(name, revision)
    check_type(read_json(head))
    folder = head.parent
    if weights:
        snapshot: Any = partial(
            snapshot_download, name, revision=folder.name, allow_patterns=[*FILES]
        )
        yield from _missing(name, folder.parents[1] / "blobs", snapshot)
    yield {"folder": str(folder)}


def _head(name: str, revision: str) -> Path:
    """Fetch config.json; what is an adapter instead is said to be one."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import RemoteEntryNotFoundError

    try:
        return Path(hf_hub_download(name, CONFIG, revision=revision))
    except RemoteEntryNotFoundError:
        adapter = Path(hf_hub_download(name, ADAPTER, revision=revision))
        check_config(adapter.parent, name)
        raise


def _data(name: str) -> Iterator[dict[str, Any]]:
    """Fetch a data set's parquet files."""
    from huggingface_hub import constants, snapshot_download

    home = Path(constants.HF_HUB_CACHE) / f"datasets--{name.replace('/', '--')}"
    snapshot: Any = partial(
        snapshot_download, name, repo_type="dataset", allow_patterns=["*.parquet"]
    )
    (home / "blobs").mkdir(parents=True, exist_ok=True)
    yield from _missing(name, home / "blobs", snapshot)
    yield {"folder": str(snapshot(local_files_only=True))}


def _missing(name: str, store: Path, snapshot: Any) -> Iterator[dict[str, Any]]:
    """Announce what is missing of a snapshot, and fetch it."""
    from huggingface_hub.errors import DryRunError

    try:
        files = snapshot(dry_run=True)
    except DryRunError:  # no connection: what is here must do, if it is whole
        snapshot(local_files_only=True)
        return
    missing = sum(file.file_size for file in files if file.will_download)
    if missing:
        _check_room(name, store, missing)
        yield {"store": str(store), "missing": missing}
        snapshot()


def _check_room(name: str, store: Path, missing: int) -> None:
    free = shutil.disk_usage(store).free
    if free < missing:
        raise LLMRankError(
            f"{name[:120]} needs {missing / 1e9:.2f} GB more and {store} has "
            f"{free / 1e9:.2f} GB free; free some space, or set HF_HUB_CACHE to a "
            "folder on another disk"
        )


def _sweep(home: Path) -> None:
    """Remove what killed clients had begun: their names are their own, never taken up.

    Earlier clients, which do go on with what they find, name theirs otherwise.
    """
    for path in home.glob("*/blobs/*.incomplete"):
        named = BEGUN.fullmatch(path.name)
        with suppress(OSError):
            if named and time.time() - path.stat().st_mtime > STALE_S:
                repository = path.parents[1].name
                if not _is_held(home / ".locks" / repository / f"{named[1]}.lock"):
                    path.unlink()


def _is_held(lock: Path) -> bool:
    """Whether a client is at work: each holds this lock while it downloads."""
    from filelock import FileLock, Timeout

    if not lock.exists():
        return False
    try:
        with FileLock(lock, timeout=0, mode=0o664):
            return False
    except (Timeout, NotImplementedError):  # or a disk that knows no locks
        return True


def _patient() -> Any:
    """Make the client's connection wait as long as the hub asks it to, and say so."""
    from huggingface_hub.utils._http import default_client_factory

    connection: Any = default_client_factory()
    connection.send = partial(_sent, connection.send)
    return connection


def _sent(send: Any, request: Any, **how: Any) -> Any:
    for _ in range(TRIES):
        response = send(request, **how)
        seconds = _asked_to_wait(response)
        if seconds is None:
            return response
        response.close()
        waits = {"status": response.status_code, "waits": seconds}
        _say(waits | {"until": time.time() + seconds})
        time.sleep(seconds)
    raise LLMRankError(
        f"the Hugging Face hub refuses requests for now ({response.status_code}, after "
        f"{TRIES} waits); try again later, or set HF_TOKEN, which allows more of them"
    )


def _asked_to_wait(response: Any) -> float | None:
    """Return for how many seconds, if the answer asks to be asked again later."""
    from huggingface_hub.utils._http import parse_ratelimit_headers

    if response.status_code not in (TOO_MANY, BUSY):
        return None
    told = response.headers.get("Retry-After", "").strip()
    if told.isascii() and told.isdigit():
        return float(told)
    with suppress(ValueError, TypeError):  # or a date
        then = parsedate_to_datetime(told).timestamp()
        return max(0.0, then - time.time())
    limits = parse_ratelimit_headers(response.headers)
    if limits is not None:
        return float(limits.reset_in_seconds)
    return UNTOLD_S if response.status_code == TOO_MANY else None


def _say(answer: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def _main(name: str, revision: str, *more: str) -> None:
    from huggingface_hub import constants, set_client_factory

    end_with_parent(last=lambda: forget(begun_by(os.getpid())))
    constants.DOWNLOAD_CHUNK_SIZE = CHUNK
    set_client_factory(_patient)
    _sweep(Path(constants.HF_HUB_CACHE))
    wanted = {"weights": "weights" in more, "data": "data" in more}
    for answer in _answers(name, revision, **wanted):
        _say(answer)


if __name__ == "__main__":
    _main(*sys.argv[1:])
