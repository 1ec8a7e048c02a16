"""The graph of a ligand in its pocket: every atom hears from its k nearest other atoms.

Of atoms at exactly the same distance those with the lower number count as nearer; protein atoms are
numbered before ligand atoms. Squared distances are summed axis by axis in the precision of the
positions (never by the matrix-product trick, which is wrong by up to 1e-3 Å), so the same atoms
give the same graph however it is found.

A pocket does not move. :class:`PocketNeighbours` sorts its atoms' distances to one another once;
for each ligand only the distances to its n atoms are new, and only protein atoms that have a
ligand atom nearer than their k-th protein neighbour have other neighbours than without it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from .errors import TargetDiffError

KINDS = 4  # of edges: ligand to ligand, ligand to protein, protein to ligand, protein to protein


def edge_kinds(source_is_protein: Tensor, target_is_protein: Tensor) -> Tensor:
    """Numbers 0..3 of the kinds of edges, in the order of :data:`KINDS`' comment."""
    return 2 * source_is_protein.long() + target_is_protein.long()


def squared_distances(left: Tensor, right: Tensor) -> Tensor:
    """Positions (..., a, 3) and (..., b, 3) -> (..., a, b) in Å^2."""
    total = left.new_zeros(())
    for axis in range(3):
        total = total + (left[..., :, None, axis] - right[..., None, :, axis]) ** 2
    return total


def nearest(positions: Tensor, graph: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Source and target (E,) of each atom's k nearest others in its own graph, found plainly.

    Parameters
    ----------
    positions, graph
        Å, (M, 3), and the graph of each atom, (M,). An atom of a graph of m atoms hears from
        min(k, m - 1) others.
    """
    sources, targets = [], []
    for number in graph.unique():
        atoms = (graph == number).nonzero().squeeze(1)
        squared = squared_distances(positions[atoms], positions[atoms])
        squared.fill_diagonal_(torch.inf)
        count = min(k, len(atoms) - 1)
        chosen = squared.sort(dim=1, stable=True).indices[:, :count]
        sources.append(atoms[chosen].flatten())
        targets.append(atoms.repeat_interleave(count))
    return torch.cat(sources), torch.cat(targets)


class Neighbourhood(NamedTuple):
    """Incoming edges of the atoms of B candidates, M = P + n atoms each, numbered b M + atom.

    Parameters
    ----------
    sources
        The k' atoms that each atom hears from, shape (B M, k'), k' = min(k, M - 1).
    mixed
        Whether an atom is of the ligand, or of the protein and hears from others than it would
        without ligand, shape (B M,).
    ligand
        Whether an atom is of the ligand, shape (B M,).
    atoms
        M.
    """

    sources: Tensor
    mixed: Tensor
    ligand: Tensor
    atoms: int


@dataclass(frozen=True)
class PocketNeighbours:
    """Each protein atom's nearest other protein atoms.

    Parameters
    ----------
    positions
        Protein atoms in Å, (P, 3).
    k
        Edges of an atom.
    index, squared
        The min(k, P - 1) nearest, nearest first, and their squared distances in Å^2.
    """

    positions: Tensor
    k: int
    index: Tensor
    squared: Tensor

    @classmethod
    def of(cls, positions: Tensor, k: int) -> PocketNeighbours:
        """Sort the distances between all protein atoms.

        Raises
        ------
        TargetDiffError
            If there are no atoms.
        """
        if len(positions) == 0:
            raise TargetDiffError("expected a pocket with at least one atom, got none")
        squared = squared_distances(positions, positions)
        squared.fill_diagonal_(torch.inf)
        count = min(k, len(positions) - 1)
        values, index = (part[:, :count].contiguous() for part in squared.sort(dim=1, stable=True))
        return cls(positions, k, index, values)

    def around(self, ligands: Tensor) -> Neighbourhood:
        """The graph with each of B ligands, positions (B, n, 3) in Å."""
        (B, n, _), P = ligands.shape, len(self.positions)
        M, device = P + n, ligands.device
        count = min(self.k, M - 1)
        across = squared_distances(ligands, self.positions)  # (B, n, P)
        sources = torch.zeros(B, M, count, dtype=torch.long, device=device)
        known = self.index.shape[1]
        sources[:, :P, :known] = self.index
        if known < count:
            touched = torch.ones(B, P, dtype=torch.bool, device=device)
        else:
            touched = (across < self.squared[:, -1]).any(dim=1)
        graph, atom = touched.nonzero(as_tuple=True)
        sources[graph, atom] = self._merged(across, graph, atom, count)
        within = squared_distances(ligands, ligands)
        within.diagonal(dim1=1, dim2=2).fill_(torch.inf)
        everything = torch.cat([across, within], dim=2)
        sources[:, P:] = everything.sort(dim=2, stable=True).indices[..., :count]
        sources += M * torch.arange(B, device=device)[:, None, None]
        ligand = (torch.arange(M, device=device) >= P).expand(B, M)
        mixed = torch.cat([touched, ligand[:, P:]], dim=1)
        return Neighbourhood(sources.flatten(0, 1), mixed.flatten(), ligand.flatten(), M)

    def _merged(self, across: Tensor, graph: Tensor, atom: Tensor, count: int) -> Tensor:
        """The nearest of protein and ligand for chosen protein atoms, (len(atom), count)."""
        n, P = across.shape[1], len(self.positions)
        squared = torch.cat([self.squared[atom], across[graph, :, atom]], dim=1)
        of_ligand = torch.arange(P, P + n, device=across.device).expand(len(atom), n)
        numbers = torch.cat([self.index[atom], of_ligand], dim=1)
        order = squared.sort(dim=1, stable=True).indices[:, :count]
        return numbers.gather(1, order)
