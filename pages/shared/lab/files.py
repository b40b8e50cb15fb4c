"""A network from a file: safetensors only, kept in memory under its hash."""

import hashlib
import tempfile
from pathlib import Path

import streamlit as st

from llmrank import mlp
from llmrank.errors import LLMRankError
from pages.shared import cached, state
from pages.shared.words import plain

KEPT = "loaded"


def chosen(page: str) -> str | None:
    """Offer to load a network; return the hash of the one that is in use."""
    name = f"{page}.net"
    uploaded = st.file_uploader(
        "Load a network instead (safetensors)", type=["safetensors"], key="lab_net",
        help="Linear layers named in their order, as a torch.nn.Sequential gives them, "
        "or what this page saves. Pickles are never loaded.",
    )  # fmt: skip
    if uploaded is not None:
        try:
            state.view(name, _kept(uploaded.getvalue(), uploaded.name))
        except LLMRankError as error:
            st.error(plain(str(error)))
            state.view(name, None)
    digest = state.views().get(name)
    if digest and cached.lab(KEPT).peek(digest) is None:
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
    found = cached.lab(KEPT).peek(digest)
    if found is None:
        raise LLMRankError(
            "the loaded network is not in memory any more; load it again"
        )
    return found


def _kept(content: bytes, shown: str) -> str:
    digest = hashlib.sha256(content).hexdigest()[:16]
    if cached.lab(KEPT).peek(digest) is None:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "network"  # no disk takes every name of an upload
            try:
                path.write_bytes(content)
            except OSError as error:
                raise LLMRankError(
                    f"{shown[:80]} cannot be kept ({error.strerror}); free some "
                    "space on the server"
                ) from error
            cached.lab(KEPT).put(digest, mlp.load_network(path, shown))
    return digest
