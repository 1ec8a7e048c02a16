"""Modified amino acids and nucleotides, such as selenomethionine and phosphoserine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from .residues import CAPS, HEAVY_ATOMS, allowed_atoms, is_polymer, is_standard, label, parent

if TYPE_CHECKING:
    import gemmi

Modified = Literal["keep", "standard", "drop"]
CHOICES: tuple[str, ...] = ("keep", "standard", "drop")

_RENAMED = {"SE": ("SD", "S")}  # selenomethionine's selenium is methionine's sulfur


def treat_modified(model: gemmi.Model, choice: Modified) -> list[str]:
    """Keep modified residues, turn them into the standard ones they come from, or remove them.

    A modified residue becomes standard by losing atoms (phosphoserine its phosphate), and
    selenium becomes sulfur. Where that does not give all heavy atoms, it stays as it is. Hydrogens
    on atoms that go, go with them; none are placed in their stead.

    Returns
    -------
    Lines that name every residue, and the option that decides.
    """
    kept: list[str] = []
    made: list[str] = []
    dropped: list[str] = []
    for chain in model:
        for index in reversed(range(len(chain))):
            residue = chain[index]
            if not is_modified(residue):
                continue
            name = label(chain, residue)
            if choice == "drop":
                del chain[index]
                dropped.append(name)
            elif choice == "standard" and _make_standard(residue):
                made.append(f"{name} to {residue.name}")
            else:
                kept.append(name)
    notes = []
    if kept and choice == "keep":
        notes.append(
            f"kept modified residues: {_list(kept)} (--modified standard makes them standard, "
            "drop removes them)"
        )
    elif kept:
        notes.append(
            f"kept modified residues that no removal of atoms makes standard: {_list(kept)} "
            "(--drop NAME removes them)"
        )
    if made:
        notes.append(
            f"changed modified residues: {_list(made)} (--modified standard; where the file has "
            "hydrogens, --hydrogens add places them anew)"
        )
    if dropped:
        notes.append(f"removed modified residues: {_list(dropped)} (--modified drop)")
    return notes


def is_modified(residue: gemmi.Residue) -> bool:
    """Whether it is part of a chain, and neither standard nor a cap."""
    return is_polymer(residue) and not is_standard(residue.name) and residue.name not in CAPS


def _make_standard(residue: gemmi.Residue) -> bool:
    """Rename a residue and remove what its parent does not have; False where that is not enough."""
    import gemmi

    standard = parent(residue.name)
    if standard is None:
        return False
    renamed = {atom.name: _RENAMED.get(atom.name, (atom.name, ""))[0] for atom in residue}
    if not set(HEAVY_ATOMS[standard]) <= set(renamed.values()):
        return False
    allowed = allowed_atoms(standard)
    hydrogens = [atom for atom in residue if atom.is_hydrogen()]
    heavy = [atom for atom in residue if not atom.is_hydrogen()]
    bearers = {
        atom.name: min(heavy, key=lambda other, at=atom: at.pos.dist(other.pos)).name
        for atom in hydrogens
    }
    for index in reversed(range(len(residue))):
        atom = residue[index]
        bearer = bearers.get(atom.name, atom.name)
        if renamed[bearer] not in allowed:
            del residue[index]
    for atom in residue:
        if atom.name in _RENAMED:
            atom.name, symbol = _RENAMED[atom.name]
            atom.element = gemmi.Element(symbol)
    residue.name = standard
    residue.het_flag = "A"
    return True


def _list(residues: list[str]) -> str:
    return ", ".join(reversed(residues))
