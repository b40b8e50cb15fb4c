"""Checkpoints that older readers read as transformers 5 does: the keys they know.

transformers 5 keeps the rotary base in `rope_parameters` and names tokenizer classes
that others do not have. transformers 4, vLLM and llama.cpp's converter look elsewhere,
and where a key is missing some of them compute with another base without a word.
"""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

CHECKED = ("5.23.0", "4.57.6")
"""The versions of transformers that open our exports in the tests."""

NEWER_TYPES = ("cwm", "ministral3")
"""Supported model types that the older of them does not know."""

EAGER = 'attn_implementation="eager"'
"""What transformers 4 needs to be told of a model that caps its attention's logits."""

_BESIDE_SCALING = ("rope_theta", "partial_rotary_factor")
_OLDER_SCALINGS = ("default", "linear", "dynamic", "yarn", "longrope", "llama3")
_OF_THE_READER = ("backend", "is_local", "local_files_only")
_TWO_FIELDS = ("olmo", "olmo2")
"""Their scaling must have exactly `type` and `factor` in transformers 4."""


def complete(folder: Path, tokenizer: Any) -> None:
    """Add to what transformers 5 saved in a folder what older readers look for."""
    _rewrite(folder / "config.json", _with_older_keys)
    _rewrite(
        folder / "tokenizer_config.json", lambda c: _with_known_class(c, tokenizer)
    )


def opened_by(config: Mapping[str, Any]) -> str:
    """Say which versions of transformers open a plain checkpoint of a configuration."""
    newer, older = CHECKED
    unread = _unread_by_older(config)
    if unread is None and config.get("attn_logit_softcapping"):
        return (
            f"Plain transformers opens it (checked with {newer} and {older}, which "
            f"leaves the softcap of attention out unless {EAGER} is given)"
        )
    if unread is not None:
        return f"Plain transformers 5 opens it (checked with {newer}; {older} {unread})"
    return f"Plain transformers opens it (checked with {newer} and {older})"


def _unread_by_older(config: Mapping[str, Any]) -> str | None:
    """Say what of a configuration transformers 4 has no words for; mostly nothing."""
    kind = config["model_type"]
    if kind in NEWER_TYPES:
        return f"does not know {kind}"
    full, sliding = _rope(config)
    scaled = full.get("rope_type", "default")
    known = _OLDER_SCALINGS[:3] if kind in _TWO_FIELDS else _OLDER_SCALINGS
    read = scaled in known
    if kind == "hunyuan_v1_dense" and scaled == "dynamic":
        read = "alpha" in full
    if sliding is not None:
        read = read and sliding.get("rope_type", "default") == "default"
        if kind != "gemma3_text":  # it alone has a base of its own there
            read = read and sliding["rope_theta"] == full["rope_theta"]
    return None if read else "does not read its rotary scaling"


def _rope(config: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """Return the rotary parameters, and those of sliding layers where they differ."""
    rope = config.get("rope_parameters") or {}
    return rope.get("full_attention", rope), rope.get("sliding_attention")


def _rewrite(path: Path, completed: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    if path.exists():
        content = completed(json.loads(path.read_text("utf-8")))
        text = json.dumps(content, indent=2, ensure_ascii=False)
        path.write_text(text + "\n", "utf-8")


def _with_older_keys(config: dict[str, Any]) -> dict[str, Any]:
    """Name the precision and the rotary embedding as transformers 4 did."""
    older = {"torch_dtype": config.get("dtype")}
    full, sliding = _rope(config)
    older |= {name: full[name] for name in _BESIDE_SCALING if name in full}
    if full.get("rope_type", "default") != "default":
        older["rope_scaling"] = _scaling(config["model_type"], full)
    if full.get("rope_type") == "longrope":
        name = "original_max_position_embeddings"
        older[name] = full[name]
    if sliding is not None:
        older["rope_local_base_freq"] = sliding["rope_theta"]
    if config["model_type"] == "gpt_neox":
        older["rotary_emb_base"] = full["rope_theta"]
        older["rotary_pct"] = full["partial_rotary_factor"]
    return dict(sorted((config | older).items()))


def _scaling(model_type: str, full: Mapping[str, Any]) -> dict[str, Any]:
    if model_type in _TWO_FIELDS and full["rope_type"] in _OLDER_SCALINGS[:3]:
        return {"type": full["rope_type"], "factor": full["factor"]}
    return {n: v for n, v in full.items() if n not in _BESIDE_SCALING}


def _with_known_class(saved: dict[str, Any], tokenizer: Any) -> dict[str, Any]:
    """Name a class that reads `tokenizer.json`, and say what others' defaults are not.

    That class returns `token_type_ids` unless told otherwise: llama then refuses its
    input, and GPT-2 adds an embedding for them.
    """
    known = {name: value for name, value in saved.items() if name not in _OF_THE_READER}
    if isinstance(known.get("extra_special_tokens"), list):
        known["additional_special_tokens"] = known.pop("extra_special_tokens")
    if "model_specific_special_tokens" in known:
        known["extra_special_tokens"] = known.pop("model_specific_special_tokens")
    if saved.get("backend") != "tokenizers":
        return known
    known |= {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "model_input_names": list(tokenizer.model_input_names),
        "padding_side": tokenizer.padding_side,
    }
    if tokenizer.bos_token_id not in (None, *tokenizer("a")["input_ids"]):
        known["add_bos_token"] = False  # llama.cpp adds one where nothing says so
    return known
