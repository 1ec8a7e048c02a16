"""Ways to spend dockings side by side, as a table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .metrics import MoleculeMetrics
from .metrics.table import to_json

#: What a table shows of the samples that stand for a column: metric, label, format.
SHOWN: tuple[tuple[str, str, str], ...] = (
    ("count", "samples", "{:.0f}"),
    ("validity", "valid", "{:.1%}"),
    ("uniqueness", "different among valid", "{:.1%}"),
    ("vina_mean", "Vina Dock, mean", "{:.2f}"),
    ("vina_min_mean", "Vina Min, mean", "{:.2f}"),
    ("qed", "QED, mean", "{:.3f}"),
    ("sa_normalised", "SA, (10 - sa) / 9, mean", "{:.3f}"),
    ("diversity", "diversity, Morgan", "{:.3f}"),
    ("posebusters", "PoseBusters, samples", "{:.0%}"),
    ("posebusters_dock", "PoseBusters, docked", "{:.0%}"),
)


@dataclass(frozen=True)
class Column:
    """What a number of dockings bought.

    Parameters
    ----------
    name
        What was done.
    dockings
        How many were spent, failed ones included.
    best
        The lowest Vina energy of all of them, kcal/mol.
    metrics
        Of the samples that stand for it: for steering the fresh ones.
    """

    name: str
    dockings: float
    best: float
    metrics: MoleculeMetrics

    def to_json(self) -> dict[str, Any]:
        """JSON values that :meth:`from_json` reads; None stands for what was not measured."""
        return {
            "name": self.name,
            "dockings": self.dockings,
            "best": None if math.isnan(self.best) else self.best,
            "metrics": to_json(self.metrics.as_dict()),
        }

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Column:
        """The inverse of :meth:`to_json`.

        Raises
        ------
        KeyError, TypeError
            If the values are others.
        """
        best, metrics = values["best"], values["metrics"]
        return cls(
            name=values["name"],
            dockings=values["dockings"],
            best=math.nan if best is None else best,
            metrics=MoleculeMetrics(**{k: _number(v) for k, v in metrics.items()}),
        )


def average(columns: Sequence[Column]) -> Column:
    """One column with the means of several; NaN where one of them is."""
    rows = [column.metrics.as_dict() for column in columns]
    means = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    return Column(
        name=columns[0].name,
        dockings=float(np.mean([column.dockings for column in columns])),
        best=float(np.mean([column.best for column in columns])),
        metrics=MoleculeMetrics(**means),  # type: ignore[arg-type]  # a mean count
    )


def shown(columns: Sequence[Column]) -> list[list[str]]:
    """Rows of a table: a label and a cell for each column, empty where nothing was measured."""
    rows = [["dockings", *(f"{column.dockings:.0f}" for column in columns)]]
    for name, label, form in SHOWN:
        rows.append([label, *(_cell(getattr(c.metrics, name), form) for c in columns)])
        if name == "vina_mean":
            rows.append(["Vina Dock, best of all", *(_cell(c.best, "{:.2f}") for c in columns)])
    return rows


def table(columns: Sequence[Column]) -> str:
    """The columns as aligned text; energies in kcal/mol."""
    rows = [["", *(column.name for column in columns)], *shown(columns)]
    widths = [max(len(row[place]) for row in rows) for place in range(len(columns) + 1)]
    return "\n".join(
        "  ".join(
            [f"{row[0]:<{widths[0]}}"]
            + [f"{cell:>{width}}" for cell, width in zip(row[1:], widths[1:], strict=True)]
        )
        for row in rows
    )


def _cell(value: float, form: str) -> str:
    return form.format(value) if math.isfinite(value) else ""


def _number(value: float | None) -> float:
    return math.nan if value is None else value
