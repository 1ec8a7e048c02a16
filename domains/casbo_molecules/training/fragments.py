"""Drug-like molecules -> fragments of the sizes and elements that the model covers.

Bonds that BRICS would cut are cut, every connected group of neighbouring pieces with a suitable
number of heavy atoms is a candidate, and simple rules keep what a medicinal chemist would draw.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator
from functools import lru_cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rdkit.Chem import Mol

from ..elements import ELEMENTS, LARGEST_MOLECULE, SMALLEST_MOLECULE

UNWANTED = (
    "[CX3H1](=O)",  # aldehydes, mostly amides that were cut
    "[#16;!H0;X4]",  # sulfonyl hydrides, sulfonamides that were cut
    "[#16;!H0;X3]",
    "[SX2H]",
    "[N,O]-[N,O;!$([N]~[c,C]=O)]-[H]",
    "[O,N,S]-[F,Cl]",
    "[OX2]-[OX2]",
    "[N]-[N]-[N]",
    "[CX2]#[CX2]",
    "[#6]=[#16]",
    "[#6;!a]=[#7;!a]-[#7;!a]",
    "[NX3;!a]-[NX3;!a]",
    "*=C=*",
)
MOST_STEREOCENTRES = 2
HARDEST_SYNTHESIS = 4.2  # synthetic accessibility score
PER_MOLECULE = 3


def fragments(smiles: Iterable[str], seed: int) -> Iterator[str]:
    """Yield unique canonical fragment SMILES, at most :data:`PER_MOLECULE` a molecule."""
    from rdkit import Chem

    draw = random.Random(seed)
    seen: set[str] = set()
    for text in smiles:
        molecule = Chem.MolFromSmiles(text)
        if molecule is None:
            continue
        found = sorted(set(_candidates(molecule)) - seen)
        draw.shuffle(found)
        kept = 0
        for candidate in found:
            if kept < PER_MOLECULE and acceptable(candidate):
                kept += 1
                yield candidate
            seen.add(candidate)


def _candidates(molecule: Mol) -> Iterator[str]:
    """SMILES of every connected group of BRICS pieces with a suitable size, cuts closed by H."""
    from rdkit import Chem
    from rdkit.Chem import BRICS

    cuts = [pair for pair, _ in BRICS.FindBRICSBonds(molecule)]
    bonds = [molecule.GetBondBetweenAtoms(*pair).GetIdx() for pair in cuts]
    if not bonds:
        if SMALLEST_MOLECULE <= molecule.GetNumAtoms() <= LARGEST_MOLECULE:
            yield Chem.MolToSmiles(molecule)
        return
    pieces = Chem.GetMolFrags(Chem.FragmentOnBonds(molecule, bonds, addDummies=False))
    owner = {atom: index for index, piece in enumerate(pieces) for atom in piece}
    neighbours: dict[int, set[int]] = {index: set() for index in range(len(pieces))}
    for begin, end in cuts:
        neighbours[owner[begin]].add(owner[end])
        neighbours[owner[end]].add(owner[begin])
    for group in _connected_groups(neighbours, [len(piece) for piece in pieces]):
        boundary = [
            bond
            for bond, (begin, end) in zip(bonds, cuts, strict=True)
            if (owner[begin] in group) != (owner[end] in group)
        ]
        smiles = _cut_out(molecule, boundary, pieces[min(group)][0])
        if smiles is not None:
            yield smiles


def _cut_out(molecule: Mol, boundary: list[int], atom: int) -> str | None:
    """SMILES of the part that holds ``atom`` once the boundary bonds are replaced by hydrogens."""
    from rdkit import Chem

    broken = Chem.RWMol(
        Chem.FragmentOnBonds(molecule, boundary) if boundary else Chem.Mol(molecule)
    )
    part = next(part for part in Chem.GetMolFrags(broken) if atom in part)
    for index in part:
        if broken.GetAtomWithIdx(index).GetAtomicNum() == 0:
            broken.GetAtomWithIdx(index).SetAtomicNum(1)
            broken.GetAtomWithIdx(index).SetIsotope(0)
    with_hydrogens = Chem.MolFromSmiles(Chem.MolFragmentToSmiles(broken, part))
    return None if with_hydrogens is None else Chem.MolToSmiles(with_hydrogens)


def _connected_groups(neighbours: dict[int, set[int]], sizes: list[int]) -> set[frozenset[int]]:
    """All connected sets of pieces whose sizes add up to what the model covers."""
    frontier = {frozenset([index]) for index in neighbours}
    groups: set[frozenset[int]] = set()
    while frontier:
        small = {g for g in frontier if sum(sizes[i] for i in g) <= LARGEST_MOLECULE}
        groups |= {g for g in small if sum(sizes[i] for i in g) >= SMALLEST_MOLECULE}
        frontier = {g | {n} for g in small for i in g for n in neighbours[i] if n not in g}
    return groups


@lru_cache(maxsize=1)
def _unwanted_patterns() -> list[Mol]:
    from rdkit import Chem

    return [Chem.MolFromSmarts(pattern) for pattern in UNWANTED]


def acceptable(smiles: str) -> bool:
    """Whether a molecule, of whatever size, is of the elements and kinds that are kept."""
    from rdkit import Chem
    from rdkit.Chem import FindMolChiralCenters, rdMolDescriptors
    from rdkit.Contrib.SA_Score import sascorer

    molecule = Chem.MolFromSmiles(smiles)
    if "." in smiles or any(
        atom.GetSymbol() not in ELEMENTS
        or atom.GetFormalCharge()
        or atom.GetNumRadicalElectrons()
        or atom.GetIsotope()
        for atom in molecule.GetAtoms()
    ):
        return False
    rings = [len(ring) for ring in molecule.GetRingInfo().AtomRings()]
    return (
        all(3 <= size <= 7 for size in rings)
        and rdMolDescriptors.CalcNumBridgeheadAtoms(molecule) == 0
        and len(
            FindMolChiralCenters(molecule, includeUnassigned=True, useLegacyImplementation=False)
        )
        <= MOST_STEREOCENTRES
        and not any(molecule.HasSubstructMatch(pattern) for pattern in _unwanted_patterns())
        and sascorer.calculateScore(molecule) <= HARDEST_SYNTHESIS
    )
