"""Run by another transformers' Python: open exports and tell what is read in them.

Reads `{"folders": [...], "text": ..., "book": ...}` from the standard input; writes the
logits of a prompt into each folder and prints the rest.
"""

import json
import sys
import warnings
from pathlib import Path

import torch
import transformers
from transformers import AutoModelForCausalLM, AutoTokenizer
from transformers.models.auto.configuration_auto import CONFIG_MAPPING

CHAT = [{"role": "user", "content": "Who turns the wheel?"}]


def prompt(d_vocab: int) -> torch.Tensor:
    """Return tokens that reach beyond the windows of the tiny models."""
    return torch.arange(1, 128).remainder(d_vocab)[None]


def read_by(tokenizer, text: str) -> dict:
    """Tell what a tokenizer does with a text and a chat."""
    given = tokenizer(text)
    has_chat = tokenizer.chat_template is not None
    return {
        "ids": given["input_ids"],
        "inputs": sorted(given),
        "decoded": tokenizer.decode(given["input_ids"]),
        "plain": tokenizer.decode(given["input_ids"], skip_special_tokens=True),
        "special": sorted(map(str, tokenizer.all_special_tokens)),
        "padding_side": tokenizer.padding_side,
        "chat": tokenizer.apply_chat_template(CHAT, tokenize=False)
        if has_chat
        else None,
    }


def surprise(model, tokenizer, text: str) -> float:
    """Return the mean negative log-likelihood of two windows of a text."""
    ids = torch.tensor(tokenizer(text, add_special_tokens=False)["input_ids"][:1024])
    windows = ids.reshape(2, 512)
    logits = model(windows).logits[:, :-1].float().transpose(1, 2)
    return float(torch.nn.functional.cross_entropy(logits, windows[:, 1:]))


@torch.inference_mode()
def seen(folder: Path, text: str, book: str | None) -> dict:
    """Open one export as anybody would."""
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    if getattr(model.config, "attn_logit_softcapping", None):
        model.set_attn_implementation("eager")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    logits = model(prompt(model.config.vocab_size)).logits
    torch.save(logits, folder / "logits.pt")
    found = read_by(tokenizer, text)
    if book is not None:
        return found | {"surprise": surprise(model, tokenizer, book)}
    own = AutoModelForCausalLM.from_pretrained(folder, torch_dtype="auto")
    return found | {"dtype": str(own.dtype)}


def main() -> None:
    """Answer one request."""
    asked = json.load(sys.stdin)
    transformers.utils.logging.set_verbosity_error()
    warnings.simplefilter("ignore")
    found = {}
    for folder in asked["folders"]:
        book = asked["book"] if folder == asked["long"] else None
        try:
            found[folder] = seen(Path(folder), asked["text"], book)
        except Exception as error:  # a test says which
            found[folder] = {"error": f"{type(error).__name__}: {error}"}
    version, types = transformers.__version__, sorted(CONFIG_MAPPING)
    json.dump({"version": version, "types": types, "found": found}, sys.stdout)


if __name__ == "__main__":
    main()
