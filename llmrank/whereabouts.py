"""Whether a model that somebody names is here, before anything of it is read."""

from llmrank.doors import check_hub, check_path, is_of_hub, is_open
from llmrank.errors import LLMRankError
from llmrank.folders import named_path


def is_here(name: str) -> bool:
    """Whether a model is on this machine, for who asks: the hub need not be asked."""
    return name == "demo" or (is_open(name) and named_path(name).exists())


def check_there(name: str) -> None:
    """Refuse what leads nowhere, and what is not opened for who asks, before any work.

    Raises:
        LLMRankError: saying what is allowed.
    """
    if name == "demo":
        return
    if not is_of_hub(name):
        check_path(name)
    if is_here(name):
        return
    if is_of_hub(name):
        check_hub()
    elif name.startswith(("/", ".", "~")) or name.lower().endswith(".gguf"):
        raise LLMRankError(
            f"there is no {name[:120]}; give a folder with config.json and "
            "*.safetensors, a .gguf file, a hub id such as owner/name, or demo"
        )
