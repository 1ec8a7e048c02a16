"""A PDB or mmCIF file -> the atoms of the receptor alone, as PDB text.

PDB files are checked line by line first, so that a damaged line can be named; gemmi then reads
either format.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from .errors import DockingInputError
from .pdbqt import VINA_TYPES
from .protein import incomplete_residues, modified_residues
from .protein.alternates import drop_alternates
from .protein.gaps import gap_notes
from .protein.hetero_groups import drop_hetero_groups, hetero_groups
from .protein.incomplete_residues import Incomplete, treat_incomplete
from .protein.modified_residues import Modified, treat_modified
from .protein.residues import label
from .protein.selection import AlternateChoice, Selection
from .text_file import text_of

if TYPE_CHECKING:
    import gemmi

MOST_ATOMS = 99_999  # the serial number of a PDB file has five digits
HIGHEST_COORDINATE = 9999.0  # Å; what fits the columns of a PDB file
FORMATS = (".pdb", ".ent", ".cif", ".mmcif", ".pdbqt")


@dataclass(frozen=True)
class StructureCleaning:
    """What is left out, and what becomes of residues that are not as they should be.

    Parameters
    ----------
    keep, drop
        Residues by name or place (:class:`.protein.selection.Selection`): waters and hetero
        groups that stay, others that go.
    chains
        Names of the chains to use; empty for all.
    altloc
        Alternate locations that are wanted, such as ``("B",)`` or ``("A:45=B",)``; the most
        occupied elsewhere.
    modified
        Modified residues, such as MSE: "keep" them as they are, make them "standard", "drop" them.
    incomplete
        Standard residues that lack heavy atoms: "keep", "drop", or "refuse" the file.
    hydrogens
        Whether the file's hydrogens stay.

    Raises
    ------
    DockingInputError
        If one of these cannot be understood.
    """

    keep: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    chains: tuple[str, ...] = ()
    altloc: tuple[str, ...] = ()
    modified: Modified = "keep"
    incomplete: Incomplete = "keep"
    hydrogens: bool = True

    def __post_init__(self) -> None:
        Selection(self.keep)
        Selection(self.drop)
        AlternateChoice.parse(self.altloc)
        for name, value, choices in (
            ("modified", self.modified, modified_residues.CHOICES),
            ("incomplete", self.incomplete, incomplete_residues.CHOICES),
        ):
            if value not in choices:
                raise DockingInputError(
                    f"expected --{name} as {', '.join(choices)}, got {value!r:.40}"
                )


@dataclass(frozen=True)
class CleanedStructure:
    """PDB text of the receptor alone, and what was done to get there."""

    pdb: str
    has_hydrogens: bool
    notes: tuple[str, ...]


def read_text(path: Path) -> str:
    """The file's text.

    Raises
    ------
    DockingInputError
        If there is no such file, it is empty, binary, or of an unknown format.
    """
    if path.suffix.lower() not in FORMATS:
        raise DockingInputError(
            f"{path}: expected a receptor as one of {', '.join(FORMATS)}, got "
            f"{path.suffix or 'no suffix'!r}"
        )
    text = text_of(path, "receptor")
    if not text.strip() or "\0" in text:
        raise DockingInputError(f"{path}: the file is empty or damaged; download it again")
    return text


def cleaned_pdb(path: Path, text: str, cleaning: StructureCleaning) -> CleanedStructure:
    """Return the receptor's atoms as PDB text.

    Raises
    ------
    DockingInputError
        If a line, residue or atom cannot be used, or nothing is left.
    """
    structure = _read(path, text)
    notes = []
    if len(structure) > 1:
        notes.append(f"used the first of {len(structure)} models")
        del structure[1:]
    model = structure[0]
    keep, drop = Selection(cleaning.keep), Selection(cleaning.drop)
    keep.require_present(path, model, "--keep")
    drop.require_present(path, model, "--drop")
    notes += _keep_chains(path, model, cleaning.chains)
    notes += drop_hetero_groups(model, keep, drop)
    notes += drop_alternates(path, model, AlternateChoice.parse(cleaning.altloc))
    if not cleaning.hydrogens:
        structure.remove_hydrogens()
    notes += treat_modified(model, cleaning.modified)
    notes += treat_incomplete(path, model, cleaning.incomplete)
    notes += gap_notes(model)
    structure.remove_empty_chains()
    _require_sound_atoms(path, model)
    count = model.count_atom_sites()
    if all(residue_atom.atom.is_hydrogen() for residue_atom in model.all()):
        removed = "; ".join(notes) or "the file has no ATOM records"
        raise DockingInputError(f"{path}: no receptor atoms ({removed}); give the protein's file")
    if count > MOST_ATOMS:
        raise DockingInputError(
            f"{path}: {count} atoms, at most {MOST_ATOMS} can be prepared; name the chains around "
            "the pocket with --chains"
        )
    structure.shorten_chain_names()
    has_hydrogens = model.has_hydrogen()
    return CleanedStructure(_pdb_text(structure), has_hydrogens, tuple(notes))


def inspected(pdb: str) -> tuple[str, ...]:
    """What is to be said of a receptor that is used as it is; ``pdb`` holds its atoms as PDB text."""
    import gemmi

    model = gemmi.read_pdb_string(pdb)[0]
    found = {
        "waters and hetero groups": hetero_groups(model),
        "atoms with alternate locations in": [
            label(chain, residue)
            for chain in model
            for residue in chain
            if any(atom.has_altloc() for atom in residue)
        ],
        "residues without all heavy atoms:": incomplete_residues.incomplete_residues(model),
    }
    notes = [
        f"used as it is, with {what} {', '.join(names)}" for what, names in found.items() if names
    ]
    return (*notes, *gap_notes(model))


def _read(path: Path, text: str) -> gemmi.Structure:
    import gemmi

    try:
        if path.suffix.lower() in {".cif", ".mmcif"}:
            block = gemmi.cif.read_string(text).sole_block()
            structure = gemmi.make_structure_from_block(block)
        else:
            _check_pdb_lines(path, text)
            structure = gemmi.read_pdb_string(text)
    except DockingInputError:
        raise
    except (ValueError, RuntimeError, IndexError) as error:
        reason = " ".join(str(error).split())
        raise DockingInputError(f"{path}: not a readable structure file: {reason}") from None
    if len(structure) == 0 or structure[0].count_atom_sites() == 0:
        raise DockingInputError(
            f"{path}: no atoms; give a PDB file with ATOM records or an mmCIF file with _atom_site"
        )
    return structure


def _check_pdb_lines(path: Path, text: str) -> None:
    """Name the first ATOM or HETATM line whose coordinates are not three finite numbers."""
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.startswith(("ATOM", "HETATM")):
            continue
        try:
            xyz = [float(line[start : start + 8]) for start in (30, 38, 46)]
        except ValueError:
            xyz = [np.nan]
        if not np.isfinite(xyz).all():
            raise DockingInputError(
                f"{path}, line {number}: atom {' '.join(line[12:26].split())} has coordinates "
                f"{line[30:54].strip()!r}; expected three finite numbers in columns 31-54: "
                "correct or remove the line"
            )


def _keep_chains(path: Path, model: gemmi.Model, chains: tuple[str, ...]) -> list[str]:
    present = list(dict.fromkeys(chain.name for chain in model))
    missing = [name for name in chains if name not in present]
    if missing:
        raise DockingInputError(
            f"{path}: no chain {', '.join(missing)}; its chains are {', '.join(present)}"
        )
    unwanted = [name for name in present if chains and name not in chains]
    for name in unwanted:
        model.remove_chain(name)
    return [f"removed chains {', '.join(unwanted)}"] if unwanted else []


def _require_sound_atoms(path: Path, model: gemmi.Model) -> None:
    for chain in model:
        for residue in chain:
            for atom in residue:
                where = f"{path}: atom {atom.name} of {label(chain, residue)}"
                if atom.element.is_metal and atom.element.name not in VINA_TYPES:
                    raise DockingInputError(
                        f"{where} is {atom.element.name}, which Vina has no parameters for; leave "
                        f"it out (without --keep, or with --drop {residue.name})"
                    )
                if atom.element.atomic_number == 0:
                    raise DockingInputError(
                        f"{where} has an unknown element; write its symbol in columns 77-78 "
                        f"(_atom_site.type_symbol), or remove it with --drop {residue.name}"
                    )
                xyz = atom.pos.tolist()
                if not np.isfinite(xyz).all() or np.abs(xyz).max() > HIGHEST_COORDINATE:
                    raise DockingInputError(
                        f"{where} has coordinates {xyz}; expected finite numbers in Å"
                    )


def _pdb_text(structure: gemmi.Structure) -> str:
    """ATOM and TER records only: CONECT records would name serial numbers that are gone."""
    import gemmi

    options = gemmi.PdbWriteOptions(minimal=True)
    lines = structure.make_pdb_string(options).splitlines()
    return "".join(f"{line}\n" for line in lines if line.startswith(("ATOM", "HETATM", "TER")))
