"""An experiment as flat, named settings: the command line, the link, the session."""

import re
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from llmrank.core.errors import OptionError
from llmrank.core.specs import Option, options
from llmrank.core.uploads import masked
from llmrank.experiments.experiment import Experiment, spec_kinds
from llmrank.methods.method import PARTS
from llmrank.models.checkpoints import DEMO_NAME
from llmrank.models.precision import OWN

SECTIONS = ("model", "calibration", "pruning", "evaluation", "tasks", "benchmark")

PRESETS: dict[str, tuple[dict[str, Any], str]] = {
    "Default": ({}, "Centrality at the neuron's own signal, the same share of layers"),
    "The paper's": (
        {"criterion": "llm-rank", "site": "up"},
        "LLM-Rank as published: activation measured at the output of up_proj",
    ),
    "Best measured": (
        {
            "criterion": "wanda",
            "allocation": "additive",
            "repair": "least-squares-sequential",
        },
        "The least perplexity of all methods measured (demo model, 4,096 tokens, with "
        "64 calibration samples); it measures first what each layer costs, which "
        "takes minutes. Next best, without that wait: cfsp, block-influence, "
        "least-squares",
    ),
}
"""Whole methods by name, as settings, and what each is; the rest is as usual."""

_PART_HELP = {
    "criterion": "How neurons are scored",
    "allocation": "How many neurons each layer keeps",
    "repair": "What is done to the weights that stay",
}
_FLAT_NAMES = {"name": "model", "items_seed": "seed"}
"""`seed` sets every seed; a model's name is the setting `model`."""


def declared(sections: Sequence[str] = (*PARTS, *SECTIONS)) -> dict[str, Option]:
    """Return the settings of some sections, or of all, by their flat names.

    The method's parts come first, the parameters of every one of them last.
    """
    found: dict[str, Option] = {}
    kinds = [spec_kinds()[s] for s in sections if s not in PARTS]
    for part in (s for s in PARTS if s in sections):
        names = tuple(PARTS[part])
        kinds += [PARTS[part][n] for n in names]
        found[part] = Option(part, str, default(part), _PART_HELP[part], choices=names)
    for o in (o for kind in kinds for o in options(kind)):
        name = _FLAT_NAMES.get(o.name, o.name)
        found.setdefault(name, replace(o, name=name))
    return found


def default(part: str) -> str:
    """Return the name of a method part's default."""
    return str(getattr(Experiment(), part).name)


def experiment(settings: Mapping[str, Any]) -> Experiment:
    """Build an experiment from settings given as text or as values.

    Raises:
        OptionError: an unknown setting, a value outside its limits, or a parameter of
            a part of the method that is not the chosen one.
    """
    known = declared()
    for name in settings:
        if name not in known:
            raise OptionError(
                f"unknown setting {name[:80]!r}; there are: {', '.join(known)}"
            )
    kinds = chosen(settings) | {name: spec_kinds()[name] for name in SECTIONS}
    _refuse_foreign(settings)
    return Experiment(**{name: _built(k, settings) for name, k in kinds.items()})


