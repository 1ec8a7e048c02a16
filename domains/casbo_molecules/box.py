"""The box that docking searches, and the checks that it lies on the receptor."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .errors import DockingInputError
from .reference_ligand import ReferenceLigand

PADDING = 5.0  # Å added to the ligand's extent along each axis, TargetDiff's rule
LARGEST_SIDE = 60.0  # Å; the grid maps of a larger box fill gigabytes
REACH = 4.0  # Å; no atom of a ligand in the box touches a receptor atom further away
CONTACT = 8.0  # Å; Vina's cutoff
ROOM_PER_ATOM = 10.0  # Å^3; even densely packed molecules take more for each heavy atom
SKIN = 1.7  # Å; a carbon's radius: its centre lies in the box, the rest of it may not
SAME_PLACE = 0.5  # Å; two atoms this close are one and the same


@dataclass(frozen=True)
class Box:
    """An axis-parallel box in the receptor's frame.

    Parameters
    ----------
    center
        x, y, z in Å.
    size
        Full side lengths in Å.

    Raises
    ------
    DockingInputError
        If a number is not finite, or a side is not positive or longer than 60 Å.
    """

    center: tuple[float, float, float]
    size: tuple[float, float, float]

    def __post_init__(self) -> None:
        object.__setattr__(self, "center", _triple("the box centre", self.center))
        object.__setattr__(self, "size", _triple("the box size", self.size))
        if min(self.size) <= 0.0 or max(self.size) > LARGEST_SIDE:
            raise DockingInputError(
                f"expected box sides in Å above 0 and up to {LARGEST_SIDE:g}, got "
                f"{_numbers(self.size)}; 15 to 30 suits a pocket"
            )

    @classmethod
    def around(cls, ligand: ReferenceLigand, padding: float = PADDING) -> Box:
        """The ligand's bounding box, hydrogens included, ``padding`` Å longer on each axis.

        This is TargetDiff's rule for its docking boxes
        (github.com/guanjq/targetdiff, ``utils/evaluation/docking_vina.py``).
        """
        if not math.isfinite(padding) or padding <= 0.0:
            raise DockingInputError(f"expected a padding above 0 Å, got {padding:g}")
        low, high = ligand.positions.min(axis=0), ligand.positions.max(axis=0)
        size = high - low + padding
        if size.max() > LARGEST_SIDE:
            raise DockingInputError(
                f"{ligand.path}: the ligand extends over {_numbers(high - low)} Å, more than a "
                "pocket; give one ligand molecule, or --center and --size"
            )
        return cls(tuple((low + high) / 2), tuple(size))

    @classmethod
    def around_residues(cls, positions: np.ndarray, padding: float = PADDING) -> Box:
        """The bounding box of residues' atoms (n, 3) in Å, ``padding`` Å longer on each axis."""
        if not math.isfinite(padding) or padding <= 0.0:
            raise DockingInputError(f"expected a padding above 0 Å, got {padding:g}")
        low, high = positions.min(axis=0), positions.max(axis=0)
        size = high - low + padding
        if size.max() > LARGEST_SIDE:
            raise DockingInputError(
                f"the residues extend over {_numbers(high - low)} Å, more than a pocket; name "
                "those that line one pocket, or give --center and --size"
            )
        return cls(tuple((low + high) / 2), tuple(size))

    def require_room(self, atoms: int) -> None:
        """Refuse a box in which no molecule of so many heavy atoms has its atoms' centres.

        Raises
        ------
        DockingInputError
            With the number that can fit at most.
        """
        room = float(np.prod(np.asarray(self.size) + 2 * SKIN))
        most = int(room / ROOM_PER_ATOM)
        if atoms > most:
            raise DockingInputError(
                f"the box with sides {_numbers(self.size)} Å has no room for {atoms} heavy atoms "
                f"({most} at most); ask for fewer with --atoms, or for a larger box"
            )

    def holds(self, positions: np.ndarray, margin: float = 0.0) -> np.ndarray:
        """Which of the positions (n, 3) lie inside the box grown by ``margin`` Å; bool (n,)."""
        reach = np.asarray(self.size) / 2 + margin
        return (np.abs(np.asarray(positions) - np.asarray(self.center)) <= reach).all(axis=1)

    def require_receptor(self, positions: np.ndarray) -> None:
        """Refuse a box that no receptor atom (positions (n, 3) in Å) comes near.

        Raises
        ------
        DockingInputError
            With the distance and the receptor's extent.
        """
        if self.holds(positions, REACH).any():
            return
        outside = np.abs(positions - np.asarray(self.center)) - np.asarray(self.size) / 2
        distance = np.linalg.norm(outside.clip(min=0.0), axis=1).min()
        low, high = positions.min(axis=0), positions.max(axis=0)
        raise DockingInputError(
            f"the box is far from the receptor: its nearest atom is {distance:.1f} Å outside the "
            f"box at {_numbers(self.center)}; the receptor spans {_numbers(low)} to "
            f"{_numbers(high)}. Give box and receptor in the same frame"
        )

    def require_ligand(self, ligand: ReferenceLigand) -> None:
        """Refuse a box that does not hold the whole reference ligand.

        Raises
        ------
        DockingInputError
            With the number of atoms outside.
        """
        outside = int((~self.holds(ligand.positions)).sum())
        if outside:
            raise DockingInputError(
                f"{ligand.path}: {outside} of {len(ligand.positions)} ligand atoms lie outside "
                f"the box at {_numbers(self.center)} with sides {_numbers(self.size)}; leave out "
                "--center and --size to take the box from the ligand"
            )


