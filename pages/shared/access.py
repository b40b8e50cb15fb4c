"""What a visitor may name: folders of a shared server are limited, hubs are off."""

import os
from pathlib import Path

import streamlit as st

from llmrank.corpora import EMBEDDED, SITUATIONS, UPLOADED
from llmrank.errors import LLMRankError
from llmrank.experiment import Experiment
from llmrank.folders import check_allowed, named_path
from llmrank.sources import check_there

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def is_shared() -> bool:
    """Whether others than the person at this machine can reach the server.

    Behind a proxy or a tunnel the address does not tell: LLMRANK_SHARED=1 does.
    """
    told = os.environ.get("LLMRANK_SHARED")
    return bool(told) or st.get_option("server.address") not in LOOPBACK


def check(e: Experiment) -> None:
    """Refuse what leads nowhere, or what a visitor of a shared server may not name.

    Raises:
        LLMRankError: saying what is allowed.
    """
    if not is_shared():
        check_there(e.model.name)
        return
    name = e.model.name
    if name != "demo" and named_path(name).exists():
        check_allowed(Path(name))
    elif name != "demo" and not os.environ.get("LLMRANK_HUB"):
        raise LLMRankError(
            "this server is shared and fetches no models from the hub; use demo or a "
            "folder of the server (whoever runs it can set LLMRANK_HUB=1)"
        )
    for path in e.texts:
        if path not in (EMBEDDED, SITUATIONS) and not path.startswith(UPLOADED):
            raise LLMRankError(
                "this server is shared and reads no text files of its own; upload the "
                f"text, or use {EMBEDDED}"
            )
