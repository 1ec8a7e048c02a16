"""Metrics for people and for other programs: a table of text, and JSON."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """How one metric is shown.

    Parameters
    ----------
    name
        The field of :class:`~casbo_molecules.metrics.MoleculeMetrics`.
    label
        What people read.
    form
        "count", "share", "energy" (kcal/mol) or "number".
    """

    name: str
    label: str
    form: str = "number"


ROWS: tuple[Row, ...] = (
    Row("count", "samples", "count"),
    Row("validity", "valid", "share"),
    Row("uniqueness", "unique among valid", "share"),
    Row("novelty", "novel constitutions", "share"),
    Row("vina_score_mean", "Vina Score, mean", "energy"),
    Row("vina_score_median", "Vina Score, median", "energy"),
    Row("vina_min_mean", "Vina Min, mean", "energy"),
    Row("vina_min_median", "Vina Min, median", "energy"),
    Row("vina_mean", "Vina Dock, mean", "energy"),
    Row("vina_median", "Vina Dock, median", "energy"),
    Row("vina_best", "Vina Dock, best", "energy"),
    Row("high_affinity", "high affinity", "share"),
    Row("success_rate", "success rate", "share"),
    Row("qed", "QED, mean"),
    Row("qed_median", "QED, median"),
    Row("sa_normalised", "SA, (10 - sa) / 9, mean"),
    Row("sa_normalised_median", "SA, (10 - sa) / 9, median"),
    Row("logp", "logP, mean"),
    Row("lipinski", "Lipinski rules obeyed of 5"),
    Row("diversity", "diversity, Morgan"),
    Row("diversity_rdkit", "diversity, RDKit paths"),
    Row("posebusters", "PoseBusters, mol", "share"),
    Row("posebusters_dock", "PoseBusters, dock", "share"),
    Row("strain_median", "strain, median", "energy"),
)
"""Every metric, in the order in which tables show them."""

_FORMS = {"count": "{:.0f}", "share": "{:.1%}", "energy": "{:.2f} kcal/mol", "number": "{:.3f}"}


def shown(metrics: Mapping[str, float | None]) -> list[tuple[str, str]]:
    """(label, value) of every metric that was measured."""
    return [
        (row.label, _FORMS[row.form].format(value))
        for row in ROWS
        if (value := metrics.get(row.name)) is not None and math.isfinite(value)
    ]


def metrics_table(metrics: Mapping[str, float | None]) -> str:
    """The measured metrics as aligned text, one a line."""
    rows = shown(metrics)
    width = max((len(label) for label, _ in rows), default=0)
    return "\n".join(f"{label:<{width}}  {value}" for label, value in rows)


def to_json(metrics: Mapping[str, float]) -> dict[str, float | None]:
    """The metrics as JSON values: None for what was not measured."""
    return {name: value if math.isfinite(value) else None for name, value in metrics.items()}
