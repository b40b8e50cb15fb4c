"""What a visitor may know of a job."""

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Literal

from llmrank.core.job_lanes import Lane

JobState = Literal["queued", "running", "done", "failed", "cancelled"]


@dataclass(frozen=True)
class JobView:
    """A job at one moment.

    `elapsed_s` counts from the start of the work. `share` and `remaining_s` are of the
    whole job, None while its steps are not known; `step_s` is what remains of the step
    at hand alone, None while too little was seen. When queued they are the running
    job's.
    `position` is the place in the queue (1 starts next), None when not queued.
    `stopping` says that a running job was cancelled and has not yet noticed, `enough`
    that its owner is content with what it has so far. `error` is
    why it failed, or why it was stopped where its owner did not do it. `key` says which
    work it is.
    """

    id: str
    owner: str = field(repr=False)
    title: str
    key: Hashable = field(default=None, repr=False)
    lane: Lane = "heavy"
    state: JobState = "queued"
    what: str = ""
    done: int = 0
    total: int = 0
    share: float | None = None
    elapsed_s: float = 0.0
    remaining_s: float | None = None
    step_s: float | None = None
    position: int | None = None
    stopping: bool = False
    enough: bool = False
    partial: object = None
    result: object = None
    error: str | None = None

    @property
    def kind(self) -> Hashable:
        """What jobs of the same steps share: the first part of the key, if it has any.

        Such jobs take the same steps, if not as long.
        """
        return self.key[0] if isinstance(self.key, tuple) and self.key else None

    @property
    def finished(self) -> bool:
        """Whether nothing about the job will change any more."""
        return self.state in ("done", "failed", "cancelled")
