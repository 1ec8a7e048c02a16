"""TargetDiff's network, written plainly over a list of edges; its state dict has the authors' names.

Protein and ligand atoms are the nodes of one graph. Each has edges from its k nearest other atoms.
A layer updates the states of all atoms by attention over these edges, then moves the ligand atoms.
Differentiable, for any batch of graphs. Sampling uses :mod:`.inference`, which computes the same
numbers many times faster for candidates that share a pocket.

Source: Guan et al. 2023 (arXiv 2303.03543), github.com/guanjq/targetdiff.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from .config import TargetDiffConfig
from .graph import KINDS, edge_kinds, nearest
from .schedule import Schedule
from .vocabulary import PROTEIN_FEATURES

#: Centres in Å of the unit-width Gaussians that a distance is expanded in.
CENTRES = (0, 1, 1.25, 1.5, 1.75, 2, 2.25, 2.5, 2.75, 3, 3.5, 4, 4.5, 5, 5.5, 6, 7, 8, 9, 10)
GEOMETRY = KINDS + KINDS * len(CENTRES)  # numbers that describe an edge beside its two states


class Prediction(NamedTuple):
    """Clean positions in Å (..., n, 3), logits of clean types (..., n, C), states (..., n, H)."""

    positions: Tensor
    logits: Tensor
    states: Tensor


@dataclass(frozen=True)
class Batch:
    """Graphs side by side: P protein and L ligand atoms in all, numbered by graph.

    Parameters
    ----------
    protein_positions, ligand_positions
        Å, centred on the mean protein atom of their graph, shapes (P, 3) and (L, 3).
    protein_features
        Shape (P, 27).
    ligand_types
        Shape (L,).
    protein_graph, ligand_graph
        The graph of each atom, shapes (P,) and (L,).
    """

    protein_positions: Tensor
    protein_features: Tensor
    protein_graph: Tensor
    ligand_positions: Tensor
    ligand_types: Tensor
    ligand_graph: Tensor


class DistanceExpansion(nn.Module):
    """Distances (...) in Å -> Gaussians of them (..., 20)."""

    offset: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("offset", torch.tensor(CENTRES, dtype=torch.float32))

    def forward(self, distances: Tensor) -> Tensor:
        """exp(-(d - c)^2 / 2)."""
        return torch.exp(-0.5 * (distances.unsqueeze(-1) - self.offset) ** 2)


class Mlp(nn.Module):
    """Linear, LayerNorm, ReLU, Linear."""

    def __init__(self, inputs: int, hidden: int, outputs: int) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(inputs, hidden), nn.LayerNorm(hidden), nn.ReLU(), nn.Linear(hidden, outputs)
        )

    def forward(self, x: Tensor) -> Tensor:
        """(..., inputs) -> (..., outputs)."""
        out: Tensor = self.net(x)
        return out


class Edges(NamedTuple):
    """E edges from ``source`` to ``target`` (E,), their kind one-hot (E, 4), their weight (E, 1)."""

    source: Tensor
    target: Tensor
    kind: Tensor
    weight: Tensor


class StateAttention(nn.Module):
    """x2h: new states of all atoms from the states and distances around them."""

    def __init__(self, H: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.hk_func = Mlp(GEOMETRY + 2 * H, H, H)
        self.hv_func = Mlp(GEOMETRY + 2 * H, H, H)
        self.hq_func = Mlp(H, H, H)

    def forward(self, h: Tensor, inputs: Tensor, edges: Edges) -> Tensor:
        """States (M, H) and inputs of edges (E, 84 + 2 H) -> states."""
        alpha = _attention(self.hq_func(h), self.hk_func(inputs), edges, self.heads)
        value = (self.hv_func(inputs) * edges.weight).unflatten(-1, (self.heads, -1))
        message = (alpha.unsqueeze(-1) * value).flatten(1)
        return h + torch.zeros_like(h).index_add(0, edges.target, message)


class PositionAttention(nn.Module):
    """h2x: how far each atom would move along the vectors from its neighbours."""

    def __init__(self, H: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.xk_func = Mlp(GEOMETRY + 2 * H, H, H)
        self.xv_func = Mlp(GEOMETRY + 2 * H, H, heads)
        self.xq_func = Mlp(H, H, H)

    def forward(self, h: Tensor, inputs: Tensor, apart: Tensor, edges: Edges) -> Tensor:
        """States (M, H), inputs of edges and x_i - x_j (E, 3) -> displacements (M, 3)."""
        alpha = _attention(self.xq_func(h), self.xk_func(inputs), edges, self.heads)
        share = (alpha * self.xv_func(inputs) * edges.weight).mean(-1, keepdim=True)
        return h.new_zeros(len(h), 3).index_add(0, edges.target, share * apart)


class Layer(nn.Module):
    """States, then positions of the ligand."""

    def __init__(self, H: int, heads: int, *, moves: bool = True) -> None:
        super().__init__()
        self.distance_expansion = DistanceExpansion()
        self.x2h_layers = nn.ModuleList([StateAttention(H, heads)])
        if moves:
            self.h2x_layers = nn.ModuleList([PositionAttention(H, heads)])

    def forward(
        self, h: Tensor, x: Tensor, edges: Edges, movable: Tensor
    ) -> tuple[Tensor, Tensor]:
        """States (M, H) and positions (M, 3) -> both anew; ``movable`` (M, 1) is 1 for ligand."""
        apart = x[edges.target] - x[edges.source]
        gauss = self.distance_expansion(apart.norm(dim=-1))
        by_kind = (edges.kind.unsqueeze(-1) * gauss.unsqueeze(-2)).flatten(-2)
        geometry = torch.cat([edges.kind, by_kind], dim=-1)
        h = self.x2h_layers[0](h, _with_states(geometry, h, edges), edges)
        shift = self.h2x_layers[0](h, _with_states(geometry, h, edges), apart, edges)
        return h, x + shift * movable


class Refinement(nn.Module):
    """The layers and the weight of the edges."""

    def __init__(self, config: TargetDiffConfig) -> None:
        super().__init__()
        H, heads = config.hidden_dim, config.n_heads
        self.knn = config.knn
        self.distance_expansion = DistanceExpansion()
        self.edge_pred_layer = Mlp(len(CENTRES), H, 1)
        self.init_h_emb_layer = Layer(H, heads, moves=False)  # in the checkpoints, never used
        self.base_block = nn.ModuleList([Layer(H, heads) for _ in range(config.num_layers)])

    def forward(
        self, h: Tensor, x: Tensor, graph: Tensor, protein: Tensor
    ) -> tuple[Tensor, Tensor]:
        """States (M, H), positions (M, 3), graph numbers (M,), whether protein (M,) -> both anew."""
        source, target = nearest(x.detach(), graph, self.knn)
        kind = functional.one_hot(edge_kinds(protein[source], protein[target]), KINDS).to(h)
        distance = (x[target] - x[source]).norm(dim=-1)
        weight = self.edge_pred_layer(self.distance_expansion(distance)).sigmoid()
        edges, movable = Edges(source, target, kind, weight), (~protein).to(h).unsqueeze(-1)
        for layer in self.base_block:
            h, x = layer(h, x, edges, movable)
        return h, x


class ShiftedSoftplus(nn.Module):
    """softplus(x) - log 2."""

    def forward(self, x: Tensor) -> Tensor:
        """(...) -> (...)."""
        return functional.softplus(x) - math.log(2)


class TargetDiffNetwork(nn.Module):
    """Noisy ligands in their pockets -> clean ones; the network does not see the time."""

    def __init__(self, config: TargetDiffConfig) -> None:
        super().__init__()
        self.config = config
        H = config.hidden_dim
        for name, tensor in Schedule(config).tensors().items():
            self.register_parameter(name, nn.Parameter(tensor, requires_grad=False))
        for name in ("Lt_history", "Lt_count"):  # in the checkpoints, of the authors' training
            self.register_buffer(name, torch.zeros(config.num_diffusion_timesteps))
        self.protein_atom_emb = nn.Linear(PROTEIN_FEATURES, H - 1)
        self.ligand_atom_emb = nn.Linear(config.types, H - 1)
        self.refine_net = Refinement(config)
        self.v_inference = nn.Sequential(
            nn.Linear(H, H), ShiftedSoftplus(), nn.Linear(H, config.types)
        )

    def forward(self, batch: Batch) -> Prediction:
        """Predict for a batch of graphs; all (L, ...)."""
        P = len(batch.protein_positions)
        h = torch.cat(
            [
                self.embedded_protein(batch.protein_features),
                self.embedded_ligand(batch.ligand_types),
            ]
        )
        x = torch.cat([batch.protein_positions, batch.ligand_positions])
        graph = torch.cat([batch.protein_graph, batch.ligand_graph])
        h, x = self.refine_net(h, x, graph, torch.arange(len(h), device=h.device) < P)
        return Prediction(x[P:], self.v_inference(h[P:]), h[P:])

    def embedded_protein(self, features: Tensor) -> Tensor:
        """Features (P, 27) -> states (P, H), the last channel 0."""
        states = self.protein_atom_emb(features.to(self.protein_atom_emb.weight))
        return functional.pad(states, (0, 1), value=0.0)

    def embedded_ligand(self, types: Tensor) -> Tensor:
        """Types (...) -> states (..., H), the last channel 1."""
        one_hot = functional.one_hot(types, self.config.types).to(self.ligand_atom_emb.weight)
        return functional.pad(self.ligand_atom_emb(one_hot), (0, 1), value=1.0)


def _with_states(geometry: Tensor, h: Tensor, edges: Edges) -> Tensor:
    return torch.cat([geometry, h[edges.target], h[edges.source]], dim=-1)


def _attention(query: Tensor, key: Tensor, edges: Edges, heads: int) -> Tensor:
    """Softmax over the incoming edges of every atom, (E, heads)."""
    q, k = (x.unflatten(-1, (heads, -1)) for x in (query[edges.target], key))
    logits = (q * k).sum(-1) / k.shape[-1] ** 0.5
    index = edges.target.unsqueeze(-1).expand_as(logits)
    highest = logits.new_full((len(query), heads), -torch.inf)
    highest = highest.scatter_reduce(0, index, logits.detach(), "amax")
    weight = (logits - highest[edges.target]).exp()
    total = weight.new_zeros(len(query), heads).index_add(0, edges.target, weight)
    return weight / total[edges.target]