def chosen(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the classes of the method's parts that settings name."""
    return {p: PARTS[p][str(given.get(p, default(p)))] for p in PARTS}


def settings(of: Experiment) -> dict[str, Any]:
    """Return the settings that differ from their defaults."""
    found: dict[str, Any] = {part: getattr(of, part).name for part in PARTS}
    for part in (getattr(of, s) for s in (*PARTS, *reversed(SECTIONS))):
        for o in options(type(part)):
            found[_FLAT_NAMES.get(o.name, o.name)] = getattr(part, o.name)
    defaults = {name: o.default for name, o in declared().items()}
    return {n: found[n] for n in defaults if n in found and found[n] != defaults[n]}


def export_name(of: Experiment) -> str:
    """Return a folder name for the pruned model: model, criterion, share removed.

    An allocation that sets the share itself has none in its name.
    """
    model = DEMO_NAME if of.model.name == "demo" else Path(of.model.name).name
    removed = f"{100 * of.pruning.sparsity:.4g}pct"
    named = [of.criterion.name]
    if not of.allocation.sets_sparsity:
        named.append(removed)
    parts = (of.allocation.name, of.repair.name)
    usual = (default("allocation"), default("repair"))
    unusual = [p for p, u in zip(parts, usual, strict=True) if p != u]
    name = "-".join([model.removesuffix(".gguf"), *named, *unusual])
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "pruned-model"


def command_line(
    of: Experiment, *, export: str | None = None, export_dtype: str = OWN
) -> str:
    """Return the command that repeats the experiment; another's text is not named."""
    flags = [_flag(name, masked(str(value))) for name, value in settings(of).items()]
    target = [] if export is None else [_flag("export", export)]
    target += [] if export_dtype == OWN else [_flag("export_dtype", export_dtype)]
    return " ".join(["python -m llmrank run", *flags, *target])


def _flag(name: str, value: str) -> str:
    between = "=" if value.startswith("-") else " "  # or it reads as another flag
    return f"--{name.replace('_', '-')}{between}{shlex.quote(value)}"


def snippet(
    of: Experiment, *, export: str = "pruned-model", export_dtype: str = OWN
) -> str:
    """Return the Python that repeats the experiment, from loading to saving.

    Another visitor's text is not named.
    """
    usual = Experiment()
    dtype = "" if export_dtype == OWN else f", dtype={export_dtype!r}"
    measures = ", ".join(
        f"{name}={getattr(of, name)!r}"
        for name in ("evaluation", "tasks", "benchmark")
        if getattr(of, name) != getattr(usual, name)
    )
    names = ["CalibrationSpec", type(of.criterion).__name__, "Measures", "ModelSpec"]
    more = [f"{n[0].upper()}{n[1:]}Spec" for n in _sections_in(measures)]
    parts = [type(getattr(of, p)).__name__ for p in ("allocation", "repair")]
    every = {*names, *more, *parts, "PruningSpec", "StageSpecs", "Stages"}
    lines = [
        "import llmrank",
        "from llmrank import (",
        *(f"    {name}," for name in sorted(every)),
        ")",
        "",
        "specs = StageSpecs(",
        *(f"    {part!r}," for part in of.stage_specs),
        ")",
        "stages = Stages()",
        "dense, pruned = stages.model(specs.model), stages.pruned(specs)",
        f"found = llmrank.compare(dense, pruned, Measures({measures}))",
        "print(llmrank.table(found))",
        f"print(llmrank.save(pruned, {export!r}{dtype}).summary)",
    ]
    return str(masked("\n".join(lines)))


def _sections_in(measures: str) -> list[str]:
    names = ("evaluation", "tasks", "benchmark")
    return [n.removesuffix("s") for n in names if f"{n}=" in measures]


def applicable(given: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out the parameters of method parts that are not the chosen ones."""
    foreign = _foreign(given)
    return {name: value for name, value in given.items() if name not in foreign}


def _foreign(given: Mapping[str, Any]) -> dict[str, str]:
    """Return parameters that are not of a chosen part, each with a part it is of."""
    own = {o.name for kind in chosen(given).values() for o in options(kind)}
    shared = {o.name for s in SECTIONS for o in options(spec_kinds()[s])}
    every = {
        o.name: part
        for part, registry in PARTS.items()
        for n in registry
        for o in options(registry[n])
    }
    return {name: p for name, p in every.items() if name not in own | shared}


def _refuse_foreign(given: Mapping[str, Any]) -> None:
    """A parameter that no part of the method has would silently do nothing."""
    for name, part in sorted(_foreign(given).items()):
        if name in given:
            kind = chosen(given)[part]
            has = ", ".join(o.name for o in options(kind)) or "no parameters"
            raise OptionError(f"{part} {kind.name} has no {name}; it has: {has}")


def _built(kind: Any, given: Mapping[str, Any]) -> Any:
    values = {}
    for o in options(kind):
        flat = _FLAT_NAMES.get(o.name, o.name)
        if flat in given:
            value = given[flat]
            values[o.name] = o.parse(value) if isinstance(value, str) else value
    return kind(**values)
