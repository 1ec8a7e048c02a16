"""Measures of docking energies: against a reference ligand, and together with chemistry.

High affinity (Luo et al. 2021; Peng et al. 2022; Guan et al. 2023): the share of molecules whose
Vina energy is at least as good as the reference ligand's. Success rate (Long et al. 2022; Guan et
al. 2023, DecompDiff): the share with Vina Dock < -8.18 kcal/mol, QED > 0.25 and SA > 0.59, SA
normalised as (10 - sa) / 9. As in these papers, both are shares of the molecules that were docked.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .numbers import finite, share

Values = Sequence[float] | np.ndarray


@dataclass(frozen=True)
class Success:
    """Thresholds that a molecule must pass, all of them strictly.

    Parameters
    ----------
    vina
        kcal/mol; the energy must be lower.
    qed, sa_normalised
        The values must be higher.
    """

    vina: float = -8.18
    qed: float = 0.25
    sa_normalised: float = 0.59


def high_affinity(vina: Values, reference: float) -> float:
    """Share of the docked molecules with an energy of ``reference`` or lower; NaN of none.

    Parameters
    ----------
    vina
        Energies in kcal/mol with shape (N,); NaN for molecules that could not be docked.
    reference
        The reference ligand's energy, from the same scorer.
    """
    docked = finite(vina)
    return share(int((docked <= reference).sum()), len(docked))


def success_rate(
    vina: Values, qed: Values, sa_normalised: Values, success: Success | None = None
) -> float:
    """Share of the docked molecules that pass every threshold; NaN of none.

    Parameters
    ----------
    vina, qed, sa_normalised
        Values of the same molecules with shape (N,); an energy of NaN was not docked.
    success
        The thresholds, by default those of the field.
    """
    limits = success or Success()
    energies = np.asarray(vina, dtype=float)
    passed = (
        (energies < limits.vina)
        & (np.asarray(qed, dtype=float) > limits.qed)
        & (np.asarray(sa_normalised, dtype=float) > limits.sa_normalised)
    )
    return share(int(passed.sum()), int(np.isfinite(energies).sum()))
