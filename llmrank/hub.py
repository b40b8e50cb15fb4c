"""Fetching models and data sets from the Hugging Face hub: only data, stoppable."""

import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from llmrank.errors import LLMRankError
from llmrank.families import family_of
from llmrank.folders import child_environment
from llmrank.progress import Progress, silent

FILES = ("*.json", "*.safetensors", "*.model", "*.txt", "*.jinja")
"""What is fetched: never a pickle, never code."""

CHUNK = 2**20
"""Bytes after which the client writes to the disk, where its progress is seen."""

POLL_S = 0.1
BAD_CONFIG = (ValueError, KeyError, TypeError)
"""What a config.json that is no JSON, no object or names no type raises."""


def fetch(
    name: str, revision: str, *, weights: bool = True, progress: Progress = silent
) -> Path:
    """Return the folder of a hub model; without `weights` its configuration alone.

    A process of its own asks and downloads: it can be stopped at any moment, also
    while it waits for an answer. The files that are whole by then are kept.

    Raises:
        LLMRankError: no such model, no connection, or an unsupported type (refused
            before its weights are fetched).
        CancelledError: from `progress`.
    """
    from huggingface_hub.errors import HFValidationError
    from huggingface_hub.utils import validate_repo_id  # type: ignore[attr-defined]

    try:
        validate_repo_id(name)
    except HFValidationError as error:
        raise LLMRankError(_not_given(name, "no name of a model there")) from error
    if not revision.isprintable():
        raise LLMRankError(_not_given(name, "no name of a revision"))
    answer = _asked(name, [revision, *["weights"] * weights], progress)
    if "folder" in answer:
        return Path(answer["folder"])
    raise LLMRankError(answer.get("sentence") or _not_given(name, answer["error"]))


def fetch_data(name: str, *, progress: Progress = silent) -> Path:
    """Return the folder of a hub data set's parquet files, as `fetch` does a model's.

    Raises:
        LLMRankError: no such data set, or no connection.
        CancelledError: from `progress`.
    """
    answer = _asked(name, ["main", "data"], progress)
    if "folder" in answer:
        return Path(answer["folder"])
    raise LLMRankError(
        answer.get("sentence")
        or f"the Hugging Face hub did not give the data set {name[:120]} "
        f"({answer['error']}); check the connection, or take data that is embedded"
    )


def _asked(name: str, wanted: list[str], progress: Progress) -> dict[str, Any]:
    """Have the child fetch; return its last word."""
    command = [sys.executable, "-m", "llmrank.hub", name, *wanted]
    with tempfile.TemporaryDirectory() as folder:
        heard = Path(folder) / "heard"
        with (
            heard.open("w") as stdout,
            subprocess.Popen(
                command,
                stdout=stdout,
                stderr=subprocess.DEVNULL,
                env=child_environment(),
            ) as child,
        ):
            try:
                _watch(child, heard, name, progress)
            except BaseException:
                _stop(child)
                raise
        return {"error": "its process ended without a word"} | _last(heard)


def _watch(
    child: subprocess.Popen[bytes], heard: Path, name: str, progress: Progress
) -> None:
    """Report how much of the announced bytes lies on the disk until the child ends."""
    before: int | None = None
    while child.poll() is None:
        plan = _last(heard)
        if "missing" in plan:
            stored, total = _stored(Path(plan["store"])), plan["missing"]
            before = stored if before is None else before
            done = min(total, stored - before)
            progress(f"Downloading {name}, MB", done // 10**6, max(1, total // 10**6))
        else:
            progress(f"Asking the Hugging Face hub for {name}", 0, 1)
        time.sleep(POLL_S)


def _last(heard: Path) -> dict[str, Any]:
    """Return the last whole line that the child has said."""
    *lines, _ = heard.read_text("utf-8").split("\n")
    return dict(json.loads(lines[-1])) if lines else {}


def _stop(child: subprocess.Popen[bytes]) -> None:
    """Kill the client and remove the files it has begun: it never goes on with them."""
    import psutil

    begun = []
    with suppress(psutil.Error):
        begun = [file.path for file in psutil.Process(child.pid).open_files()]
    child.kill()
    child.wait()
    for path in begun:
        if path.endswith(".incomplete"):
            Path(path).unlink(missing_ok=True)


def _stored(store: Path) -> int:
    """Count the bytes on the disk, those of unfinished files too."""
    n_bytes = 0
    for file in store.glob("*"):
        with suppress(FileNotFoundError):  # a finished file takes another name
            n_bytes += file.stat().st_blocks * 512
    return n_bytes


def _not_given(name: str, why: str) -> str:
    return (
        f"no model {name[:120]!r}: it is no folder or .gguf file here, and the Hugging "
        f"Face hub did not give it ({why}); check the name and the connection, or use "
        "demo"
    )


def _answers(name: str, revision: str, *, weights: bool) -> Iterator[dict[str, Any]]:
    """Fetch in the child: what is missing is announced first, then the folder."""
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import HfHubHTTPError

    try:
        head = Path(hf_hub_download(name, "config.json", revision=revision))
        family_of(str(json.loads(head.read_text("utf-8"))["model_type"]))
        if weights:
            yield from _weights(name, head.parent)
        yield {"folder": str(head.parent)}
    except LLMRankError as error:
        yield {"sentence": str(error)}
    except (OSError, HfHubHTTPError, *BAD_CONFIG) as error:
        yield {"error": getattr(error, "strerror", None) or type(error).__name__}


def _data_answers(name: str) -> Iterator[dict[str, Any]]:
    """Fetch a data set's parquet files in the child."""
    from huggingface_hub import constants, snapshot_download
    from huggingface_hub.errors import HfHubHTTPError

    home = Path(constants.HF_HUB_CACHE) / f"datasets--{name.replace('/', '--')}"
    snapshot: Any = partial(
        snapshot_download, name, repo_type="dataset", allow_patterns=["*.parquet"]
    )
    try:
        (home / "blobs").mkdir(parents=True, exist_ok=True)
        yield from _missing(name, home / "blobs", snapshot)
        yield {"folder": str(snapshot(local_files_only=True))}
    except LLMRankError as error:
        yield {"sentence": str(error)}
    except (OSError, HfHubHTTPError) as error:
        yield {"error": getattr(error, "strerror", None) or type(error).__name__}


def _weights(name: str, folder: Path) -> Iterator[dict[str, Any]]:
    """Fetch what is missing of a snapshot, whose folder is named after its commit."""
    from huggingface_hub import snapshot_download

    commit, store = folder.name, folder.parents[1] / "blobs"
    snapshot: Any = partial(
        snapshot_download, name, revision=commit, allow_patterns=[*FILES]
    )
    yield from _missing(name, store, snapshot)


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


def _main(name: str, revision: str, *more: str) -> None:
    from huggingface_hub import constants

    constants.DOWNLOAD_CHUNK_SIZE = CHUNK
    answers = _answers(name, revision, weights="weights" in more)
    for answer in _data_answers(name) if "data" in more else answers:
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    _main(*sys.argv[1:])
