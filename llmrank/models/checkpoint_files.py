"""What lies in a model's folder, looked through before any of it is read."""

import json
from operator import itemgetter
from pathlib import Path
from typing import Any

from llmrank.core.errors import LLMRankError
from llmrank.models.families import check_type
from llmrank.models.sizes import check_largest, pairs

CONFIG, ADAPTER = "config.json", "adapter_config.json"
TOKENIZER, SPECIAL = "tokenizer_config.json", "special_tokens_map.json"
WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
"""The weights that transformers takes: the first, or what the second lists."""

STEERING = (
    "transformers_weights", "attribute_map", "per_layer_config", "fusion_config",
    "configuration_files",
)  # fmt: skip
"""Fields of a config.json that name other files as weights or as the configuration,
or change classes."""

OPENED = ("vocab", "merges", "init_inputs")
OPENED_ENDS = ("_file", "_path", "_dir", "_spm", "_vocab")
"""How keys of a tokenizer's settings are called whose strings transformers opens."""

OVERRIDDEN = (
    "tokenizer_file", "special_tokens_map_file", "added_tokens_file",
    "chat_template_file", "tokenizer_config_file", "name_or_path", "_name_or_path",
)  # fmt: skip
"""What old versions noted in tokenizer_config.json, and transformers never follows."""

MAX_JSON_BYTES = 2**25
"""No config and no index is as large: 32 MB of brackets take a GB to read."""

_SUFFIX = ".safetensors"


def read_json(path: Path) -> dict[str, Any]:
    """Read a file that holds a JSON object.

    Raises:
        ValueError: it holds none, or one that is too large or nests too deep.
        OSError: it cannot be read.
    """
    if path.stat().st_size > MAX_JSON_BYTES:
        raise ValueError(f"has more than {MAX_JSON_BYTES} bytes")
    try:
        content = json.loads(path.read_text("utf-8"))
    except RecursionError as error:
        raise ValueError("nests too deep") from error
    if not isinstance(content, dict):
        raise ValueError("holds no JSON object")
    return content


def check_config(folder: Path, name: str) -> None:
    """Refuse a folder that is no model of a supported type, or more than one.

    Raises:
        LLMRankError: saying of the model that the visitor called `name` what it is.
    """
    try:
        there = {path.name for path in folder.iterdir()}
    except OSError as error:
        raise LLMRankError(
            f"{name} cannot be read ({error.strerror}); check its rights"
        ) from error
    for file in sorted({CONFIG, ADAPTER} & there):
        check_inside(folder, file, name)
    if CONFIG not in there:
        raise LLMRankError(f"{name} holds no model: {_instead(folder, there)}")
    if ADAPTER in there:
        raise LLMRankError(
            f"{name} holds an adapter ({ADAPTER}) beside a whole model, and which of "
            f"the two is meant cannot be seen; merge it ({MERGE}), or take the "
            "adapter's files away"
        )
    config = _read(folder, CONFIG, name)
    if "model_type" in config:
        check_type(config)
    check_largest(config, name)
    own = [key for key in STEERING if config.get(key) is not None]
    if own:
        raise LLMRankError(
            f"{name}: config.json sets {own[0]}, which is never followed; take it out, "
            f"and keep the weights in {WEIGHTS} or the parts that {INDEX} lists"
        )


MERGE = (
    "with peft: `AutoPeftModelForCausalLM.from_pretrained(adapter)"
    ".merge_and_unload().save_pretrained(folder)`"
)


def _instead(folder: Path, there: set[str]) -> str:
    """Say what a folder without config.json seems to be."""
    if ADAPTER in there:
        try:
            base = read_json(folder / ADAPTER).get("base_model_name_or_path")
        except (OSError, ValueError):
            base = None
        of_base = f" of {str(base)[:80]}" if base else ""
        return f"it is an adapter{of_base}; merge it into its model first ({MERGE})"
    files = sorted(file for file in there if file.lower().endswith(".gguf"))
    if files:
        return f"config.json is missing; to read {files[0][:80]}, name the file itself"
    return "config.json is missing; a model folder holds config.json and *.safetensors"


