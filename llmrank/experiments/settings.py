"""An experiment as flat, named settings: the command line, the link, the session."""

import dataclasses
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
from llmrank.methods.method import BETWEEN, DEFAULT, PARTS, Method
from llmrank.models.checkpoints import DEMO_NAME
from llmrank.models.precision import OWN

SECTIONS = tuple(spec_kinds())

PRESETS: dict[str, tuple[dict[str, Any], str]] = {
    "Default": (
        {},
        "Among the best that are ready in seconds: widths by what each block does, "
        "output weights refitted",
    ),
    "The paper's": (
        {"site": "up", "allocation": "uniform", "repair": "none"},
        "As published: activation at up_proj, the same share of every layer, no repair",
    ),
    "Best measured": (
        {
            "criterion": "wanda",
            "allocation": "additive",
            "repair": "least-squares-sequential",
        },
        "The least perplexity measured without training (demo model); takes minutes: "
        "what each layer costs is measured first",
    ),
}
"""Whole methods by name, as settings, and what each is; the rest is as usual."""

_FLAT_NAMES = {"name": "model", "items_seed": "seed"}
"""`seed` sets every seed; a model's name is the setting `model`."""


def declared(sections: Sequence[str] = ("method", *SECTIONS)) -> dict[str, Option]:
    """Return the settings of some sections, or of all, by their flat names.

    The method's parts come first, the parameters of every one of them last.
    """
    known: dict[str, Option] = {}
    kinds = [spec_kinds()[name] for name in sections if name != "method"]
    for part, registry in PARTS.items() if "method" in sections else ():
        names = tuple(registry)
        kinds += [registry[name] for name in names]
        known[part] = Option(part, str, default(part), registry.help, choices=names)
    for o in (o for kind in kinds for o in options(kind)):
        name = _FLAT_NAMES.get(o.name, o.name)
        known.setdefault(name, replace(o, name=name))
    return known


def default(part: str) -> str:
    """Return the name of a method part where nobody names one."""
    return str(getattr(DEFAULT, part).name)


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
    _refuse_foreign(settings)
    parts = {part: _built(kind, settings) for part, kind in chosen(settings).items()}
    specs = {name: _built(kind, settings) for name, kind in spec_kinds().items()}
    return Experiment(method=Method(**parts), **specs)


def spelled_out(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings with what stands behind a part's name as settings of their own.

    As in the words of a method: `recovery=distil:minutes=5` is two settings.

    Raises:
        OptionError: what stands there is no name=value.
    """
    flat = dict(given)
    for part in PARTS:
        name, colon, rest = str(given.get(part, "")).partition(":")
        if not colon:
            continue
        flat[part] = name.strip()
        for field in BETWEEN.split(rest):
            parameter, equals, value = field.partition("=")
            if not equals:
                raise OptionError(
                    f"{part} {name[:40]!r} has {field[:80]!r} behind it; write one "
                    f"as {name[:40]}:name=value"
                )
            flat[parameter.strip()] = value.strip()
    return flat


def chosen(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the classes of the method's parts that settings name."""
    return {p: PARTS[p][str(given.get(p, default(p)))] for p in PARTS}


def settings(experiment: Experiment) -> dict[str, Any]:
    """Return the settings that differ from their defaults."""
    parts = {part: getattr(experiment.method, part) for part in PARTS}
    values: dict[str, Any] = {part: spec.name for part, spec in parts.items()}
    specs = [getattr(experiment, name) for name in reversed(SECTIONS)]
    for spec in (*parts.values(), *specs):
        for o in options(type(spec)):
            values[_FLAT_NAMES.get(o.name, o.name)] = getattr(spec, o.name)
    defaults = {name: o.default for name, o in declared().items()}
    return {n: values[n] for n in defaults if n in values and values[n] != defaults[n]}


def export_name(experiment: Experiment) -> str:
    """Return a folder name for the pruned model: model, criterion, share removed.

    An allocation that sets the share itself has none in its name.
    """
    given, method = experiment.model.name, experiment.method
    model = DEMO_NAME if given == "demo" else Path(given).name
    criterion, *more = (part.name for part in method.told)
    removed = f"{100 * experiment.pruning.sparsity:.4g}pct"
    amount = [] if method.allocation.sets_sparsity else [removed]
    name = "-".join([model.removesuffix(".gguf"), criterion, *amount, *more])
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "pruned-model"


def command_line(
    experiment: Experiment, *, export: str | None = None, export_dtype: str = OWN
) -> str:
    """Return the command that repeats the experiment; another's text is not named."""
    given = settings(experiment)
    flags = [_flag(name, masked(str(value))) for name, value in given.items()]
    target = [] if export is None else [_flag("export", export)]
    target += [] if export_dtype == OWN else [_flag("export_dtype", export_dtype)]
    return " ".join(["python -m llmrank run", *flags, *target])


def _flag(name: str, value: str) -> str:
    between = "=" if value.startswith("-") else " "  # or it reads as another flag
    return f"--{name.replace('_', '-')}{between}{shlex.quote(value)}"


def snippet(
    experiment: Experiment, *, export: str = "pruned-model", export_dtype: str = OWN
) -> str:
    """Return the Python that repeats the experiment, from loading to saving.

    Another visitor's text is not named.
    """
    usual = Experiment()
    dtype = "" if export_dtype == OWN else f", dtype={export_dtype!r}"
    always = ("model", "calibration", "method", "pruning")
    fields = dataclasses.fields(experiment)
    given = {
        f.name: value
        for f in fields
        if (value := getattr(experiment, f.name)) != getattr(usual, f.name)
        or f.name in always
    }
    parts = [getattr(experiment.method, part) for part in PARTS]
    kinds = {type(spec).__name__ for spec in (*given.values(), *parts)}
    lines = [
        "import llmrank",
        "from llmrank import (",
        *(f"    {name}," for name in sorted({"Experiment", "Pipeline", *kinds})),
        ")",
        "",
        "experiment = Experiment(",
        *(f"    {name}={value!r}," for name, value in given.items()),
        ")",
        "pipeline = Pipeline()",
        "report = llmrank.run(experiment, pipeline=pipeline)",
        "print(llmrank.table(report.comparison))",
        "pruned = pipeline.pruned(experiment)",
        f"print(llmrank.save(pruned, {export!r}{dtype}).summary)",
    ]
    return str(masked("\n".join(lines)))


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
