"""The E(3)-equivariant graph network inside the shipped molecule model.

A dense graph over the n heavy atoms. Node features, edge features, positions and one global
feature vector are refined together, layer by layer. Positions move only along the vectors between
atoms (as in EGNN, Satorras et al. 2021, arXiv 2102.09844), every other quantity depends on
distances alone: rotating, reflecting or renumbering the input does the same to the output. Unlike
EGNN, edges keep a state of their own from layer to layer, so the bond between two atoms need not be
inferred anew, and the edge state is narrower than the node state, for there are n times as many.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

_NEAR_CENTRES = (0.0, 0.3, 0.45, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.9, 1.0, 1.1, 1.2, 1.3, 1.45)
_FAR_CENTRES = (1.6, 1.85, 2.2, 2.7, 3.3, 4.0)
_NEGLIGIBLE = -80.0  # exp of less is subnormal, which CPUs compute with many times slower
_EDGES_PER_ATOM = 10.0  # sums over neighbours are divided by this, whatever n is


@dataclass(frozen=True)
class NetworkConfig:
    """Sizes of the network; ``elements`` and ``descriptors`` are numbers of channels."""

    elements: int
    descriptors: int
    node_width: int = 160
    edge_width: int = 64
    layers: int = 7


class DistanceFeatures(nn.Module):
    """Distances -> Gaussian bumps, dense where bonds and angles are (unit: data spread, ~2 Å)."""

    centres: Tensor
    inverse_widths: Tensor

    def __init__(self) -> None:
        super().__init__()
        centres = torch.tensor(_NEAR_CENTRES + _FAR_CENTRES)
        widths = torch.gradient(centres)[0].clamp(min=0.07)
        self.register_buffer("centres", centres, persistent=False)
        self.register_buffer("inverse_widths", 1 / widths, persistent=False)
        self.channels = len(centres) + 1

    def forward(self, distances: Tensor) -> Tensor:
        """Distances (..., 1) -> features (..., channels)."""
        exponents = -0.5 * ((distances - self.centres) * self.inverse_widths) ** 2
        bumps = torch.exp(exponents.clamp_min(_NEGLIGIBLE))
        return torch.cat([bumps, torch.log1p(distances)], dim=-1)


class NoiseEmbedding(nn.Module):
    """Fourier features of the logarithm of the noise level."""

    frequencies: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer(
            "frequencies", torch.exp(torch.linspace(-1.5, 2.5, 16)), persistent=False
        )
        self.project = nn.Sequential(nn.Linear(32, width), nn.SiLU(), nn.Linear(width, width))

    def forward(self, log_sigma: Tensor) -> Tensor:
        """Logarithms of noise levels (B,) -> embeddings (B, width)."""
        angles = log_sigma[:, None] * self.frequencies
        return self.project(torch.cat([angles.sin(), angles.cos()], dim=-1))


class Layer(nn.Module):
    """One round of messages: edges, then nodes, positions and the global vector."""

    def __init__(self, config: NetworkConfig, distance_channels: int) -> None:
        super().__init__()
        node, edge = config.node_width, config.edge_width
        self.node_norm = nn.LayerNorm(node)
        self.global_norm = nn.LayerNorm(node)
        self.from_receiver = nn.Linear(node, edge)
        self.from_sender = nn.Linear(node, edge, bias=False)
        self.from_edge = nn.Linear(edge, edge, bias=False)
        self.from_distance = nn.Linear(distance_channels, edge, bias=False)
        self.message = nn.Linear(edge, edge)
        self.gates = nn.Linear(edge, 2)
        self.node_update = nn.Sequential(
            nn.Linear(2 * node + edge, node), nn.SiLU(), nn.Linear(node, node)
        )
        self.global_update = nn.Sequential(
            nn.Linear(2 * node, node), nn.SiLU(), nn.Linear(node, node)
        )

    def forward(
        self,
        nodes: Tensor,
        edges: Tensor,
        positions: Tensor,
        world: Tensor,
        distance_features: DistanceFeatures,
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Refine nodes (B, n, F), edges (B, n, n, E), positions (B, n, 3) and world (B, F)."""
        offsets = positions[:, :, None] - positions[:, None]
        distances = (offsets.square().sum(-1, keepdim=True) + 1e-8).sqrt()
        normed, world_normed = self.node_norm(nodes), self.global_norm(world)
        messages = functional.silu(
            self.from_receiver(normed)[:, :, None]
            + self.from_sender(normed)[:, None]
            + self.from_edge(edges)
            + self.from_distance(distance_features(distances))
        )
        messages = functional.silu(self.message(messages))
        gates = self.gates(messages)
        received = (messages * torch.sigmoid(gates[..., :1])).sum(2) / _EDGES_PER_ATOM
        spread = world_normed[:, None].expand(-1, nodes.shape[1], -1)
        nodes = nodes + self.node_update(torch.cat([normed, received, spread], dim=-1))
        world = world + self.global_update(torch.cat([world_normed, nodes.mean(1)], dim=-1))
        pull = offsets / (distances + 1) * gates[..., 1:].float()
        return nodes, edges + messages, positions + pull.sum(2) / _EDGES_PER_ATOM, world


class EquivariantNetwork(nn.Module):
    """Noisy atoms and descriptors -> the network's raw output for each of them."""

    def __init__(self, config: NetworkConfig) -> None:
        super().__init__()
        node, edge = config.node_width, config.edge_width
        self.config = config
        self.distance_features = DistanceFeatures()
        self.noise_embedding = NoiseEmbedding(node)
        self.embed_nodes = nn.Linear(config.elements, node)
        self.embed_world = nn.Linear(config.descriptors + 1, node)
        self.embed_edges = nn.Linear(self.distance_features.channels, edge)
        self.layers = nn.ModuleList(
            Layer(config, self.distance_features.channels) for _ in range(config.layers)
        )
        self.read_nodes = nn.Sequential(nn.LayerNorm(node), nn.Linear(node, config.elements))
        self.read_world = nn.Sequential(nn.LayerNorm(node), nn.Linear(node, config.descriptors))

    def forward(
        self, positions: Tensor, elements: Tensor, descriptors: Tensor, log_sigma: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Map scaled inputs to raw outputs of the same shapes.

        Shapes: positions (B, n, 3) with zero mean, elements (B, n, C), descriptors (B, G),
        log_sigma (B,).
        """
        atoms = positions.shape[1]
        noise = self.noise_embedding(log_sigma)
        size = torch.full_like(descriptors[:, :1], atoms / 10 - 1.4)
        nodes = self.embed_nodes(elements) + noise[:, None]
        world = self.embed_world(torch.cat([descriptors, size], dim=-1)) + noise
        offsets = positions[:, :, None] - positions[:, None]
        distances = (offsets.square().sum(-1, keepdim=True) + 1e-8).sqrt()
        edges = self.embed_edges(self.distance_features(distances))
        moved = positions
        for layer in self.layers:
            nodes, edges, moved, world = layer(nodes, edges, moved, world, self.distance_features)
        shift = moved - positions
        return shift - shift.mean(1, keepdim=True), self.read_nodes(nodes), self.read_world(world)
