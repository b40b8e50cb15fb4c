"""What a job reads of a neuron: where it fires, and what it is worth, in words."""

from dataclasses import dataclass, replace

from llmrank.analysis import neuron
from llmrank.analysis.neuron import SMALL, Effect, Firing, LossChange, Neuron
from llmrank.core.formatting import number, share
from llmrank.core.jobs import Job
from llmrank.experiments.experiment import Experiment
from pages.shared.app import jobs, reading, resources, visitors

KIND = "inspect"
N_CONTEXTS = 5


@dataclass(frozen=True)
class Found:
    """What a job has measured of one neuron so far."""

    experiment: Experiment
    firing: Firing
    effect: Effect | None = None


def found_of(experiment: Experiment, place: Neuron) -> Found | None:
    """Return what the last job has measured, if it is of this neuron and model."""
    seen = jobs.view(KIND)
    found = None if seen is None else seen.result or seen.partial
    if not isinstance(found, Found) or found.firing.neuron != place:
        return None
    return found if found.experiment.model == experiment.model else None


def start(experiment: Experiment, place: Neuron, *, worth: bool = True) -> None:
    """Read where a neuron fires and measure what it is worth, instead of another's."""
    pipeline, before = resources.pipeline(), jobs.view(KIND)
    if before is not None and not before.finished:
        resources.worker().cancel(before.id, visitors.owner())
    found = found_of(experiment, place)
    is_whole = found is not None and before is not None and before.result is found
    if not is_whole or found.experiment.calibration != experiment.calibration:
        found = None

    def work(job: Job) -> Found:
        model = pipeline.model(experiment, progress=job.progress)
        known = found
        for part in () if known else (reading.first_look(experiment), experiment):
            (fires,) = neuron.firing(
                model,
                part.calibration,
                (place,),
                n_contexts=N_CONTEXTS,
                progress=job.progress,
            )
            known = Found(experiment, fires)
            job.publish(known)
        assert known is not None
        return measured(known, job) if worth else known

    def measured(known: Found, job: Job) -> Found:
        model = pipeline.model(experiment)
        job.publish(known)
        evaluation = replace(experiment.evaluation, eval_tokens=SMALL.eval_tokens)
        few = replace(experiment, evaluation=evaluation)
        texts = (
            pipeline.dense_text(few, progress=job.progress),
            pipeline.pruned_text(few, progress=job.progress)[1],
        )
        plan = pipeline.plan(experiment)
        effect = neuron.effect(
            model, plan, place, evaluation, known=texts, progress=job.progress
        )
        return replace(known, experiment=experiment, effect=effect)

    title = f"Inspecting layer {place.layer}, neuron {place.index:,}"
    key = (experiment, place, worth)
    jobs.start(KIND, title, work, experiment, key=key, lane="light")


def how_often(firing: Firing) -> str:
    """Say how strongly it fires, and how often."""
    if not firing.contexts:
        return f"It never fires on {firing.n_tokens:,} tokens."
    return (
        f"Strongest {number(firing.contexts[0].activation)}; mean "
        f"{number(firing.mean)}; at least a tenth of the strongest on "
        f"{share(firing.active_share)} of {firing.n_tokens:,} tokens of "
        f"{firing.text_source}."
    )


def in_short(firing: Firing) -> str:
    """Say how often it fires, and on how much that was read."""
    often = share(firing.active_share) if firing.contexts else "none"
    return f"on {often} of {firing.n_tokens:,} tokens"


def worths(effect: Effect) -> list[str]:
    """Say how the loss changes without it, in the dense and in the pruned model."""
    verb = "also removed from" if effect.kept_by_plan else "kept in"
    return [
        _worth("removed from the dense model", effect.removed),
        _worth(f"{verb} the pruned model", effect.switched),
    ]


def _worth(said: str, change: LossChange | None) -> str:
    if change is None:
        return f"Alone {said}: its layer would be empty."
    d = change.difference
    certain = "" if d.low > 0 or d.high < 0 else ", not told from zero"
    return (
        f"Alone {said}: {d.value:+.2g} [{d.low:+.2g}, {d.high:+.2g}] nats per token"
        f"{certain}."
    )


def scaled(context: neuron.Context) -> list[tuple[str, float]]:
    """Return a context's tokens, each with its share of the strongest activation."""
    most = float(context.activations.abs().max()) or 1.0
    shares = (float(a) / most for a in context.activations)
    return list(zip(context.tokens, shares, strict=True))
