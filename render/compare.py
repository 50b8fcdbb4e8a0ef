"""Comparison of a set of codes with the true ones, and of images where both sides have them, sample by sample, into a report folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from datagen.domains.registry import get_domain
from datagen.io.progress import progress
from datagen.shards.reader import Samples
from render.breakdown import charts, confusion_tables
from render.cards import columns_of, page_sample, ranks
from render.report import check_report_folder, writing_report
from render.scored import Found, chosen_keys, score_samples
from render.sides import Side

DEFAULT_DOMAIN = "clevr"  # of two prediction files, which do not state their domain


def compare(
    reference: Path | Samples,
    candidate: Path,
    out: Path,
    keys: Sequence[str] | None = None,
    *,
    predictions: Path | None = None,
    kind: str = DEFAULT_DOMAIN,
    heading: Mapping[str, str] | None = None,
    title: str = "Scenes compared",
) -> dict[str, Any]:
    """Score `candidate` against `reference`, write the report folder `out`, and return the content of its ``metrics.json``.

    Either side is a folder of shards or of loose samples, or a ``pred.jsonl`` (scene metrics only); the candidate may also be the folder of
    a round trip, the reference opened samples. `keys` restricts the comparison. A key that the candidate lacks counts as missed, code that
    does not parse as an empty prediction. `predictions` is the ``pred.jsonl`` from which a candidate folder was rendered: it gives the code
    as the model wrote it, and the confidences. `kind` is the domain where neither side states its own. `heading` holds further facts for
    the top of the page.

    Raises `UserError` if something cannot be read, a key has no reference, the domains differ, two images differ in size or are smaller
    than `MIN_SIDE`, or `out` holds something other than a report.
    """
    check_report_folder(out)
    truth, guess = Side(reference), Side.of(candidate, predictions)
    chosen = chosen_keys(truth, [guess], keys)
    domain = truth.domain() or guess.domain() or get_domain(kind)
    sides = {"reference": str(truth.path), "candidate": str(candidate)}
    found = Found(domain)
    with writing_report(out) as report:
        for sample in progress(score_samples(truth, [guess], chosen, domain), total=len(chosen), desc="compare"):
            found.add(sample, 0)
            report.add(page_sample(sample, domain))
        metrics = {**sides, "domain": domain.name, "unit": domain.unit, **found.metrics()}
        report.finish(
            "report.html",
            title,
            metrics,
            sort=columns_of([found]),
            names=["prediction"],
            ranks=ranks([found]),
            heading={**{name.capitalize(): path for name, path in sides.items()}, **(heading or {})},
            tables=confusion_tables(found.wrong, found.right, domain),
            charts=charts(found.objects, domain),
            curves=found.curves(),
        )
    return metrics
