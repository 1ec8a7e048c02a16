"""Draw what a demo run did: energies of plain and steered molecules, and the way there.

casbo demo --out runs/demo
python docs/images/docking.py runs/demo
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib as mpl
import numpy as np

from casbo.ledger import Ledger
from casbo_molecules.tables import ScoredMolecule, scored_molecules

mpl.use("Agg")
import matplotlib.pyplot as plt

GREY, BLUE = "0.55", "tab:blue"


def energies(molecules: list[ScoredMolecule]) -> np.ndarray:
    """Vina energies in kcal/mol of those that were docked."""
    return np.array([row.components["vina"] for row in molecules if not row.failed])


def main() -> None:
    """Read the two run folders, draw, write ``docking.png`` beside this file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("demo", type=Path)
    parser.add_argument("--seed", type=int, default=1, help="the demo's seed")
    options = parser.parse_args()
    plain = scored_molecules(options.demo / "plain", "evaluation", f"plain-{options.seed}")
    learning = scored_molecules(options.demo / "steered")
    fresh = scored_molecules(
        options.demo / "steered", "evaluation", f"fresh-{options.seed}-after-{len(learning)}"
    )
    ledger = Ledger(options.demo / "steered" / "ledger.sqlite")
    records = ledger.iterations()
    ledger.close()

    mpl.rcParams["axes.spines.top"] = mpl.rcParams["axes.spines.right"] = False
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    bins = np.arange(-11, -3.9, 0.35)
    for molecules, colour, name in ((plain, GREY, "plain"), (fresh, BLUE, "steered, fresh")):
        values = energies(molecules)
        left.hist(values, bins, density=True, color=colour, alpha=0.55, label=name)
        left.axvline(values.mean(), color=colour, lw=2)
    left.set(xlabel="Vina, kcal/mol", yticks=[], title="Energies of molecules")
    left.legend(frameon=False)

    queries = [record["queries"] for record in records]
    per_iteration = [
        energies([row for row in learning if row.iteration == record["iteration"]])
        for record in records
    ]
    low, middle, high = (
        [np.quantile(values, q) for values in per_iteration] for q in (0.1, 0.5, 0.9)
    )
    right.axhline(np.median(energies(plain)), color=GREY, lw=2, label="plain, median")
    right.fill_between(queries, low, high, color=BLUE, alpha=0.25, lw=0, label="10 to 90 %")
    right.plot(queries, middle, color=BLUE, lw=2, label="steered, median")
    right.set(xlabel="dockings", ylabel="Vina, kcal/mol", title="While learning")
    right.legend(frameon=False)
    figure.savefig(Path(__file__).with_name("docking.png"), dpi=130)


if __name__ == "__main__":
    main()
