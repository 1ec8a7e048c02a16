"""Standard residues without all their heavy atoms: crystallographers leave out what they cannot see."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from ..errors import DockingInputError
from .residues import label, missing_atoms

if TYPE_CHECKING:
    import gemmi

Incomplete = Literal["keep", "drop", "refuse"]
CHOICES: tuple[str, ...] = ("keep", "drop", "refuse")


def treat_incomplete(path: Path, model: gemmi.Model, choice: Incomplete) -> list[str]:
    """Keep residues that lack heavy atoms as they are, remove them, or refuse the file.

    Atoms are never made up. Meeko refuses such residues, and removes them when allowed to
    (``--allow_bad_res``).

    Returns
    -------
    A line that names every residue with its missing atoms, and the option that decides.

    Raises
    ------
    DockingInputError
        With the same names, if they are refused.
    """
    found = incomplete_residues(model)
    if not found:
        return []
    names = ", ".join(found)
    if choice == "refuse":
        raise DockingInputError(
            f"{path}: residues without all heavy atoms: {names}; complete them (PDBFixer, for "
            "one, does), or say --incomplete keep or --incomplete drop"
        )
    if choice == "drop":
        for chain in model:
            for index in reversed(range(len(chain))):
                if missing_atoms(chain[index]):
                    del chain[index]
        return [f"removed residues without all heavy atoms: {names} (--incomplete drop)"]
    options = "--incomplete drop removes them, refuse stops"
    return [f"kept residues without all heavy atoms: {names} ({options})"]


def incomplete_residues(
    model: gemmi.Model, wanted: Callable[[gemmi.Residue], bool] = lambda residue: True
) -> list[str]:
    """Every wanted residue that lacks heavy atoms, as ``LYS A:45 lacks CD CE NZ``."""
    return [
        f"{label(chain, residue)} lacks {' '.join(missing)}"
        for chain in model
        for residue in chain
        if (missing := missing_atoms(residue)) and wanted(residue)
    ]
