"""Write a pruned model so that others can load it, verified before it is offered."""

import json
import shutil
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import chain, count
from pathlib import Path
from typing import Any

import torch

from llmrank.core.errors import LLMRankError
from llmrank.core.paths import (
    check_export_target,
    named_path,
    written_file,
    written_whole,
)
from llmrank.core.permissions import check_path
from llmrank.core.progress import Progress, silent
from llmrank.models import compatibility, ffn, language_model, precision
from llmrank.models.checkpoints import RECIPE_FILE
from llmrank.models.hf import reported
from llmrank.models.language_model import LanguageModel
from llmrank.models.precision import Precision

SHARD = "1GB"
"""Larger checkpoints are written in parts of this size, and may stop between them."""

SAMPLE = "The mill's 1,024 wheels\n\tturn: naïve, μύλος, 水車 🌾."
"""A text that the written tokenizer must read as the model's own."""

CHUNK = 2**24
"""Bytes packed between two reports of progress."""


@dataclass(frozen=True)
class Saved:
    """What was written, how to open it, and how the reload was verified."""

    folder: Path
    file_bytes: int
    loader: str
    max_difference: float
    """Of the logits of the reloaded model to those of the weights that were written."""
    written: str
    """The precision of the weights in the files, and why it is that one."""
    rounding: float | None
    """Of the logits to those before the weights were rounded; None if none was."""
    opened: str | None
    """Which versions of transformers open it; None where the widths differ."""

    @property
    def plain(self) -> bool:
        """Whether transformers alone opens it."""
        return self.opened is not None

    @property
    def summary(self) -> str:
        """The result in three sentences."""
        opens = self.opened or (
            "Its layers have different widths, which plain transformers cannot "
            "open: llmrank opens it, or pad it to its widest layer"
        )
        rounding = ""
        if self.rounding is not None:
            rounding = "; rounding them changed no logit"
        if self.rounding:
            rounding = f"; rounding them moves logits by up to {self.rounding:.1e}"
        agree = "bit-identical logits"
        if self.max_difference:
            agree = f"logits equal up to {self.max_difference:.1e}"
        return (
            f"{self.file_bytes / 1e6:,.1f} MB in {self.folder}; reloaded, "
            f"{agree}. The weights are in {self.written}"
            f"{rounding}. {opens}: {self.loader}"
        )

    @property
    def snippet(self) -> str:
        """The Python that opens it: model and tokenizer."""
        if not self.plain:
            return (
                f"import llmrank\n\nlm = {self.loader}\n"
                "model, tokenizer = lm.model, lm.tokenizer"
            )
        tokenizer = self.loader.replace("AutoModelForCausalLM", "AutoTokenizer", 1)
        return (
            "from transformers import AutoModelForCausalLM, AutoTokenizer\n\n"
            f"model = {self.loader}\ntokenizer = {tokenizer}"
        )


def save(
    lm: LanguageModel,
    folder: str | Path,
    *,
    dtype: Precision = precision.OWN,
    recipe: Mapping[str, Any] | None = None,
    progress: Progress = silent,
) -> Saved:
    """Write a checkpoint (safetensors, config, tokenizer, recipe) and verify it.

    With one width in all layers any `from_pretrained` opens it; otherwise
    `llmrank.load` does, and `padded` makes it uniform. The folder, a new or an empty
    one, appears only when all is written; the recipe is stored beside the weights.
    The precision `checkpoint` is that of the dense model's own files, or of the
    computation where it has fewer bits.

    Raises:
        LLMRankError: the folder is refused, the disk is full, a weight does not fit
            into the precision, memory does not hold the model once more to verify it,
            or the reloaded one does not compute the same.
        CancelledError: from `progress`. Nothing is left then, nor after an error.
    """
    target = named_path(folder)
    check_export_target(target)
    kept = precision.written_in(lm.stored, precision.computed_in(lm.model), dtype)
    _check_space(lm, target, kept)
    written = precision.cast(lm.model, kept)
    own_widths = ffn.widths(lm.model)
    plain = len(set(own_widths)) == 1
    loader = "AutoModelForCausalLM.from_pretrained" if plain else "llmrank.load"
    with written_whole(target) as beside:
        with reported("Writing the checkpoint", progress):
            written.save_pretrained(beside, max_shard_size=SHARD)
        lm.tokenizer.save_pretrained(beside)
        compatibility.complete(beside, lm.tokenizer)
        content = {"widths": own_widths, "recipe": dict(recipe or {})}
        (beside / RECIPE_FILE).write_text(json.dumps(content, indent=1), "utf-8")
        difference, rounding = _verify(lm, written, beside, progress)
        size = sum(f.stat().st_size for f in beside.iterdir())
    return Saved(
        folder=target,
        file_bytes=size,
        loader=f"{loader}({str(target)!r})",
        max_difference=difference,
        written=f"{kept}, {_reason(lm, kept, dtype)}",
        rounding=rounding,
        opened=compatibility.opened_by(lm.config.to_dict()) if plain else None,
    )


