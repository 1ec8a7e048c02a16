"""Pictures of a study: the energies of every arm, and the best molecules of plain and steered."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from casbo.atomic import write_atomically

from ..figure_file import figure_file
from .study import ARMS, PLAIN
from .tables import Outcome

if TYPE_CHECKING:
    from matplotlib.axes import Axes

COLOURS = dict(zip(ARMS, ("0.6", "0.8", "0.45", "tab:orange", "tab:blue"), strict=True))


def draw_energies(found: Sequence[Outcome], path: Path) -> Path:
    """Violins of the Vina energies of each arm's samples, all seeds together, by target."""
    style = {"axes.spines.top": False, "axes.spines.right": False}
    with figure_file(path, 4.6 * len(found), 3.0, **style) as figure:
        panels = figure.subplots(1, len(found), sharex=True, squeeze=False)[0]
        for outcome, axes in zip(found, panels, strict=True):
            _violins(axes, outcome)
            axes.set(title=outcome.target, xlabel="Vina, kcal/mol")
        for axes in panels[1:]:
            axes.tick_params(labelleft=False)
    return path


def _violins(axes: Axes, outcome: Outcome) -> None:
    arms = list(outcome.lines)[::-1]
    values = [np.concatenate([line["energies"] for line in outcome.lines[arm]]) for arm in arms]
    places = range(1, len(arms) + 1)
    drawn = axes.violinplot(
        values, places, orientation="horizontal", showextrema=False, widths=0.9
    )
    for body, arm in zip(drawn["bodies"], arms, strict=True):
        body.set(facecolor=COLOURS[arm], edgecolor="none", alpha=0.8)
    axes.plot([value.mean() for value in values], places, "k|", ms=12, mew=2)
    axes.set_yticks(places, arms)


def draw_best(found: Sequence[Outcome], path: Path, count: int = 3) -> Path:
    """The best molecules of the first seed, plain above the last arm, for each target, as SVG."""
    from rdkit import Chem
    from rdkit.Chem import Draw

    mols, legends = [], []
    for outcome in found:
        for arm in (PLAIN, list(outcome.lines)[-1]):
            for row in outcome.lines[arm][0]["best"][:count]:
                mols.append(Chem.MolFromSmiles(row["smiles"]))
                numbers = f"{row['vina']:.1f}  QED {row['qed']:.2f}  SA {row['sa_normalised']:.2f}"
                legends.append(f"{outcome.target}, {arm.split(',')[0]}: {numbers}")
    size = (230, 170)
    svg = Draw.MolsToGridImage(
        mols, molsPerRow=count, subImgSize=size, legends=legends, useSVG=True
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, getattr(svg, "data", svg).encode())
    return path
