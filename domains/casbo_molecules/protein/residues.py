"""Residues by name: which are waters, which belong to a chain, and which heavy atoms they have."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import gemmi

_WATERS = "HOH WAT H2O DOD D2O OH2 TIP TIP3 TIP4 TIP5 TP3 T3P T4P TIP3P SOL SPC"
WATER_NAMES = frozenset(_WATERS.split())

CAPS = frozenset(("ACE", "FOR", "NME", "NMA", "NH2", "NHE"))
"""What closes the end of a chain."""

ALIASES: Mapping[str, str] = {
    **dict.fromkeys(("HID", "HIE", "HIP", "HSD", "HSE", "HSP"), "HIS"),
    **dict.fromkeys(("CYX", "CYM"), "CYS"),
    "ASH": "ASP",
    "GLH": "GLU",
    "LYN": "LYS",
}
"""Force fields' names for amino acids in their protonation states."""

_SIDE_CHAINS = {
    "ALA": "CB",
    "ARG": "CB CG CD NE CZ NH1 NH2",
    "ASN": "CB CG OD1 ND2",
    "ASP": "CB CG OD1 OD2",
    "CYS": "CB SG",
    "GLN": "CB CG CD OE1 NE2",
    "GLU": "CB CG CD OE1 OE2",
    "GLY": "",
    "HIS": "CB CG ND1 CD2 CE1 NE2",
    "ILE": "CB CG1 CG2 CD1",
    "LEU": "CB CG CD1 CD2",
    "LYS": "CB CG CD CE NZ",
    "MET": "CB CG SD CE",
    "PHE": "CB CG CD1 CD2 CE1 CE2 CZ",
    "PRO": "CB CG CD",
    "SER": "CB OG",
    "THR": "CB OG1 CG2",
    "TRP": "CB CG CD1 CD2 NE1 CE2 CE3 CZ2 CZ3 CH2",
    "TYR": "CB CG CD1 CD2 CE1 CE2 CZ OH",
    "VAL": "CB CG1 CG2",
}
_BASES = {
    "A": "N9 C8 N7 C5 C6 N6 N1 C2 N3 C4",
    "C": "N1 C2 O2 N3 C4 N4 C5 C6",
    "G": "N9 C8 N7 C5 C6 O6 N1 C2 N2 N3 C4",
    "U": "N1 C2 O2 N3 C4 O4 C5 C6",
    "T": "N1 C2 O2 N3 C4 O4 C5 C7 C6",
}
_SUGAR = "O5' C5' C4' O4' C3' O3' C2' C1'"  # a chain's first nucleotide has no phosphate

HEAVY_ATOMS: Mapping[str, tuple[str, ...]] = {
    **{name: ("N", "CA", "C", "O", *rest.split()) for name, rest in _SIDE_CHAINS.items()},
    **{base: (*_SUGAR.split(), "O2'", *_BASES[base].split()) for base in "ACGU"},
    **{f"D{base}": (*_SUGAR.split(), *_BASES[base].split()) for base in "ACGT"},
}
"""The heavy atoms that every standard residue has, whatever its place in the chain."""

_PHOSPHATE = frozenset(("P", "OP1", "OP2", "OP3", "O1P", "O2P", "O3P"))

_OTHER_NAMES = {  # CHARMM's, GROMACS's and the PDB's own of before 2007
    "O": ("OT1", "OT2", "O1", "OXT"),
    "CD1": ("CD",),
    "C7": ("C5M",),
}


def standard_name(name: str) -> str:
    """The standard residue that a force field's name stands for; other names as they are."""
    return ALIASES.get(name, name)


def parent(name: str) -> str | None:
    """The standard residue that a modified one was made from, such as MET for MSE, or None."""
    import gemmi

    known = gemmi.find_tabulated_residue(name)
    code = known.one_letter_code
    if not code.islower():
        return None
    if known.is_amino_acid():
        standard = gemmi.expand_one_letter(code.upper(), gemmi.ResidueKind.AA)
    elif known.is_nucleic_acid():
        standard = gemmi.expand_one_letter(code.upper(), known.kind)
    else:
        return None
    return standard if standard in HEAVY_ATOMS else None


def is_polymer(residue: gemmi.Residue) -> bool:
    """Whether a residue is an amino acid, a nucleotide or a cap, by its name or its backbone."""
    return is_known(residue.name) or has_backbone(residue)


def is_known(name: str) -> bool:
    """Whether a name is that of an amino acid, a nucleotide or a cap, modified ones included."""
    import gemmi

    known = gemmi.find_tabulated_residue(name)
    named = name in ALIASES or name in CAPS or name in HEAVY_ATOMS
    return named or known.is_amino_acid() or known.is_nucleic_acid()


def has_backbone(residue: gemmi.Residue) -> bool:
    """Whether the atoms are there by which an amino acid or a nucleotide is part of a chain."""
    names = {atom.name for atom in residue}
    return {"N", "CA", "C"} <= names or {"C1'", "O3'"} <= names


def is_standard(name: str) -> bool:
    """Whether it is one of the twenty amino acids or the nucleotides, by any force field's name."""
    return standard_name(name) in HEAVY_ATOMS


def allowed_atoms(name: str) -> frozenset[str]:
    """All heavy atoms that a standard residue may have, those at the ends of chains included."""
    ends = frozenset(("OXT",)) if "CA" in HEAVY_ATOMS[name] else _PHOSPHATE
    return ends.union(HEAVY_ATOMS[name])


def missing_atoms(residue: gemmi.Residue) -> tuple[str, ...]:
    """Names of a standard residue's heavy atoms that are not there; none for other residues."""
    present = {atom.name.replace("*", "'") for atom in residue}
    wanted = HEAVY_ATOMS.get(standard_name(residue.name), ())
    return tuple(
        name for name in wanted if not present.intersection((name, *_OTHER_NAMES.get(name, ())))
    )


def label(chain: gemmi.Chain, residue: gemmi.Residue) -> str:
    """How notes name a residue, ``SER A:45B``: its second half can be given to an option."""
    return f"{residue.name} {place(chain, residue)}"


def place(chain: gemmi.Chain, residue: gemmi.Residue) -> str:
    """``chain:number``, with the insertion code where there is one."""
    return f"{chain.name}:{residue.seqid}"
