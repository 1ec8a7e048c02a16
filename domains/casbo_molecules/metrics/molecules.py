"""The numbers that papers on structure-based molecule generation put into their tables.

Validity, uniqueness and novelty as in GuacaMol and MOSES; Vina Score, Min and Dock, QED, SA
normalised as (10 - sa) / 9, Lipinski and diversity as in TargetDiff (Guan et al. 2023, section
4.1); the rest is defined in the modules beside this one.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from casbo_molecules.molecule import Molecule
from casbo_molecules.properties import lipinski, properties

from .affinity import high_affinity, success_rate
from .numbers import finite, mean, median, share
from .poses import posebusters_pass_rate
from .sets import diversity, novelty

if TYPE_CHECKING:
    from rdkit.Chem import Mol

Values = Sequence[float] | np.ndarray


@dataclass(frozen=True)
class MoleculeMetrics:
    """Shares lie in 0 .. 1; NaN where nothing could be measured.

    Parameters
    ----------
    count
        N, the number of samples.
    validity
        Share of the N samples that are one sanitised, neutral, connected molecule.
    uniqueness
        Different canonical SMILES per valid sample.
    novelty
        Share of the different constitutions (SMILES without stereochemistry) that are not in the
        given set.
    diversity, diversity_rdkit
        Mean of one minus the Tanimoto similarity over pairs of valid samples: Morgan fingerprints
        (MOSES), and RDKit's path fingerprints (TargetDiff).
    qed, qed_median, sa_normalised, sa_normalised_median, logp
        Means and medians over valid samples.
    lipinski
        Mean number of the five rules that a valid sample obeys.
    vina_score_mean, vina_score_median
        kcal/mol of the samples as they are, over those that were scored.
    vina_min_mean, vina_min_median
        The same after local minimisation.
    vina_mean, vina_median, vina_best
        The same after docking.
    high_affinity
        Share of the docked samples at least as good as the reference ligand.
    success_rate
        Share of the docked samples with Vina Dock < -8.18, QED > 0.25 and SA > 0.59.
    posebusters, posebusters_dock
        Share of the checked samples that pass every ``mol`` and every ``dock`` check.
    strain_median
        kcal/mol, over the checked poses.
    """

    count: int
    validity: float
    uniqueness: float
    novelty: float
    diversity: float
    diversity_rdkit: float
    qed: float
    qed_median: float
    sa_normalised: float
    sa_normalised_median: float
    logp: float
    lipinski: float
    vina_score_mean: float = math.nan
    vina_score_median: float = math.nan
    vina_min_mean: float = math.nan
    vina_min_median: float = math.nan
    vina_mean: float = math.nan
    vina_median: float = math.nan
    vina_best: float = math.nan
    high_affinity: float = math.nan
    success_rate: float = math.nan
    posebusters: float = math.nan
    posebusters_dock: float = math.nan
    strain_median: float = math.nan

    def as_dict(self) -> dict[str, float]:
        """Return the numbers by name."""
        return asdict(self)


def molecule_metrics(
    molecules: Sequence[Molecule],
    *,
    vina: Values | None = None,
    vina_score: Values | None = None,
    vina_min: Values | None = None,
    reference: float | None = None,
    known: Collection[str] | None = None,
    posebusters: int = 0,
    receptor: Path | str | None = None,
) -> MoleculeMetrics:
    """Measure N samples.

    Parameters
    ----------
    molecules
        The samples, valid or not.
    vina, vina_score, vina_min
        Their N energies in kcal/mol docked, as they are, and minimised; NaN for failed ones.
    reference
        The reference ligand's docking energy, from the scorer that gave ``vina``.
    known
        Canonical SMILES without stereochemistry to compare with for novelty: a training set, see
        :func:`~casbo_molecules.metrics.read_known`.
    posebusters
        Check this many of the valid samples, the first ones, with PoseBusters (about a second
        each); 0 for none.
    receptor
        PDB or PDBQT file in whose frame the samples lie: the ``dock`` checks are then made too.
    """
    mols = [molecule.mol for molecule in molecules]
    checked = [mol for mol in mols if mol is not None][:posebusters]
    return chemistry_metrics(
        mols,
        vina=vina,
        vina_score=vina_score,
        vina_min=vina_min,
        reference=reference,
        known=known,
        posebusters=posebusters_pass_rate(checked),
        posebusters_dock=(
            math.nan if receptor is None else posebusters_pass_rate(checked, receptor)
        ),
    )


def chemistry_metrics(
    mols: Sequence[Mol | None],
    *,
    vina: Values | None = None,
    vina_score: Values | None = None,
    vina_min: Values | None = None,
    reference: float | None = None,
    known: Collection[str] | None = None,
    **more: float,
) -> MoleculeMetrics:
    """Measure N molecules of which no coordinates are needed, None for samples that are none.

    Parameters
    ----------
    mols
        Sanitised molecules.
    vina, vina_score, vina_min, reference, known
        As in :func:`molecule_metrics`.
    more
        Further fields of :class:`MoleculeMetrics`, measured elsewhere.
    """
    from rdkit import Chem

    valid = [mol for mol in mols if mol is not None]
    chemistry = [None if mol is None else properties(mol) for mol in mols]
    qed, sa, logp = (
        np.array([math.nan if row is None else row[name] for row in chemistry])
        for name in ("qed", "sa_normalised", "logp")
    )
    docked = np.full(len(mols), math.nan) if vina is None else np.asarray(vina, dtype=float)
    return MoleculeMetrics(
        count=len(mols),
        validity=share(len(valid), len(mols)),
        uniqueness=share(len({Chem.MolToSmiles(mol) for mol in valid}), len(valid)),
        novelty=math.nan if known is None else novelty(valid, known),
        diversity=diversity(valid),
        diversity_rdkit=diversity(valid, "rdkit"),
        qed=mean(qed),
        qed_median=median(qed),
        sa_normalised=mean(sa),
        sa_normalised_median=median(sa),
        logp=mean(logp),
        lipinski=mean([lipinski(mol) for mol in valid]),
        vina_score_mean=mean(vina_score if vina_score is not None else []),
        vina_score_median=median(vina_score if vina_score is not None else []),
        vina_min_mean=mean(vina_min if vina_min is not None else []),
        vina_min_median=median(vina_min if vina_min is not None else []),
        vina_mean=mean(docked),
        vina_median=median(docked),
        vina_best=min(finite(docked).tolist(), default=math.nan),
        high_affinity=math.nan if reference is None else high_affinity(docked, reference),
        success_rate=success_rate(docked, qed, sa),
        **more,
    )
