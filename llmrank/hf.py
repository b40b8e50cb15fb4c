"""transformers, imported late, and building one model at a time."""

import threading
from typing import Any

BUILDING = threading.RLock()
"""Held while transformers builds a model: it patches its own classes meanwhile.

Two threads at once leave `tie_weights` switched off for the life of the process
(transformers.initialization.no_tie_weights in 5.23).
"""


def transformers() -> Any:
    """Import late: it takes seconds, and the pages draw their frame first."""
    import transformers

    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    return transformers
