"""Are atoms and molecules stable: EDM's own measure of its samples.

A bond order follows from a distance and the two elements; an atom is stable if its orders add up to
a valence that it can have, a molecule if all its atoms are (arXiv 2203.17003, section 5.1;
qm9/analyze.py of the official repository). Hydrogens count. Aromatic rings at their real geometry
fail, which is a property of this measure. Lengths are tabulated typical ones, in pm.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np

from .dataset import ATOMIC_NUMBERS

#: A bond of order 1, 2, 3 is shorter than its typical length and this, in pm.
MARGINS = (10, 5, 3)

SINGLE = """
    H: H 74, B 119, C 109, N 101, O 96, F 92, Si 148, P 144, S 134, Cl 127, As 152, Br 141, I 161
    B: Cl 175
    C: C 154, N 147, O 143, F 135, Si 185, P 184, S 182, Cl 177, Br 194, I 214
    N: N 145, O 140, F 136, P 177, S 168, Cl 175, Br 214, I 222
    O: O 148, F 142, Si 163, P 163, S 151, Cl 164, Br 172, I 194
    F: F 142, Si 160, P 156, S 158, Cl 166, Br 178, I 187
    Si: Si 233, S 200, Cl 202, Br 215, I 243
    P: P 221, S 210, Cl 203, Br 222
    S: S 204, Cl 207, Br 225, I 234
    Cl: Cl 199, Br 214
    Br: Br 228
    I: I 266
"""
DOUBLE = """
    C: C 134, N 129, O 120, S 160
    N: N 125, O 121
    O: O 121, P 150
    P: S 186
"""
TRIPLE = """
    C: C 120, N 116, O 113
    N: N 110
"""
VALENCES = {
    symbol: (valence,)
    for valence, symbols in ((1, "H F Cl Br I"), (2, "O"), (3, "B N Al As"), (4, "C Si S"))
    for symbol in symbols.split()
} | {"P": (3, 5), "Hg": (1, 2), "Bi": (3, 5)}
_SYMBOLS = {number: symbol for symbol, number in ATOMIC_NUMBERS.items()}


@dataclass(frozen=True)
class Stability:
    """How many of the atoms of one sample are stable."""

    stable_atoms: int
    atoms: int

    @property
    def stable(self) -> bool:
        """Whether all are."""
        return self.stable_atoms == self.atoms


def stability(positions: np.ndarray, atomic_numbers: Sequence[int]) -> Stability:
    """Judge all atoms of one sample.

    Parameters
    ----------
    positions
        Coordinates of all atoms in Å with shape (n, 3).
    atomic_numbers
        n atomic numbers, of the elements of QM9 and GEOM-drugs.

    Raises
    ------
    KeyError
        For an atomic number of another element.
    """
    orders = bond_orders(positions, atomic_numbers).sum(1)
    symbols = [_SYMBOLS[number] for number in atomic_numbers]
    stable = [order in VALENCES[symbol] for order, symbol in zip(orders, symbols, strict=True)]
    return Stability(sum(stable), len(stable))


def bond_orders(positions: np.ndarray, atomic_numbers: Sequence[int]) -> np.ndarray:
    """Orders 0 to 3 for every pair of atoms (n, n), by distance alone."""
    numbers = np.asarray(atomic_numbers)
    offsets = positions[:, None] - positions[None]
    distances = 100 * np.sqrt(np.square(offsets).sum(-1))  # Å -> pm
    np.fill_diagonal(distances, np.inf)
    orders = np.zeros(distances.shape, dtype=int)
    for order, longest in enumerate(_longest(), start=1):
        # a higher order needs the lower one's length as well
        shorter = distances < longest[numbers[:, None], numbers[None]]
        orders[shorter & (orders == order - 1)] = order
    return orders


@cache
def _longest() -> tuple[np.ndarray, ...]:
    """The longest bonds of order 1, 2, 3 in pm, by the two atomic numbers; 0 where there is none."""
    tables = []
    for text, margin in zip((SINGLE, DOUBLE, TRIPLE), MARGINS, strict=True):
        table = np.zeros((max(_SYMBOLS) + 1,) * 2)
        for line in text.strip().splitlines():
            first, partners = line.split(":")
            for second, length in (entry.split() for entry in partners.split(",")):
                pair = ATOMIC_NUMBERS[first.strip()], ATOMIC_NUMBERS[second]
                table[pair] = table[pair[::-1]] = int(length) + margin
        tables.append(table)
    return tuple(tables)
