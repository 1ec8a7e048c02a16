"""A protein file as people have it -> the PDBQT file that Vina reads, with every step named.

The steps: the first model is taken; waters, hetero groups and unwanted chains are removed; one
alternate location stays; modified and incomplete residues are treated as asked for; hydrogens are
added where the file has none (Open Babel, at a stated pH); Open Babel assigns the AutoDock atom
types. What was removed, changed or added is listed in :attr:`Receptor.notes`.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from .errors import DockingInputError
from .pdbqt import receptor_positions, residue_positions, to_pdb, to_pdbqt
from .protein.incomplete_residues import Incomplete, incomplete_residues
from .protein.modified_residues import Modified
from .structure_file import StructureCleaning, cleaned_pdb, inspected, read_text

if TYPE_CHECKING:
    from .box import Box

PREPARATION_VERSION = 2  # part of the cache key: raise it when the same input gives another output
NOTE = "REMARK casbo: "


@dataclass(frozen=True)
class Receptor:
    """A receptor that is ready for docking.

    Parameters
    ----------
    pdbqt
        The prepared file.
    source
        The file it was made from.
    notes
        What preparation removed, added or noticed, one line each.
    """

    pdbqt: Path
    source: Path
    notes: tuple[str, ...] = ()

    def positions(self) -> np.ndarray:
        """Coordinates in Å of all atoms, shape (n, 3)."""
        return receptor_positions(self.pdbqt, self.pdbqt.read_text(encoding="utf-8"))

    def residue_positions(self, residues: Sequence[str]) -> np.ndarray:
        """Coordinates in Å, shape (n, 3), of the atoms of residues named as ``A:45``.

        A residue is ``chain:number``, with its insertion code where it has one (``A:45B``), and
        without a chain (``:45``) where the file names none.

        Raises
        ------
        DockingInputError
            If there is none, a name is not of this form, or the receptor lacks it: the chains and
            numbers that it has are named.
        """
        text = self.pdbqt.read_text(encoding="utf-8")
        return residue_positions(self.source, text, residues)

    def incomplete_in(self, box: Box) -> list[str]:
        """Residues that lack heavy atoms and have an atom in a box, with what they lack."""
        import gemmi

        text = to_pdb(self.pdbqt.read_text(encoding="utf-8"))
        return incomplete_residues(
            gemmi.read_pdb_string(text)[0],
            lambda residue: box.holds([atom.pos.tolist() for atom in residue]).any(),
        )

    def sha256(self) -> str:
        """Digest of the prepared file: equal for receptors that score alike."""
        return hashlib.sha256(self.pdbqt.read_bytes()).hexdigest()


@dataclass(frozen=True)
class Preparation:
    """How a receptor file is turned into a PDBQT file.

    Parameters
    ----------
    hydrogens
        "auto" adds them where the file has none, "add" removes and adds all, "keep" adds none.
    ph
        The pH at which Open Babel protonates.
    keep, drop
        Hetero groups and waters to keep (cofactors, metals: ``("ZN", "A:401")``), and residues to
        remove although they are written as ATOM records (a ligand: ``("LIG",)``), by name or place.
    chains
        Names of the chains to use; empty for all.
    altloc, modified, incomplete
        Of :class:`~casbo_molecules.structure_file.StructureCleaning`.

    Raises
    ------
    DockingInputError
        If an option cannot be used.
    """

    hydrogens: Literal["auto", "add", "keep"] = "auto"
    ph: float = 7.4
    keep: tuple[str, ...] = ()
    drop: tuple[str, ...] = ()
    chains: tuple[str, ...] = ()
    altloc: tuple[str, ...] = ()
    modified: Modified = "keep"
    incomplete: Incomplete = "keep"

    def cleaning(self) -> StructureCleaning:
        """The part of it that concerns the structure's file."""
        return StructureCleaning(
            keep=self.keep,
            drop=self.drop,
            chains=self.chains,
            altloc=self.altloc,
            modified=self.modified,
            incomplete=self.incomplete,
            hydrogens=self.hydrogens != "add",
        )

    def __post_init__(self) -> None:
        if self.hydrogens not in ("auto", "add", "keep"):
            raise DockingInputError(
                f"expected hydrogens as 'auto', 'add' or 'keep', got {self.hydrogens!r}"
            )
        if not 0.0 <= self.ph <= 14.0:
            raise DockingInputError(f"expected a pH from 0 to 14, got {self.ph}")
        self.cleaning()


def prepare_receptor(
    path: Path | str, preparation: Preparation | None = None, *, folder: Path | None = None
) -> Receptor:
    """Prepare a receptor from a PDB, mmCIF or PDBQT file.

    A PDBQT file is checked and used as it is. The result of any other is kept in ``folder`` (by
    default the user's cache) under a name made from the file's contents and the options, so the
    work is done once.

    Raises
    ------
    DockingInputError
        If the file is missing, damaged, holds no usable atom, an unknown element or a coordinate
        that is not a number: the residue, atom or line is named, with the fix.
    """
    path = Path(path)
    preparation = preparation or Preparation()
    text = read_text(path)
    if path.suffix.lower() == ".pdbqt":
        receptor_positions(path, text)
        return Receptor(path.resolve(), path.resolve(), inspected(to_pdb(text)))
    target = (folder or _cache()) / f"{path.stem}-{_key(text, path.suffix, preparation)}.pdbqt"
    if not target.exists():
        _write(target, _prepared(path, text, preparation))
    prepared = target.read_text(encoding="utf-8")
    notes = tuple(
        line.removeprefix(NOTE) for line in prepared.splitlines() if line.startswith(NOTE)
    )
    return Receptor(target.resolve(), path.resolve(), notes)


def _prepared(path: Path, text: str, preparation: Preparation) -> str:
    cleaned = cleaned_pdb(path, text, preparation.cleaning())
    add = preparation.hydrogens == "add" or (
        preparation.hydrogens == "auto" and not cleaned.has_hydrogens
    )
    notes = [*cleaned.notes]
    if add:
        notes.append(f"added hydrogens at pH {preparation.ph:g}")
    pdbqt = to_pdbqt(path, cleaned.pdb, preparation.ph if add else None)
    receptor_positions(path, pdbqt)
    return "".join(f"{NOTE}{note}\n" for note in notes) + pdbqt


def _key(text: str, suffix: str, preparation: Preparation) -> str:
    from importlib.metadata import version

    options = json.dumps(
        {
            "options": asdict(preparation),
            "format": suffix.lower(),
            "version": PREPARATION_VERSION,
            "tools": [version("openbabel-wheel"), version("gemmi")],
        },
        sort_keys=True,
    )
    return hashlib.sha256((options + "\n" + text).encode()).hexdigest()[:16]


def _cache() -> Path:
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "casbo" / "receptors"


def _write(path: Path, text: str) -> None:
    """Write the whole file or nothing: other processes may look for it at the same time."""
    import tempfile

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(
            "w", dir=path.parent, suffix=".part", delete=False, encoding="utf-8"
        ) as part:
            part.write(text)
        os.replace(part.name, path)
    except OSError as error:
        raise DockingInputError(
            f"{path.parent}: the prepared receptor cannot be written ({error.strerror}); set "
            "XDG_CACHE_HOME to a writable folder"
        ) from None
