"""The atoms that TargetDiff knows: 27 features of a protein atom, the types of a ligand atom.

Source: Guan et al. 2023 (arXiv 2303.03543) and the authors' repository github.com/guanjq/targetdiff.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

#: Atomic numbers of a protein atom's one-hot element: H, C, N, O, S, Se.
PROTEIN_ELEMENTS: tuple[int, ...] = (1, 6, 7, 8, 16, 34)
#: Residues in the order of a protein atom's one-hot residue.
# fmt: off
RESIDUES: tuple[str, ...] = (
    "ALA", "CYS", "ASP", "GLU", "PHE", "GLY", "HIS", "ILE", "LYS", "LEU",
    "MET", "ASN", "PRO", "GLN", "ARG", "SER", "THR", "VAL", "TRP", "TYR",
)
# fmt: on
#: Names of the atoms that carry the backbone flag.
BACKBONE: frozenset[str] = frozenset({"CA", "C", "N", "O"})
PROTEIN_FEATURES = len(PROTEIN_ELEMENTS) + len(RESIDUES) + 1


class AtomType(NamedTuple):
    """One type of ligand atom; ``None`` where the mode does not tell."""

    atomic_number: int
    aromatic: bool | None = None
    hybridisation: str | None = None


def _hybridised(number: int, *kinds: str) -> tuple[AtomType, ...]:
    """Types of one element; a trailing ``*`` marks aromatic."""
    return tuple(AtomType(number, kind.endswith("*"), kind.rstrip("*")) for kind in kinds)


#: The atom types of each mode, in the order of the network's channels.
MODES: Mapping[str, tuple[AtomType, ...]] = {
    "basic": tuple(AtomType(number) for number in (1, 6, 7, 8, 9, 15, 16, 17)),
    "add_aromatic": tuple(
        AtomType(number, aromatic)
        for number in (1, 6, 7, 8, 9, 15, 16, 17)
        for aromatic in ((False,) if number in {1, 9, 17} else (False, True))
    ),
    "full": (
        *_hybridised(1, "S"),
        *_hybridised(6, "SP", "SP2", "SP2*", "SP3"),
        *_hybridised(7, "SP", "SP2", "SP2*", "SP3"),
        *_hybridised(8, "SP2", "SP2*", "SP3"),
        *_hybridised(9, "SP3"),
        *_hybridised(15, "SP2", "SP2*", "SP3", "SP3D"),
        *_hybridised(16, "SP2", "SP2*", "SP3", "SP3D", "SP3D2"),
        *_hybridised(17, "SP3"),
    ),
}


def mode_with(types: int) -> str | None:
    """The mode that has this many types, or None."""
    return next((name for name, mode in MODES.items() if len(mode) == types), None)
