"""What is told of where things are: whether a model is here, and no server's folder."""

import tempfile
from pathlib import Path

from llmrank.core.errors import LLMRankError
from llmrank.core.paths import cache_folder, named_path, results_file
from llmrank.core.permissions import asker, check_hub, check_path, is_of_hub, is_open


def is_here(name: str) -> bool:
    """Whether a model is on this machine, for who asks: the hub need not be asked."""
    return name == "demo" or (is_open(name) and named_path(name).exists())


def is_file(name: str) -> bool:
    """Whether a model is one file on this machine, for who asks."""
    return is_open(name) and named_path(name).is_file()


def check_there(name: str) -> None:
    """Refuse what leads nowhere or is not opened for who asks, before any work."""
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


def without_folders(said: str) -> str:
    """Return a sentence without the folders that the server keeps things in.

    The person at the machine needs them to mend what is said; a stranger does not.
    """
    if not asker().stranger:
        return said
    from huggingface_hub.constants import HF_HUB_CACHE  # the core alone needs none

    fetched = (Path(HF_HUB_CACHE), Path(tempfile.gettempdir()))
    kept = (cache_folder(), results_file().parent, *fetched)
    for folder in (path.absolute() for path in kept):
        if folder != Path(folder.anchor):
            said = said.replace(f"{folder}/", "").replace(str(folder), "its folder")
    home = Path.home()
    return said if home == Path(home.anchor) else said.replace(str(home), "~")
