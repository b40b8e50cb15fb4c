"""The experiment that a command's options describe."""

import argparse
from typing import Any


def wanted_experiment(options: argparse.Namespace) -> Any:
    """Return the experiment, its tasks and texts checked.

    Raises:
        LLMRankError: a value outside its limits, an unknown task, or a text that
            cannot be read.
    """
    from llmrank.experiments.run import check_names

    wanted = described(options)
    check_names(wanted)
    return wanted


def described(options: argparse.Namespace) -> Any:
    """Return the experiment of the settings that were given.

    Raises:
        OptionError: a value outside its limits, or a setting that does not apply.
    """
    from llmrank.experiments.settings import declared, experiment

    given = vars(options)
    return experiment({n: given[n] for n in declared() if given.get(n) is not None})
