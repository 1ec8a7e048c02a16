"""Waters, metals, cofactors, ligands: removed and named, unless they are asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .residues import (
    CAPS,
    WATER_NAMES,
    has_backbone,
    is_known,
    is_polymer,
    is_standard,
    label,
    place,
)
from .selection import Selection

if TYPE_CHECKING:
    import gemmi

LONGEST_BOND = 2.0  # Å between residues of a chain; a peptide bond takes 1.33
PARTNERS = {"N": "C", "C": "N", "P": "O3'", "O3'": "P"}  # the atoms of such a bond


def drop_hetero_groups(model: gemmi.Model, keep: Selection, drop: Selection) -> list[str]:
    """Remove waters and hetero groups.

    Parameters
    ----------
    model
        Changed in place.
    keep
        What stays although it is a water or a hetero group.
    drop
        What goes although it is neither; wins over ``keep``.

    Returns
    -------
    Lines that name what went, and what stayed although nothing is known of it.
    """
    bonds = _Bonds(model)
    waters = 0
    metals: list[str] = []
    groups: list[str] = []
    asked: list[str] = []
    strangers: list[str] = []
    for chain in model:
        for index in reversed(range(len(chain))):
            residue = chain[index]
            here = (chain, residue)
            if here in drop:
                asked.append(label(*here))
            elif here in keep:
                continue
            elif is_water(residue):
                waters += 1
            elif is_metal(residue):
                metals.append(label(*here))
            elif _is_hetero_group(chain, residue, bonds):
                groups.append(label(*here))
            else:
                if not is_polymer(residue):
                    strangers.append(label(*here))
                continue
            del chain[index]
    stay = "--keep NAME or --keep A:301 leaves them in"
    notes = []
    if waters:
        notes.append(f"removed {waters} water{'s' * (waters > 1)} ({stay})")
    notes += _note("removed metals", metals, stay)
    notes += _note("removed hetero groups", groups, stay)
    notes += _note("removed as asked", asked, "--drop")
    notes += _note(
        "kept though no known amino acid or nucleotide, as ATOM records",
        strangers,
        "--drop NAME removes them",
    )
    return notes


def hetero_groups(model: gemmi.Model) -> list[str]:
    """Labels of the residues that :func:`drop_hetero_groups` would remove."""
    bonds = _Bonds(model)
    return [
        label(chain, residue)
        for chain in model
        for residue in chain
        if is_water(residue) or is_metal(residue) or _is_hetero_group(chain, residue, bonds)
    ]


def is_water(residue: gemmi.Residue) -> bool:
    """Whether it is a water, by any program's name."""
    return residue.name in WATER_NAMES or residue.is_water()


def is_metal(residue: gemmi.Residue) -> bool:
    """Whether it is one atom of a metal: an ion, and not an alpha carbon taken for calcium."""
    return len(residue) == 1 and residue[0].element.is_metal and not is_known(residue.name)


class _Bonds:
    """Which residues have an end of their backbone a bond away from another residue's."""

    def __init__(self, model: gemmi.Model) -> None:
        ends = [
            (place(chain, residue), atom.name, atom.pos.tolist())
            for chain in model
            for residue in chain
            for atom in residue
            if atom.name in PARTNERS
        ]
        self.owners = np.array([owner for owner, _, _ in ends])
        self.names = np.array([name for _, name, _ in ends])
        self.positions = np.array([xyz for _, _, xyz in ends], dtype=float).reshape(-1, 3)

    def bonded(self, chain: gemmi.Chain, residue: gemmi.Residue) -> bool:
        """Whether a residue is bonded to another."""
        others = self.owners != place(chain, residue)
        for atom in residue:
            if atom.name in PARTNERS:
                near = self.positions[others & (self.names == PARTNERS[atom.name])]
                if (np.linalg.norm(near - atom.pos.tolist(), axis=1) < LONGEST_BOND).any():
                    return True
        return False


def _is_hetero_group(chain: gemmi.Chain, residue: gemmi.Residue, bonds: _Bonds) -> bool:
    """Whether a residue is a HETATM and no part of a polymer.

    A modified amino acid or nucleotide with its backbone is part of one. Any other, be its name
    unknown or that of a standard one, which a file writes as ATOM within a chain, is a ligand
    (glutamate, say) unless it is bonded to a neighbour.
    """
    if residue.het_flag != "H":
        return False
    if residue.name in CAPS:
        return not bonds.bonded(chain, residue)
    if not has_backbone(residue):
        return True
    modified = is_known(residue.name) and not is_standard(residue.name)
    return not modified and not bonds.bonded(chain, residue)


def _note(what: str, residues: Sequence[str], option: str) -> list[str]:
    """One line, or none where there are no residues; they were found from the last to the first."""
    return [f"{what}: {', '.join(reversed(residues))} ({option})"] if residues else []