def check_weights(folder: Path, name: str) -> None:
    """Refuse weights that are no safetensors inside the folder, and linked files."""
    there = sorted(path.name for path in folder.iterdir())
    for file in (*there, *_named_elsewhere(folder, there, name)):
        check_inside(folder, file, name)
    for file in sorted({TOKENIZER, SPECIAL} & set(there)):
        _check_opened(folder, file, name)
    if INDEX in there:
        _check_parts(folder, name)
        return
    if not any(file.endswith(_SUFFIX) for file in there):
        pickles = [f for f in there if f.endswith((".bin", ".pt", ".pth", ".pkl"))]
        pickle = f"; {pickles[0]} is a pickle, which is never loaded" if pickles else ""
        raise LLMRankError(
            f"{name} holds no *.safetensors{pickle}; "
            "convert the weights to safetensors first"
        )
    if WEIGHTS not in there:
        raise LLMRankError(
            f"{name} holds neither {WEIGHTS} nor {INDEX}, which lists its parts; "
            "copy the index too, or give a single file that name"
        )


def check_vocabulary(tokenizer: Any, config: Any, name: str) -> None:
    """Refuse a tokenizer whose own tokens have no row in the embedding.

    Tokens that were added later may lie beyond it: many models have one for padding.
    """
    own = set(tokenizer.get_vocab().items()) - set(tokenizer.get_added_vocab().items())
    token, largest = max(own, key=itemgetter(1), default=("", 0))
    if largest >= config.vocab_size:
        raise LLMRankError(
            f"{name} has a token {token[:40]!r} with the id {largest}, and its "
            f"embedding has {config.vocab_size} rows; the tokenizer is another model's"
        )


def _named_elsewhere(folder: Path, there: list[str], name: str) -> list[str]:
    """List what is opened as well: the templates one folder down, and tokenizers."""
    others = [str(path.relative_to(folder)) for path in folder.glob("*/*.jinja")]
    if TOKENIZER in there:
        listed = _read(folder, TOKENIZER, name).get("fast_tokenizer_files")
        others += map(str, listed if isinstance(listed, list) else ())
    return others


def _check_opened(folder: Path, file: str, name: str) -> None:
    """A tokenizer's settings may name any file; transformers would open it."""
    harmless = OVERRIDDEN if file == TOKENIZER else ()
    for key, value in pairs(_read(folder, file, name)):
        opened = key in OPENED or key.endswith(OPENED_ENDS)
        named = isinstance(value, str) or (key == "init_inputs" and value)
        if opened and named and key not in harmless:
            raise LLMRankError(
                f"{name}: {file} sets {key[:40]}, which may name any file and is never "
                "followed; take it out, and put tokenizer.json beside the weights"
            )


def _check_parts(folder: Path, name: str) -> None:
    """An index may name any file as a part; transformers would open it."""
    parts = _read(folder, INDEX, name).get("weight_map")
    if not isinstance(parts, dict):
        raise LLMRankError(f"{name}: {INDEX} is damaged; copy it again")
    for part in sorted({str(part) for part in parts.values()}):
        if Path(part).suffix != _SUFFIX:
            raise LLMRankError(
                f"{name}: {INDEX} names {part[:80]!r}, which is no {_SUFFIX} file and "
                "is never loaded; convert the weights to safetensors first"
            )
        check_inside(folder, part, name)
        if not (folder / part).is_file():
            raise LLMRankError(
                f"{name} is incomplete: {part[:80]} is missing, which {INDEX} names; "
                "copy the whole checkpoint again"
            )


def check_inside(folder: Path, file: str, name: str) -> None:
    """Refuse a file that a link or `..` puts elsewhere: it might be anybody's.

    The hub's cache is made of links, from snapshots/COMMIT into the same model's blobs.
    """
    home = folder.resolve()
    if home.parent.name == "snapshots":
        home = home.parents[1]
    try:
        inside = (folder / file).resolve().is_relative_to(home)
    except (OSError, RuntimeError, ValueError):  # a circle of links, a zero byte
        inside = False
    if not inside:
        raise LLMRankError(
            f"{name}: {file[:80]!r} leads out of the model's folder and is not opened; "
            "put the file itself there"
        )


def _read(folder: Path, file: str, name: str) -> dict[str, Any]:
    try:
        return read_json(folder / file)
    except OSError as error:
        why = error.strerror or "no file"
    except ValueError as error:
        why = " ".join(str(error).split())[:80]
    raise LLMRankError(f"{name}: {file} is damaged ({why}); copy it again")
