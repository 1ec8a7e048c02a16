r"""Vina's score of a ligand that stays where it is, without setting the ligand in Vina.

Setting a ligand makes Vina tabulate the potential of every pair of its atoms over 20 Å, which
costs a hundred to a thousand times what a score does and serves searches only. Here the tables
are made once, by pairs of atom types, and a ligand is scored by looking its distances to the
receptor up in them. The energy is (Trott and Olson, J. Comput. Chem. 2010, 31, 455; Eberhardt et
al., J. Chem. Inf. Model. 2021, 61, 3891)

.. math:: E = \frac{1}{1 + w N_\mathrm{rot}} \sum_i \min{}_\mathrm{soft} \sum_j h_{t_i t_j}(r_{ij}),

over ligand atoms i and receptor atoms j, hydrogens left out, within 8 Å; the five terms of h act
on the surface distance :math:`d = r - R_{t_i} - R_{t_j}`. As in Vina 1.2.7, h is a step function
of :math:`r^2` (32 steps per Å^2, the mean of both ends), and an atom's positive sum e is softened
to :math:`1000 e / (1000 + e)`. Tests hold the results to Vina's own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

import numpy as np

from casbo.errors import CandidateFailed

CUTOFF = 8.0  # Å
STEPS = 32  # table entries per Å^2
SOFT = 1000.0  # kcal/mol, where an atom's clash saturates
ROTOR_WEIGHT = 0.05846
GAUSS1, GAUSS2, REPULSION, HYDROPHOBIC, HYDROGEN_BOND = (
    -0.035579,
    -0.005156,
    0.840245,
    -0.035069,
    -0.587439,
)
BOND_ALLOWANCE = 1.1  # times the sum of covalent radii

#: AutoDock type -> (element, covalent radius in Å). Rarer ones are left to Vina itself.
ATOM_TYPES: dict[str, tuple[str, float]] = {
    "C": ("C", 0.77),
    "A": ("C", 0.77),
    "N": ("N", 0.75),
    "NA": ("N", 0.75),
    "O": ("O", 0.73),
    "OA": ("O", 0.73),
    "S": ("S", 1.02),
    "SA": ("S", 1.02),
    "P": ("P", 1.06),
    "F": ("F", 0.71),
    "Cl": ("Cl", 0.99),
    "Br": ("Br", 1.14),
    "I": ("I", 1.33),
    "H": ("H", 0.37),
    "HD": ("H", 0.37),
    "Mg": ("metal", 1.30),
    "Mn": ("metal", 1.39),
    "Zn": ("metal", 1.31),
    "Ca": ("metal", 1.74),
    "Fe": ("metal", 1.25),
}
ACCEPTORS = ("NA", "OA")
HETEROATOM_FREE = ("H", "C")  # a carbon with other neighbours is no longer hydrophobic

#: Interaction class -> (radius in Å, hydrophobic, hydrogen-bond donor, acceptor).
CLASSES: dict[str, tuple[float, bool, bool, bool]] = {
    "C hydrophobic": (1.9, True, False, False),
    "C": (1.9, False, False, False),
    "N": (1.8, False, False, False),
    "N donor": (1.8, False, True, False),
    "N acceptor": (1.8, False, False, True),
    "N donor acceptor": (1.8, False, True, True),
    "O": (1.7, False, False, False),
    "O donor": (1.7, False, True, False),
    "O acceptor": (1.7, False, False, True),
    "O donor acceptor": (1.7, False, True, True),
    "S": (2.0, False, False, False),
    "P": (2.1, False, False, False),
    "F": (1.5, True, False, False),
    "Cl": (1.8, True, False, False),
    "Br": (2.0, True, False, False),
    "I": (2.2, True, False, False),
    "metal": (1.2, False, True, False),
}
CLASS_INDEX = {name: index for index, name in enumerate(CLASSES)}


@dataclass(frozen=True)
class Atoms:
    """The heavy atoms of a PDBQT text.

    Parameters
    ----------
    positions
        Å, with shape (n, 3).
    classes
        Indices into :data:`CLASSES`, with shape (n,).
    rotors
        Vina's number of rotors, which counts a bond half for each end that may turn.
    """

    positions: np.ndarray
    classes: np.ndarray
    rotors: float


def read_atoms(pdbqt: str) -> Atoms | None:
    """The atoms of a ligand or receptor; None where a type is not one of :data:`ATOM_TYPES`."""
    lines = [line for line in pdbqt.splitlines() if line.startswith(("ATOM", "HETATM"))]
    kinds = [line[77:].strip() for line in lines]
    if any(kind not in ATOM_TYPES for kind in kinds) or not lines:
        return None
    xyz = np.array([[float(line[start : start + 8]) for start in (30, 38, 46)] for line in lines])
    neighbours = _bonds(xyz, np.array([ATOM_TYPES[kind][1] for kind in kinds]))
    heavy = [index for index, kind in enumerate(kinds) if ATOM_TYPES[kind][0] != "H"]
    classes = [CLASS_INDEX[_class(kinds, neighbours, index)] for index in heavy]
    return Atoms(xyz[heavy], np.array(classes), _rotors(pdbqt, lines, kinds, neighbours))


def _class(kinds: Sequence[str], neighbours: Sequence[Sequence[int]], index: int) -> str:
    element = ATOM_TYPES[kinds[index]][0]
    around = [kinds[other] for other in neighbours[index]]
    if element == "C":
        polar = any(ATOM_TYPES[kind][0] not in HETEROATOM_FREE for kind in around)
        return "C" if polar else "C hydrophobic"
    if element in ("N", "O"):
        donor = " donor" if "HD" in around else ""
        acceptor = " acceptor" if kinds[index] in ACCEPTORS else ""
        return f"{element}{donor}{acceptor}"
    return element


def _bonds(xyz: np.ndarray, radii: np.ndarray) -> list[list[int]]:
    """Neighbours of each atom: close enough, and with no third atom in between."""
    from scipy.spatial import cKDTree

    tree = cKDTree(xyz)
    pairs = tree.query_pairs(BOND_ALLOWANCE * 2 * float(radii.max()), output_type="ndarray")
    lengths = np.linalg.norm(xyz[pairs[:, 0]] - xyz[pairs[:, 1]], axis=1)
    close = lengths < BOND_ALLOWANCE * (radii[pairs[:, 0]] + radii[pairs[:, 1]])
    near = [dict[int, float]() for _ in xyz]
    for (i, j), length in zip(pairs.tolist(), lengths.tolist(), strict=True):
        near[i][j] = near[j][i] = length
    bonds: list[list[int]] = [[] for _ in xyz]
    for (i, j), length in zip(pairs[close].tolist(), lengths[close].tolist(), strict=True):
        between = (
            near_i < length and near[j].get(k, np.inf) < length for k, near_i in near[i].items()
        )
        if not any(between):
            bonds[i].append(j)
            bonds[j].append(i)
    return bonds


def _rotors(
    pdbqt: str, lines: Sequence[str], kinds: Sequence[str], neighbours: Sequence[Sequence[int]]
) -> float:
    """Half a rotor for each end of a rotatable bond with a heavy atom beyond the other end."""
    index = {int(line[6:11]): place for place, line in enumerate(lines)}
    heavy = [ATOM_TYPES[kind][0] != "H" for kind in kinds]
    turning = [0] * len(lines)
    for line in pdbqt.splitlines():
        if not line.startswith("BRANCH"):
            continue
        one, other = (index[int(word)] for word in line.split()[1:3])
        if other not in neighbours[one]:
            continue
        for end, far in ((one, other), (other, one)):
            reach = sum(heavy[place] for place in neighbours[far])
            turning[end] += heavy[end] and heavy[far] and reach > 1
    return 0.5 * sum(turning)


@cache
def _tables() -> np.ndarray:
    """h of every pair of classes at every step of r^2: shape (classes^2 x steps,)."""
    r = np.sqrt(np.arange(int(CUTOFF**2) * STEPS + 2) / STEPS)
    radius, hydrophobic, donor, acceptor = (
        np.array(row) for row in zip(*CLASSES.values(), strict=True)
    )
    d = r - (radius[:, None] + radius)[:, :, None]
    bonding = (donor[:, None] & acceptor) | (acceptor[:, None] & donor)
    energy = (
        GAUSS1 * np.exp(-((d / 0.5) ** 2))
        + GAUSS2 * np.exp(-(((d - 3.0) / 2.0) ** 2))
        + REPULSION * np.where(d < 0.0, d**2, 0.0)
        + HYDROPHOBIC * _slope(d, 1.5, 0.5) * (hydrophobic[:, None] & hydrophobic)[:, :, None]
        + HYDROGEN_BOND * _slope(d, 0.0, -0.7) * bonding[:, :, None]
    )
    energy[:, :, r >= CUTOFF] = 0.0
    return (0.5 * (energy[:, :, :-1] + energy[:, :, 1:])).reshape(-1)


def _slope(d: np.ndarray, none: float, full: float) -> np.ndarray:
    """0 at the distance ``none`` and beyond, 1 at ``full`` and closer, linear between."""
    return np.clip((none - d) / (none - full), 0.0, 1.0)


@lru_cache(maxsize=2)
def _receptor(path: str, center: tuple[float, ...], size: tuple[float, ...]) -> Atoms | None:
    """The receptor's atoms within reach of the box."""
    atoms = read_atoms(Path(path).read_text(encoding="utf-8"))
    if atoms is None:
        return None
    reach = np.asarray(size) / 2 + CUTOFF
    near = (np.abs(atoms.positions - np.asarray(center)) < reach).all(axis=1)
    return Atoms(atoms.positions[near], atoms.classes[near], 0.0)


