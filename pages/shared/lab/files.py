"""A network from a file: safetensors only, and the visitor's own as any upload is."""

import streamlit as st

from llmrank import mlp
from llmrank.core import uploads
from pages.shared.app import resources, session
from pages.shared.app.uploads import uploader


def chosen(page: str) -> str | None:
    """Offer to load a network; return the upload that is in use."""
    name = f"{page}.net"
    brought = uploader(
        "Load a network instead (safetensors)", ["safetensors"], key="lab_net",
        help="Linear layers named in their order, as a torch.nn.Sequential gives them, "
        "or what this page saves. Pickles are never loaded.", keep=_keep,
    )  # fmt: skip
    if brought is not None:
        session.view(name, brought)
    source = session.views().get(name)
    if source and not uploads.is_open(source):
        st.caption(
            "The link's network was loaded from a file; load it again to see it."
        )
        return None
    return source


def network(source: str) -> mlp.Network:
    """Return a network that who asks has loaded.

    Raises:
        LLMRankError: it is another's, gone or damaged.
    """
    uploads.path(source)  # the memory has others' too

    def read() -> mlp.Network:
        return mlp.network_of(uploads.content(source), "the loaded network")

    return resources.lab("loaded").get(source, read)


def _keep(content: bytes, shown: str) -> str:
    mlp.network_of(content, shown)
    return uploads.keep(content, shown, ".net")
