"""What a model was trained on: its elements, and how many atoms molecules have there.

Counts of the official data sets, hydrogens included (configs/datasets_config.py of the official
repository): QM9 (100,000 training molecules) and GEOM-drugs (6.9 million conformers).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..model import ModelError

_SYMBOLS = "H B C N O F Al Si P S Cl As Br I Hg Bi"
_NUMBERS = (1, 5, 6, 7, 8, 9, 13, 14, 15, 16, 17, 33, 35, 53, 80, 83)
ATOMIC_NUMBERS = dict(zip(_SYMBOLS.split(), _NUMBERS, strict=True))


@dataclass(frozen=True)
class Dataset:
    """Elements and sizes of the molecules of a training set.

    Parameters
    ----------
    name
        What it is called in the training arguments.
    elements
        Symbols in the order of the model's one-hot channels.
    sizes
        Number of atoms, hydrogens included -> number of molecules.
    atoms
        How many atoms of each element there are; empty where that is not known.
    """

    name: str
    elements: tuple[str, ...]
    sizes: Mapping[int, int]
    atoms: tuple[int, ...] = ()

    @classmethod
    def from_json(cls, value: Any) -> Dataset:  # noqa: ANN401 - any JSON value
        """A data set from the official description: ``atom_decoder``, ``n_nodes``, ``atom_types``.

        Raises
        ------
        ModelError
            If a part is missing or of another kind, or an element is unknown here.
        """
        try:
            elements = tuple(value["atom_decoder"])
            sizes = {int(size): int(count) for size, count in value["n_nodes"].items()}
            counts = {int(k): int(n) for k, n in value.get("atom_types", {}).items()}
            atoms = tuple(counts.get(index, 0) for index in range(len(elements)))
            known = cls(str(value["name"]), elements, sizes, atoms if any(atoms) else ())
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise ModelError(
                'expected a data set as {"name": ..., "atom_decoder": [symbols], "n_nodes": '
                f'{{"atoms": molecules}}}}, got one that cannot be read: {error!r}'
            ) from error
        unknown = [symbol for symbol in elements if symbol not in ATOMIC_NUMBERS]
        if unknown or not elements or len(set(elements)) < len(elements):
            raise ModelError(
                f"expected different elements out of {', '.join(ATOMIC_NUMBERS)}, got {elements}"
            )
        if not sizes or min(sizes) < 1 or min(sizes.values()) < 0 or max(sizes.values()) < 1:
            raise ModelError(
                "expected n_nodes to count molecules of at least 1 atom each, got "
                f"{dict(list(sizes.items())[:5])}"
            )
        return known

    def to_json(self) -> dict[str, Any]:
        """The official description, which :meth:`from_json` reads."""
        return {
            "name": self.name,
            "atom_decoder": list(self.elements),
            "n_nodes": {str(size): count for size, count in self.sizes.items()},
            "atom_types": {str(index): count for index, count in enumerate(self.atoms)},
        }

    @property
    def smallest(self) -> int:
        """The least number of atoms, hydrogens included."""
        return min(self.sizes)

    @property
    def largest(self) -> int:
        """The greatest number of atoms, hydrogens included."""
        return max(self.sizes)

    @property
    def numbers(self) -> tuple[int, ...]:
        """Atomic numbers in the order of the one-hot channels."""
        return tuple(ATOMIC_NUMBERS[symbol] for symbol in self.elements)

    def draw_sizes(self, count: int, seed: int) -> list[int]:
        """``count`` numbers of atoms, hydrogens included, as frequent as in the training set.

        Raises
        ------
        ModelError
            If the seed is negative.
        """
        if seed < 0:
            raise ModelError(f"expected a seed of at least 0, got {seed}")
        sizes = np.array(list(self.sizes))
        weights = np.array(list(self.sizes.values()), dtype=float)
        generator = np.random.default_rng(seed)
        return generator.choice(sizes, size=count, p=weights / weights.sum()).tolist()

    def with_hydrogens(self, heavy_atoms: int) -> int:
        """How many atoms, hydrogens included, molecules of so many heavy atoms have on average.

        Within the sizes of the training set.

        Raises
        ------
        ModelError
            If it is not known how many hydrogens the training set has.
        """
        if not self.atoms or "H" not in self.elements:
            raise ModelError(
                f"expected atom_types with hydrogens in the description of {self.name!r} to turn "
                "heavy atoms into atoms, got none: state the number of all atoms"
            )
        heavy_share = 1 - self.atoms[self.elements.index("H")] / sum(self.atoms)
        return min(max(round(heavy_atoms / heavy_share), self.smallest), self.largest)


def _counts(smallest: int, text: str) -> dict[int, int]:
    """Molecules of ``smallest`` atoms, of one more, ...; sizes without any are left out."""
    counts = enumerate((int(word) for word in text.split()), smallest)
    return {size: count for size, count in counts if count}


QM9 = Dataset(
    "qm9",
    ("H", "C", "N", "O", "F"),
    _counts(
        3,
        """
    1 4 5 9 16 49 124 362 807 1689 3060 5136 7796 10644 13025 13364 13832 9482 9970 3393 4848
    539 1506 48 266 0 25
    """,
    ),
    (923537, 635559, 101476, 140202, 2323),
)

GEOM_DRUGS = Dataset(
    "geom",
    ("H", "B", "C", "N", "O", "F", "Al", "Si", "P", "S", "Cl", "As", "Br", "I", "Hg", "Bi"),
    _counts(
        3,
        """
    1 3 9 2 8 23 23 50 109 168 280 402 583 597 949 1284 1862 2674 3599 6109 8693 13604 17419
    25672 31647 43809 56697 70400 82655 104100 122776 140834 164888 185451 194541 218549 231232
    243300 253349 268341 272081 276917 276839 274747 272126 262709 250157 244781 228898 215338
    203728 191697 180518 163843 152055 136536 120393 107292 94635 83179 68384 61517 48867 37685
    32859 27367 20981 18699 14791 11921 9933 9037 6538 6374 4036 4189 3842 3277 2925 1843 2060
    1394 1514 1357 1346 999 300 390 510 510 240 721 360 360 390 330 540 258 210 60 180 206 60
    390 180 180 150 120 360 120 210 60 30 210 270 450 240 228 120 30 420 240 210 158 180 60 30
    120 30 120 60 240 169 240 30 270 180 270 150 60 60 240 180 150 150 90 90 0 30 60 0 0 90 0 0
    0 30 60 0 0 0 0 30 0 0 0 0 0 30 0 0 0 30 60 0 0 0 0 30
    """,
    ),
    (
        *(143905848, 290, 129988623, 20266722, 21669359, 1481844, 1, 250, 36290, 3999872),
        *(1224394, 4, 298702, 5377, 13, 34),
    ),
)

DATASETS = {"qm9": QM9, "geom": GEOM_DRUGS}