def score_in_place(
    receptor: str, center: tuple[float, ...], size: tuple[float, ...], ligand: str
) -> float | None:
    """Vina's ``score_only`` energy in kcal/mol, to the three decimals that Vina gives.

    Parameters
    ----------
    receptor
        Path of the prepared receptor (PDBQT).
    center, size
        The box in Å that the ligand lies in.
    ligand
        PDBQT text.

    Returns
    -------
    None where an atom type is not one of :data:`ATOM_TYPES`: Vina itself must be asked.

    Raises
    ------
    casbo.errors.CandidateFailed
        If the energy is not finite.
    """
    around, atoms = _receptor(receptor, center, size), read_atoms(ligand)
    if around is None or atoms is None:
        return None
    energy = sum_of_atoms(atoms, around) / (1.0 + ROTOR_WEIGHT * atoms.rotors)
    if not np.isfinite(energy):
        raise CandidateFailed(f"the energy is {energy}")
    return round(float(energy), 3)


def sum_of_atoms(ligand: Atoms, receptor: Atoms) -> float:
    """Energy between ligand and receptor in kcal/mol, each ligand atom's clash softened."""
    gaps = ligand.positions[:, None] - receptor.positions
    squares = np.einsum("ijk,ijk->ij", gaps, gaps)
    i, j = np.nonzero(squares < CUTOFF**2)
    pair = ligand.classes[i] * len(CLASSES) + receptor.classes[j]
    length = int(CUTOFF**2) * STEPS + 1
    energies = _tables()[pair * length + (squares[i, j] * STEPS).astype(int)]
    atoms = np.bincount(i, weights=energies, minlength=len(ligand.positions))
    return float(np.where(atoms > 0.0, atoms * SOFT / (SOFT + atoms), atoms).sum())
