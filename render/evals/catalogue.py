"""The evaluations by name, and the scale of an evaluation from the flags of a command."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

from datagen.errors import UserError, did_you_mean
from render.evals import assets, cogent, dot2d, pose6d, so3
from render.evals.declaration import Evaluation, Scale
from render.evals.plan import FORMER_NAMES, Plan

DEFAULT_SCALE = "tiny"


@dataclass(frozen=True)
class Entry:
    """The function that makes an evaluation at a scale, and the evaluation's scales by preset."""

    make: Callable[[Scale], Evaluation]
    scales: Mapping[str, Scale]


EVALUATIONS: Mapping[str, Entry] = {
    "cogent": Entry(cogent.evaluation, cogent.SCALES),
    "dot2d": Entry(dot2d.evaluation, dot2d.SCALES),
    "so3": Entry(so3.evaluation, so3.SCALES),
    "pose6d": Entry(pose6d.evaluation, pose6d.SCALES),
    "assets": Entry(assets.evaluation, assets.SCALES),
}


def asked(
    name: str, preset: str = "tiny", changes: Sequence[str] = (), methods: Sequence[str] | None = None, **given: Any
) -> tuple[Evaluation, Plan]:
    """The evaluation and the plan of a call. `methods` are all by default; `changes` come after those of the scale.

    `given` are fields of `Scale`; the preset's scale replaces those that are None or missing. A preset without a scale of its own, such as
    one in a file, has the scale of `DEFAULT_SCALE` without its changes, which are meant for that preset alone. `UserError` for an unknown
    evaluation, and for values out of range.
    """
    scale = scale_of(name, preset, **given)
    evaluation = EVALUATIONS[name].make(scale)
    names = [method.name for method in evaluation.methods] if methods is None else methods
    plan = Plan(names, scale.sizes, scale.seeds, preset, (*scale.changes, *changes), scale.budget, scale.pretrain_share)
    return evaluation, plan


def scale_of(name: str, preset: str = "tiny", **given: Any) -> Scale:
    """The scale of a call: see `asked`. `UserError` for an unknown evaluation."""
    if name not in EVALUATIONS:
        for now, before in FORMER_NAMES.items():
            if name == before:
                raise UserError(f"the evaluation {name!r} is called {now!r} now")
        known, meant = ", ".join(EVALUATIONS), did_you_mean(name, EVALUATIONS)
        raise UserError(f"there is no evaluation {name!r}; choose one of {known}{meant}")
    scales = EVALUATIONS[name].scales
    usual = scales.get(preset) or replace(scales[DEFAULT_SCALE], changes=())
    return replace(usual, **{field: value for field, value in given.items() if value is not None})


def catalogue_text() -> str:
    """The evaluations with their methods, as ``igllm eval --help`` lists them."""
    lines = ["evaluations, and their --methods:"]
    for name, entry in EVALUATIONS.items():
        evaluation = entry.make(entry.scales[DEFAULT_SCALE])
        lines += [f"  {name:14}{evaluation.title}", f"  {'':14}{','.join(method.name for method in evaluation.methods)}"]
    lines.append(
        "sizes, budget and so on, where you give none, are the preset's: a call begins by saying which, docs/evaluation.md lists them all"
    )
    return "\n".join(lines)


def scale_text(scale: Scale) -> str:
    """A scale as the command-line flags that give it."""
    flags = []
    for field in fields(scale):
        value = getattr(scale, field.name)
        if field.name == "changes":
            flags += [f"--set {change}" for change in value]
        elif value is not None:
            text = ",".join(map(str, value)) if isinstance(value, tuple) else value
            flags.append(f"--{field.name.replace('_', '-')} {text}")
    return " ".join(flags)
