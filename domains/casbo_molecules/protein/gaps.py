"""Breaks in chains: residues that are not bonded to the next."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .residues import is_polymer, place

if TYPE_CHECKING:
    import gemmi

LONGEST_BOND = 2.0  # Å; a peptide bond takes 1.33, a phosphodiester bond 1.6
STARTS, ENDS = ("N", "P"), ("C", "O3'")  # the atoms by which residues are bonded


def gap_notes(model: gemmi.Model) -> list[str]:
    """One line with every gap, or none."""
    found = ", ".join(gaps(model))
    advice = "model the missing residues beforehand where they line the pocket"
    return [f"gaps in chains, left open: {found} ({advice})"] if found else []


def gaps(model: gemmi.Model) -> list[str]:
    """The residues on both sides of every gap, as ``A:249 to A:298``.

    Judged by bonds, never by numbers or the file's order: insertion codes and renumbered or
    shuffled residues make no gaps. Where a bonding atom is missing nothing is said.
    """
    found = []
    for chain in model:
        residues = [residue for residue in chain if is_polymer(residue)]
        residues.sort(key=lambda residue: (residue.seqid.num, residue.seqid.icode))
        unstarted, unended = _unbonded(residues, STARTS, ENDS), _unbonded(residues, ENDS, STARTS)
        before = None
        for index, residue in enumerate(residues):
            if index in unstarted and before is not None:
                found.append(f"{place(chain, before)} to {place(chain, residue)}")
                before = None
            if index in unended:
                before = residue
    return found


def _unbonded(
    residues: list[gemmi.Residue], own: tuple[str, ...], others: tuple[str, ...]
) -> set[int]:
    """Residues with an atom of the first kind that is near none of the second kind."""
    from scipy.spatial import cKDTree

    atoms = [_position(residue, own) for residue in residues]
    partners = [xyz for residue in residues if (xyz := _position(residue, others)) is not None]
    if not partners:
        return {index for index, xyz in enumerate(atoms) if xyz is not None}
    tree = cKDTree(partners)
    return {
        index
        for index, xyz in enumerate(atoms)
        # the residue's own other end is further away
        if xyz is not None and tree.query(xyz)[0] > LONGEST_BOND
    }


def _position(residue: gemmi.Residue, names: tuple[str, ...]) -> list[float] | None:
    """x, y, z in Å of the first atom with one of these names, None without."""
    return next((atom.pos.tolist() for atom in residue if atom.name in names), None)