def free_folder(folder: Path) -> Path:
    """Return the folder, or the first of folder-2, folder-3 ... that is not there."""
    numbered = (folder.with_name(f"{folder.name}-{n}") for n in count(2))
    return next(p for p in chain([folder], numbered) if not p.exists())


def padded(lm: LanguageModel) -> LanguageModel:
    """Widen all layers to the widest with zero neurons: larger, opens anywhere."""
    return replace(lm, model=ffn.padded(lm.model))


def zipped(folder: Path, *, progress: Progress = silent) -> Path:
    """Pack an exported folder into `folder.zip` beside it and return its path.

    Uncompressed: weights hardly shrink.

    Raises:
        LLMRankError: the archive exists already or cannot be written.
        CancelledError: from `progress`, called per 16 MB; nothing is left then.
    """
    archive = folder.with_name(folder.name + ".zip")
    check_path(archive)
    if archive.exists():
        raise LLMRankError(f"{archive} exists already and is not overwritten")
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    total, done = sum(path.stat().st_size for path in files), 0
    with written_file(archive) as beside, zipfile.ZipFile(beside, "w") as packed:
        for path in files:
            info = zipfile.ZipInfo.from_file(path, path.relative_to(folder.parent))
            with (
                path.open("rb") as source,
                packed.open(info, "w", force_zip64=True) as into,
            ):
                while chunk := source.read(CHUNK):
                    into.write(chunk)
                    done += len(chunk)
                    progress("Packing, MB", done // 10**6, max(1, total // 10**6))
    return archive


@torch.inference_mode()
def _verify(
    lm: LanguageModel, written: Any, folder: Path, progress: Progress
) -> tuple[float, float | None]:
    """Reload as a user would and compare the logits of one prompt, and the tokens.

    The weights are compared as they were written, computed as the model was: what
    rounding did is the second figure, None where nothing was rounded.
    """

    def verifying(_: str, done: int, total: int) -> None:
        progress("Reloading it to verify", done, total)

    prompt = torch.arange(1, 33).remainder(lm.config.vocab_size)[None].to(lm.device)
    ours, rounding = _logits(lm.model, prompt), None
    if written is not lm.model:
        exact = ours
        ours = _logits(precision.cast(written, precision.computed_in(lm.model)), prompt)
        rounding = float((ours - exact).abs().max())
    spec = language_model.ModelSpec(name=str(folder), dtype=lm.spec.dtype, device="cpu")
    reloaded = language_model.load(spec, progress=verifying)
    theirs = _logits(reloaded.model, prompt.cpu())
    difference = float((ours - theirs).abs().max())
    tolerance = 1e-4 if lm.device.type == "cpu" else 0.05 * float(ours.abs().max())
    if not difference <= tolerance:
        raise LLMRankError(
            f"the written checkpoint does not compute what the model does (logits "
            f"differ by {difference:.2g}); nothing was kept"
        )
    if reloaded.tokenizer(SAMPLE)["input_ids"] != lm.tokenizer(SAMPLE)["input_ids"]:
        raise LLMRankError(
            "the written tokenizer does not read a text as the model's own does; "
            "nothing was kept"
        )
    return difference, rounding


def _logits(model: Any, prompt: torch.Tensor) -> torch.Tensor:
    logits: torch.Tensor = model(prompt).logits.float().cpu()
    return logits


def _reason(lm: LanguageModel, kept: str, asked: str) -> str:
    if asked != precision.OWN:
        return "as asked"
    if kept == lm.stored:
        return "the checkpoint's own precision"
    return "as it was computed"


def _check_space(lm: LanguageModel, target: Path, kept: str) -> None:
    """The disk must hold the checkpoint, the memory the copy that verifies it."""
    import psutil

    need = sum(p.nbytes for p in lm.model.parameters())
    on_disk = precision.bytes_of(kept) * sum(p.numel() for p in lm.model.parameters())
    if kept != precision.computed_in(lm.model):
        need += on_disk  # the rounded weights, beside the model that is reloaded
    available = psutil.virtual_memory().available
    if available < need:
        raise LLMRankError(
            f"verifying the export loads it once more, {need / 1e9:.2f} GB, and "
            f"{available / 1e9:.2f} GB of memory are free; close what needs memory, "
            "or choose a smaller model"
        )
    there = next(p for p in (target, *target.parents) if p.exists())
    free = shutil.disk_usage(there).free
    if free < on_disk * 1.05:
        raise LLMRankError(
            f"{there} has {free / 1e9:.2f} GB free, the checkpoint needs "
            f"{on_disk / 1e9:.2f} GB; free some space or name another folder"
        )
