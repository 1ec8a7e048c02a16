"""What is compared: targets, seeds and arms; and one JSON line for each of their combinations.

A file of lines grows by whole lines. What it holds already is not run again; dockings of a run that
was interrupted are in its run folder and not repeated.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from casbo_molecules.arms import Arm, Spending, best_arm, plain_arm, steered_arm
from casbo_molecules.docking_run import DockingOptions, default_atoms, vina_score
from casbo_molecules.tables import ScoredMolecule
from casbo_molecules.target import Target
from casbo_molecules.vina import VinaScore

from .. import json_lines
from ..provenance import versions

PACKAGES = ("casbo", "torch", "vina", "rdkit", "meeko", "posebusters")
BEST = 6  # molecules that a line names
PLAIN = "plain"


@dataclass(frozen=True)
class Trial:
    """A target with everything but the seed.

    Arguments:
        target: Receptor and ligand.
        options: Of its docking runs; ``out`` is the folder for all of them.
        spending: How many dockings each arm gets; its seed is replaced.
    """

    target: Target
    options: DockingOptions
    spending: Spending

    @classmethod
    def of(
        cls, target: Target, options: DockingOptions, spending: Spending, atoms: int | None
    ) -> Trial:
        """Check the files and fill in what follows from them.

        Raises:
            CasboError: If receptor, ligand or box cannot be used.
        """
        options = replace(options, receptor=str(target.receptor), ligand=str(target.ligand))
        vina = vina_score(options)
        atoms = default_atoms(vina, options.ligand) if atoms is None else atoms
        vina.box.require_room(atoms)
        options = replace(options, atoms=atoms, receptor_sha256=vina.receptor.sha256())
        return cls(target, options, spending)

    @cached_property
    def vina(self) -> VinaScore:
        """The scorer."""
        return vina_score(self.options)

    def run(self, folder: str, **changes: float) -> tuple[DockingOptions, VinaScore, Spending]:
        """What an arm takes whose run folder has this name."""
        out = Path(self.options.out, self.target.name, f"seed-{self.spending.seed}", folder)
        return replace(self.options, out=str(out.absolute()), **changes), self.vina, self.spending

    @cached_property
    def plain(self) -> Arm:
        """Plain sampling, which several arms share."""
        return plain_arm(*self.run(PLAIN))

    def settings(self) -> dict[str, Any]:
        """What tells this trial's lines from others."""
        spending = self.spending
        return {
            "target": self.target.name,
            "receptor_sha256": self.options.receptor_sha256,
            "atoms": self.options.atoms,
            "sampler": dict(self.options.sampler or {}),
            "weights": [self.options.qed_weight, self.options.sa_weight],
            "seed": spending.seed,
            "queries": spending.queries,
            "population": spending.population,
            "fresh": spending.fresh,
            "checked": spending.checked,
        }


def _by_vina(row: ScoredMolecule) -> float:
    return row.components["vina"]


def _best_by_vina(trial: Trial) -> Arm:
    return best_arm(trial.plain, key=_by_vina)


def _best_by_all(trial: Trial) -> Arm:
    return best_arm(trial.plain, key=lambda row: row.score)


def _steered_by_vina(trial: Trial) -> Arm:
    return steered_arm(*trial.run("steered-vina", qed_weight=0.0, sa_weight=0.0))[0]


def _steered(trial: Trial) -> Arm:
    return steered_arm(*trial.run("steered"))[0]


#: Name of an arm -> how a trial's dockings are spent. All arms of plain sampling share its run.
ARMS: Mapping[str, Callable[[Trial], Arm]] = {
    PLAIN: lambda trial: trial.plain,
    "best of plain, by Vina": _best_by_vina,
    "best of plain, by all": _best_by_all,
    "steered, Vina": _steered_by_vina,
    "steered, Vina + QED + SA": _steered,
}


def carry_out(
    trials: Sequence[Trial],
    seeds: Sequence[int],
    path: Path,
    say: Callable[[str], None],
    arms: Sequence[str] = tuple(ARMS),
) -> list[dict[str, Any]]:
    """Run what has no line yet, seed by seed, so that an interrupted study is balanced.

    With more queries than before, runs go on where they stopped.

    Returns:
        The lines of these trials and seeds; those of other settings stay in the file.

    Raises:
        CasboError: If something cannot be run, read or written.
    """
    known = {_key(line): line for line in read(path)}
    lines = []
    for seed in seeds:
        for trial in trials:
            now = replace(trial, spending=replace(trial.spending, seed=seed))
            for name in arms:
                key = _key(now.settings() | {"arm": name})
                if key not in known:
                    say(f"seed {seed}, {trial.target.name}: {name}")
                    known[key] = outcome(name, ARMS[name](now), now.settings())
                    json_lines.append(path, known[key])
                lines.append(known[key])
    return lines


def outcome(name: str, arm: Arm, settings: Mapping[str, Any]) -> dict[str, Any]:
    """The line of an arm: its settings, its numbers, its energies and its best molecules."""
    docked = arm.docked()
    spent = {row.smiles: row for row in arm.spent if not row.failed}
    best = sorted(spent.values(), key=lambda row: row.score)[:BEST]
    return {
        **settings,
        "arm": name,
        "versions": versions(PACKAGES),
        "box": list(arm.vina.box.size),
        "column": arm.column(name).to_json(),
        "energies": [round(_by_vina(row), 3) for row in docked],
        "best": [
            {
                "smiles": row.smiles,
                **{key: round(row.components[key], 3) for key in ("vina", "qed", "sa_normalised")},
            }
            for row in best
        ],
    }


def read(path: Path) -> Iterator[dict[str, Any]]:
    """The whole lines of a file of arms; none if there is no such file.

    Raises:
        CasboError: When it cannot be read, or a line that is whole is none of ours.
    """
    return json_lines.read(path, {"target", "arm", "column"}, "an arm")


def _key(line: Mapping[str, Any]) -> str:
    apart = {"versions", "box", "column", "energies", "best"}
    return json.dumps({k: v for k, v in line.items() if k not in apart}, sort_keys=True)
