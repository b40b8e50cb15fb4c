"""Texts to calibrate and to evaluate on: embedded, or a file; and their tokens."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import torch
from jaxtyping import Int
from torch import Tensor

from llmrank.core import permissions, uploads
from llmrank.core.errors import LLMRankError
from llmrank.core.paths import named_path
from llmrank.data.embedded import passages, situations
from llmrank.data.mix import mixed
from llmrank.data.tokens import encoded, fitting, opening
from llmrank.models.language_model import LanguageModel

Split = Literal["calibration", "evaluation", "questions"]
EMBEDDED = "embedded"
SITUATIONS = "situations"
"""Everyday situations and questions about them (Social IQa): text of another kind than
the passages, which no task asks and no evaluation reads."""

MIX = "mix"
"""Texts of seven kinds to train on; see `mix`."""

OURS = (EMBEDDED, SITUATIONS, MIX)
"""What is no file: it comes along, and never changes."""

MAX_TEXT_BYTES = 50_000_000


@dataclass(frozen=True)
class Text:
    """A text and where it came from."""

    source: str
    content: str
    sha256: str


def text(source: str, split: Split) -> Text:
    """Read a text: a split of the embedded Wikipedia passages, or a UTF-8 file.

    The embedded situations are one text, as a file is: whoever calibrates and evaluates
    on the same one measures on what the scores have seen. Of the mix, paragraphs are
    held out for `evaluation`.

    Raises:
        LLMRankError: no such file, not UTF-8, empty, or too large.
    """
    if source == EMBEDDED:
        content = "\n\n".join(p for p in passages() if split_of(p) == split)
        source = f"embedded BoolQ Wikipedia passages, {split} split"
    elif source == SITUATIONS:
        content = "\n\n".join(situations())
        source = "embedded Social IQa situations"
    elif source == MIX:
        content = "\n\n".join(mixed(held_out=split == "evaluation"))
        source = "a mix of seven kinds of text"
    else:
        check(source)  # whether who asks may
        is_upload = uploads.is_upload(source)
        held = uploads.content(source) if is_upload else _bytes(named_path(source))
        source = "an uploaded text" if is_upload else source
        content = decoded(held, source)
    return Text(source, content, hashlib.sha256(content.encode()).hexdigest())


def check(source: str) -> None:
    """Refuse a text that is not opened for who asks; others may not be there either.

    Raises:
        LLMRankError: another visitor's upload, or a file that a stranger names.
    """
    if uploads.is_upload(source):
        uploads.path(source)
    elif source not in OURS:
        permissions.check_own_file(source)


def state_of(source: str) -> tuple[int, int] | None:
    """Return what changes when a text file does: its time and size, if it is one.

    An upload is named by what it holds, and never changes.
    """
    if source in OURS:
        return None
    try:
        check(source)
        if uploads.is_upload(source):
            return 0, uploads.path(source).stat().st_size
        stat = named_path(source).stat()
    except (OSError, LLMRankError):
        return None
    return stat.st_mtime_ns, stat.st_size


def keep(content: bytes, name: str) -> str:
    """Keep an uploaded text and return the source that names it.

    Raises:
        LLMRankError: not UTF-8, empty, or it cannot be kept.
    """
    decoded(content, name)
    return uploads.keep(content, name)


def decoded(content: bytes, name: str) -> str:
    """Return the text of a file, the same however it marks its lines and its start.

    Raises:
        LLMRankError: not UTF-8, or empty.
    """
    try:
        text = content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise LLMRankError(_not_utf8(name, error.start)) from error
    if "\0" in text:  # UTF-16 without its mark reads as UTF-8 where it is English
        raise LLMRankError(_not_utf8(name, content.index(0)))
    text = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n")
    if not text.strip():
        raise LLMRankError(f"{name} is empty; give a UTF-8 text file with some pages")
    return text


def split_of(passage: str) -> Split:
    """Return the split of an embedded passage: a fixed hash, disjoint by passage."""
    digest = hashlib.sha256(passage.encode()).digest()
    splits: tuple[Split, ...] = get_args(Split)
    return splits[digest[0] % 3]


def sampled_windows(
    lm: LanguageModel, source: Text, *, n_samples: int, seq_len: int, seed: int
) -> Int[Tensor, "n_samples pos"]:
    """Draw disjoint windows of a text at random, without replacement.

    Raises:
        LLMRankError: the text is shorter than the tokens asked for.
    """
    every = all_windows(lm, source, seq_len=seq_len, at_least=n_samples)
    generator = torch.Generator().manual_seed(seed)
    return every[torch.randperm(len(every), generator=generator)[:n_samples]]


def first_windows(
    lm: LanguageModel, source: Text, *, n_tokens: int, seq_len: int
) -> Int[Tensor, "n_windows pos"]:
    """Return the leading windows of a text, at most `n_tokens` in all, at least two.

    Raises:
        LLMRankError: the text is shorter than two windows (no interval without two).
    """
    every = all_windows(lm, source, seq_len=seq_len, at_least=2)
    return every[: max(2, n_tokens // fitting(lm, seq_len))]


def all_windows(
    lm: LanguageModel, source: Text, *, seq_len: int, at_least: int
) -> Int[Tensor, "n_windows pos"]:
    """Cut the joined tokens of a text into windows that do not overlap.

    What stands before every text stands before each, uncounted: `seq_len` tokens are
    of the text, or as many as the model then takes.

    Raises:
        LLMRankError: the text gives fewer than `at_least` windows.
    """
    ids, size = encoded(lm, source.content), fitting(lm, seq_len)
    n_windows = len(ids) // size
    if n_windows < at_least:
        raise LLMRankError(
            f"the text ({source.source}) has {len(ids):,} tokens, but {at_least} "
            f"windows of {size} need {at_least * size:,}; "
            "give a longer text, or ask for fewer or shorter samples"
        )
    windows = torch.tensor(ids[: n_windows * size]).view(n_windows, size)
    before = torch.tensor(opening(lm), dtype=windows.dtype).expand(n_windows, -1)
    return torch.cat([before, windows], 1)


def _not_utf8(name: str, place: int) -> str:
    return f"{name} is not UTF-8 text (byte {place}); save it as UTF-8"


def _bytes(path: Path) -> bytes:
    if path.exists() and not path.is_file():
        raise LLMRankError(f"{path} is no file; give a UTF-8 text file, or {EMBEDDED}")
    try:
        if path.stat().st_size > MAX_TEXT_BYTES:
            raise LLMRankError(
                f"{path} is larger than {MAX_TEXT_BYTES // 1_000_000} MB; "
                "an excerpt is enough"
            )
        return path.read_bytes()
    except OSError as error:
        raise LLMRankError(
            f"{path} cannot be read ({error.strerror}); give a UTF-8 text file, "
            f"or {EMBEDDED}"
        ) from error