def docking_box(
    receptor_positions: np.ndarray,
    *,
    center: Sequence[float] | None = None,
    size: Sequence[float] | None = None,
    ligand: ReferenceLigand | None = None,
    residues: np.ndarray | None = None,
    padding: float = PADDING,
) -> Box:
    """Return the box from a centre and size, residues or a reference ligand, checked.

    Parameters
    ----------
    receptor_positions
        Coordinates in Å of the receptor's atoms, shape (n, 3).
    center, size
        The box as the user states it; both or neither.
    ligand
        Defines the box where none is stated, and must lie inside where one is.
    residues
        Coordinates in Å, shape (m, 3), of the atoms of residues that line the pocket: their place
        is the box where none is stated.
    padding
        Å added to the extent of ligand or residues along each axis.

    Raises
    ------
    DockingInputError
        If the box is not defined, or defined twice, not near the receptor, or does not hold the ligand, or if the
        ligand touches no receptor atom or is part of the receptor.
    """
    if (center is None) != (size is None):
        raise DockingInputError("expected both the box centre and the box size, got one of them")
    if ligand is not None:
        _require_beside(receptor_positions, ligand)
    if residues is not None and center is not None:
        raise DockingInputError(
            "expected the box from residues or from its centre and size, got both"
        )
    if center is not None and size is not None:
        box = Box(center, size)  # type: ignore[arg-type]  # checked there
    elif residues is not None:
        box = Box.around_residues(residues, padding)
    elif ligand is not None:
        box = Box.around(ligand, padding)
    else:
        raise DockingInputError(
            "expected a box: give a reference ligand (--ligand L.sdf), or --center x,y,z and "
            "--size a,b,c in Å, or residues of the pocket"
        )
    box.require_receptor(receptor_positions)
    if ligand is not None:
        box.require_ligand(ligand)
    return box


def _require_beside(receptor_positions: np.ndarray, ligand: ReferenceLigand) -> None:
    from scipy.spatial import cKDTree

    distances, _ = cKDTree(receptor_positions).query(ligand.positions)
    if distances.min() > CONTACT:
        raise DockingInputError(
            f"{ligand.path}: the ligand is {distances.min():.1f} Å away from the receptor; give "
            "both in the same frame (the ligand as it sits in the pocket)"
        )
    if (distances < SAME_PLACE).mean() > 0.5:
        raise DockingInputError(
            f"{ligand.path}: the receptor still holds this ligand, so nothing else can bind there; "
            "remove its residue with --drop NAME"
        )


def _triple(name: str, values: Sequence[float]) -> tuple[float, float, float]:
    try:
        numbers = tuple(float(value) for value in values)
    except (TypeError, ValueError):
        numbers = ()
    if len(numbers) != 3 or not all(map(math.isfinite, numbers)):
        raise DockingInputError(f"expected {name} as three finite numbers in Å, got {values!r}")
    return numbers  # type: ignore[return-value]


def _numbers(values: Sequence[float] | np.ndarray) -> str:
    return "(" + ", ".join(f"{float(value):.1f}" for value in values) + ")"
