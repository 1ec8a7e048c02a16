"""Alternate locations in a structure file: one of each is kept."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import DockingInputError
from .residues import label, place
from .selection import AlternateChoice

if TYPE_CHECKING:
    import gemmi

NONE = "\0"  # gemmi's label of an atom that has one location only


def drop_alternates(path: Path, model: gemmi.Model, choice: AlternateChoice) -> list[str]:
    """Keep one location of every residue: the one asked for, else the most occupied on average.

    Atoms that the kept location lacks are taken from where they are most occupied.

    Raises
    ------
    DockingInputError
        If a residue that was named has no such location; ``path`` is named.
    """
    changed: list[str] = []
    left = dict(choice.places)
    for chain in model:
        changed += _drop_alternate_residues(chain, choice)
        for residue in chain:
            kept = _keep_one(path, chain, residue, choice)
            left.pop(place(chain, residue), None)
            if kept is not None:
                changed.append(f"{label(chain, residue)}{kept and '=' + kept}")
    if left:
        raise DockingInputError(f"{path}: no residue {next(iter(left))} for --altloc")
    if not changed:
        return []
    names = ", ".join(dict.fromkeys(changed))
    return [f"kept one alternate location, the most occupied unless --altloc says: {names}"]


def _keep_one(
    path: Path, chain: gemmi.Chain, residue: gemmi.Residue, choice: AlternateChoice
) -> str | None:
    """Delete a residue's other locations; the kept label ("" for none), None if all can stay."""
    occupancies = _occupancies(residue)
    here = place(chain, residue)
    if here in choice.places and choice.places[here] not in occupancies:
        has = ", ".join(occupancies) or "none"
        raise DockingInputError(
            f"{path}: {label(chain, residue)} has no alternate location {choice.places[here]}; "
            f"it has {has}"
        )
    wanted = choice.of(here)
    if wanted not in occupancies:
        wanted = max(occupancies, key=occupancies.__getitem__, default=NONE)
    best: dict[str, tuple[bool, float, int]] = {}
    for index, atom in enumerate(residue):
        rank = (atom.altloc in (wanted, NONE), atom.occ, -index)
        best[atom.name] = max(best.get(atom.name, rank), rank)
    if not occupancies and len(best) == len(residue):
        return None
    kept = {-index for _, _, index in best.values()}
    for index in reversed(range(len(residue))):
        if index in kept:
            residue[index].altloc = NONE
        else:
            del residue[index]
    return "" if wanted == NONE else wanted


def _drop_alternate_residues(chain: gemmi.Chain, choice: AlternateChoice) -> list[str]:
    """Of residues with different names in one place keep one, as for atoms, and say which."""
    places: dict[str, list[int]] = {}
    for index, residue in enumerate(chain):
        if _occupancies(residue):
            places.setdefault(str(residue.seqid), []).append(index)
    unwanted: list[int] = []
    changed: list[str] = []
    for indices in places.values():
        if len({chain[index].name for index in indices}) > 1:
            wanted = choice.of(place(chain, chain[indices[0]]))
            best = max(indices, key=lambda index: _rank(chain[index], wanted))
            unwanted += [index for index in indices if index != best]
            others = "/".join(chain[index].name for index in indices if index != best)
            changed.append(f"{label(chain, chain[best])} instead of {others}")
    for index in sorted(unwanted, reverse=True):
        del chain[index]
    return changed


def _rank(residue: gemmi.Residue, wanted: str | None) -> tuple[bool, float]:
    occupancies = _occupancies(residue)
    return wanted in occupancies, max(occupancies.values())


def _occupancies(residue: gemmi.Residue) -> dict[str, float]:
    """Mean occupancy of each labelled location, in the file's order."""
    found: dict[str, list[float]] = {}
    for atom in residue:
        if atom.has_altloc():
            found.setdefault(atom.altloc, []).append(atom.occ)
    return {name: sum(values) / len(values) for name, values in found.items()}
