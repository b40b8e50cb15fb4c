"""The course of a recovery, as a job publishes it."""

from collections.abc import Callable
from dataclasses import dataclass

from llmrank.core.jobs import Job
from llmrank.experiments.experiment import Experiment
from llmrank.methods.recovery import Moment


@dataclass(frozen=True)
class Course:
    """How far the recovery of an experiment is."""

    experiment: Experiment
    curve: tuple[Moment, ...] = ()
    is_kept: bool = False
    """Whether it was trained before, and only read again."""


def follow(job: Job, experiment: Experiment) -> Callable[[Moment], None]:
    """Return what publishes each moment of a recovery as a course."""
    curve: list[Moment] = []

    def publish(moment: Moment) -> None:
        curve.append(moment)
        job.publish(Course(experiment, tuple(curve)))

    return publish
