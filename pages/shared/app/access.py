"""For whom the app opens models, texts and folders: the visitor whose page runs."""

from typing import TYPE_CHECKING

import streamlit as st
from streamlit.runtime.scriptrunner import get_script_run_ctx

from llmrank.core import permissions
from llmrank.core.variables import is_on
from pages.shared.app.uploads import holder

if TYPE_CHECKING:
    from llmrank.experiments.experiment import (
        Experiment,  # torch: the frame stands before it
    )

LOOPBACK = ("127.0.0.1", "localhost", "::1")


def is_shared() -> bool:
    """Whether others than the person at this machine can reach the server.

    Behind a proxy or a tunnel the address does not tell: LLMRANK_SHARED=1 does.
    """
    return is_on("LLMRANK_SHARED") or st.get_option("server.address") not in LOOPBACK


def asker() -> permissions.Asker:
    """Return for whom a thread asks that no job runs in.

    Outside a page there is nobody, and what a stranger may is all that is opened.
    """
    if get_script_run_ctx(suppress_warning=True) is None:
        return permissions.Asker(stranger=is_shared())
    return permissions.Asker(holder(), is_shared())


def check(experiment: "Experiment") -> None:
    """Refuse before any work what is refused again where it is opened.

    Raises:
        LLMRankError: saying what is allowed.
    """
    from llmrank.core import whereabouts
    from llmrank.data import texts

    whereabouts.check_there(experiment.model.name)
    for source in experiment.texts:
        texts.check(source)


permissions.guard(asker)
