"""A network from a file: safetensors only, kept in memory under its hash."""

import hashlib

import streamlit as st

from llmrank import mlp
from llmrank.doors import asker
from llmrank.errors import LLMRankError
from pages.shared import cached, state
from pages.shared.uploads import uploader

KEPT = "loaded"


def chosen(page: str) -> str | None:
    """Offer to load a network; return the hash of the one that is in use."""
    name = f"{page}.net"
    brought = uploader(
        "Load a network instead (safetensors)", ["safetensors"], key="lab_net",
        help="Linear layers named in their order, as a torch.nn.Sequential gives them, "
        "or what this page saves. Pickles are never loaded.", keep=_kept,
    )  # fmt: skip
    if brought is not None:
        state.view(name, brought)
    digest = state.views().get(name)
    if digest and _peek(digest) is None:
        st.caption(
            "The link's network was loaded from a file; load it again to see it."
        )
        return None
    return digest


def network(digest: str) -> mlp.Network:
    """Return a network that was loaded.

    Raises:
        LLMRankError: it is not in memory any more.
    """
    found = _peek(digest)
    if found is None:
        raise LLMRankError(
            "the loaded network is not in memory any more; load it again"
        )
    return found


def _kept(content: bytes, shown: str) -> str:
    digest = hashlib.sha256(content).hexdigest()[:16]
    if _peek(digest) is None:
        network = mlp.network_of(content, shown)
        cached.lab(KEPT).put((asker().uploads, digest), network)
    return digest


def _peek(digest: str) -> mlp.Network | None:
    """Return a network that this visitor loaded: the hash opens no other's."""
    return cached.lab(KEPT).peek((asker().uploads, digest))
