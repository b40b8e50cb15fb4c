"""Fetching models and data sets from the Hugging Face hub: only data, stoppable."""

import json
import math
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from llmrank.core.errors import LLMRankError
from llmrank.core.paths import child_environment
from llmrank.core.permissions import check_hub
from llmrank.core.progress import Progress, silent
from llmrank.models.downloader import TOO_MANY, begun_by, forget

POLL_S = 0.1


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
    return _folder(answer, _not_given(name, answer["error"]))


def fetch_data(name: str, *, progress: Progress = silent) -> Path:
    """Return the folder of a hub data set's parquet files, as `fetch` does a model's.

    Raises:
        LLMRankError: no such data set, or no connection.
        CancelledError: from `progress`.
    """
    answer = _asked(name, ["main", "data"], progress)
    refusal = (
        f"the Hugging Face hub did not give the data set {name[:120]} "
        f"({answer['error']}); check the connection, or take data that is embedded"
    )
    return _folder(answer, refusal)


def _folder(answer: dict[str, Any], refusal: str) -> Path:
    if "folder" in answer:
        return Path(answer["folder"])
    raise LLMRankError(answer.get("sentence") or refusal)


def _asked(name: str, wanted: list[str], progress: Progress) -> dict[str, Any]:
    """Have the child fetch, if it may; return all that it has said."""
    check_hub()
    heard: dict[str, Any] = {"error": "its process ended without a word"}
    with subprocess.Popen(
        [sys.executable, "-m", "llmrank.models.downloader", name, *wanted],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        encoding="utf-8",
        env=child_environment(),
    ) as child:
        listener = threading.Thread(target=_listen, args=(child.stdout or (), heard))
        listener.start()
        try:
            _watch(child, heard, name, progress)
        except BaseException:
            _stop(child)
            raise
        finally:
            listener.join()
    return heard


def _listen(lines: Iterable[str], heard: dict[str, Any]) -> None:
    for line in lines:
        if line.endswith("\n"):  # else its writer was killed
            heard.update(json.loads(line))


def _watch(
    child: subprocess.Popen[str], heard: dict[str, Any], name: str, progress: Progress
) -> None:
    """Report how much of the announced bytes lies on the disk until the child ends."""
    before: int | None = None
    while child.poll() is None:
        left = heard.get("until", 0.0) - time.time()
        if left > 0:
            waits = math.ceil(heard["waits"])
            why = "too many requests" if heard["status"] == TOO_MANY else "it is busy"
            told = f"asks to wait {waits} s ({heard['status']}, {why})"
            done = waits - math.ceil(left)
            progress(f"The Hugging Face hub {told}", done, waits)
        elif "missing" in heard:
            stored, total = _stored(Path(heard["store"])), heard["missing"]
            before = stored if before is None else before
            done = min(total, stored - before)
            progress(f"Downloading {name}, MB", done // 10**6, max(1, total // 10**6))
        else:
            progress(f"Asking the Hugging Face hub for {name}", 0, 1)
        time.sleep(POLL_S)


def _stop(child: subprocess.Popen[str]) -> None:
    """Kill the client and remove the files it has begun."""
    begun = begun_by(child.pid)
    child.kill()
    child.wait()
    forget(begun)


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
