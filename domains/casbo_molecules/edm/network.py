"""EDM's network, an EGNN in which every atom sees every other, without lists of edges.

Satorras et al. 2021, arXiv 2102.09844; Hoogeboom et al. 2022, arXiv 2203.17003, appendix C. The
official network gathers both atoms' features for every edge and multiplies them by one matrix.
Here the matrix is cut into the parts for receiver, sender and distances: the first two act on n
atoms instead of n^2 edges, and their sums are broadcast, for a few receivers at a time where a
cache is to be kept to. Parameters are named as in the official
checkpoints. B molecules, n atoms, F features.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn
from torch.nn import functional

from .configuration import EdmConfig

REACH = 15.0  # Å; the farthest that one neighbour moves an atom in one block
CPU_PAIRS = 1_200  # pairs whose features, at the released width, stay in a core's cache


def pair_blocks(
    linear: nn.Linear, nodes: Tensor, distances: Tensor
) -> Iterator[tuple[slice, Tensor]]:
    """SiLU(``linear`` of [receiver, sender, distances]) of all pairs, some receivers at a time.

    ``nodes`` has shape (B, n, F), ``distances`` (B, n, n, 2); axis 1 is the receiver. Yields r
    receivers and the features (B, r, n, out) of their pairs.
    """
    atoms, width = nodes.shape[1:]
    receiver, sender, pair = linear.weight.split([width, width, distances.shape[-1]], dim=1)
    receivers = functional.linear(nodes, receiver, linear.bias)
    senders = functional.linear(nodes, sender)
    block = max(1, CPU_PAIRS // atoms) if nodes.device.type == "cpu" else atoms
    for start in range(0, atoms, block):
        rows = slice(start, start + block)
        features = functional.linear(distances[:, rows], pair)
        features += senders[:, None]
        features += receivers[:, rows, None]
        yield rows, _silu(features)


class MessageLayer(nn.Module):
    """Gated messages, summed over all senders, refine the features of their receivers."""

    def __init__(self, config: EdmConfig) -> None:
        super().__init__()
        self.normalization_factor = config.normalization_factor
        width = config.width
        self.edge_mlp = nn.Sequential(
            nn.Linear(2 * width + 2, width), nn.SiLU(), nn.Linear(width, width), nn.SiLU()
        )
        self.node_mlp = nn.Sequential(
            nn.Linear(2 * width, width), nn.SiLU(), nn.Linear(width, width)
        )
        self.att_mlp = nn.Sequential(nn.Linear(width, 1), nn.Sigmoid())

    def forward(self, nodes: Tensor, distances: Tensor, present: Tensor) -> Tensor:
        """Refine nodes (B, n, F); ``present`` (B or 1, n, n) is 1 for pairs that there are."""
        parts = []
        for rows, features in pair_blocks(self.edge_mlp[0], nodes, distances):
            messages = _silu(self.edge_mlp[2](features))
            gates = self.att_mlp(messages)[..., 0] * present[:, rows]
            parts.append(torch.matmul(gates[:, :, None], messages)[:, :, 0])
        received = torch.cat(parts, dim=1) / self.normalization_factor
        return nodes + self.node_mlp(torch.cat([nodes, received], dim=-1))


class PositionLayer(nn.Module):
    """Atoms move along the vectors from all others, by lengths that depend on distances alone."""

    def __init__(self, config: EdmConfig) -> None:
        super().__init__()
        self.norm_constant = config.norm_constant
        self.normalization_factor = config.normalization_factor
        width = config.width
        self.coord_mlp = nn.Sequential(
            nn.Linear(2 * width + 2, width),
            nn.SiLU(),
            nn.Linear(width, width),
            nn.SiLU(),
            nn.Linear(width, 1, bias=False),
        )

    def forward(
        self,
        nodes: Tensor,
        positions: Tensor,
        offsets: Tensor,
        distances: Tensor,
        present: Tensor,
    ) -> Tensor:
        """Move positions (B, n, 3) along ``offsets`` (B, n, n, 3) = receiver - sender."""
        blocks = pair_blocks(self.coord_mlp[0], nodes, distances)
        parts = [self.coord_mlp[4](_silu(self.coord_mlp[2](features))) for _, features in blocks]
        lengths = torch.cat(parts, dim=1)[..., 0]
        norms = (distances[..., 0] + 1e-8).sqrt()
        pull = torch.tanh(lengths) * (REACH * present / (norms + self.norm_constant))
        moved = torch.matmul(pull[:, :, None], offsets)[:, :, 0]
        return positions + moved / self.normalization_factor


class EquivariantBlock(nn.Module):
    """Message layers, then one position layer, all with the distances at the block's start."""

    def __init__(self, config: EdmConfig) -> None:
        super().__init__()
        self.sublayers = config.sublayers
        for index in range(config.sublayers):
            self.add_module(f"gcl_{index}", MessageLayer(config))
        self.gcl_equiv = PositionLayer(config)

    def forward(
        self, nodes: Tensor, positions: Tensor, start: Tensor, atoms: Tensor, present: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Refine nodes and positions; ``start`` (B, n, n) are the squared distances at first."""
        offsets = positions[:, :, None] - positions[:, None]
        distances = torch.stack([offsets.square().sum(-1), start], dim=-1)
        for index in range(self.sublayers):
            nodes = self.get_submodule(f"gcl_{index}")(nodes, distances, present) * atoms
        positions = self.gcl_equiv(nodes, positions, offsets, distances, present)
        return nodes, positions * atoms


class EquivariantNetwork(nn.Module):
    """Node features and positions, refined block by block."""

    def __init__(self, channels: int, config: EdmConfig) -> None:
        super().__init__()
        self.embedding = nn.Linear(channels, config.width)
        self.embedding_out = nn.Linear(config.width, channels)
        self.layers = config.layers
        for index in range(config.layers):
            self.add_module(f"e_block_{index}", EquivariantBlock(config))

    def forward(self, features: Tensor, positions: Tensor, atoms: Tensor) -> tuple[Tensor, Tensor]:
        """Features (B, n, C) and positions (B, n, 3); ``atoms`` (B or 1, n, 1) is 1 for atoms."""
        apart = 1 - torch.eye(positions.shape[1], dtype=positions.dtype, device=positions.device)
        present = atoms * atoms.mT * apart
        start = (positions[:, :, None] - positions[:, None]).square().sum(-1)
        nodes = self.embedding(features)
        for index in range(self.layers):
            block = self.get_submodule(f"e_block_{index}")
            nodes, positions = block(nodes, positions, start, atoms, present)
        return self.embedding_out(nodes) * atoms, positions


class Dynamics(nn.Module):
    """The predicted noise of a state, given the time."""

    def __init__(self, egnn: EquivariantNetwork) -> None:
        super().__init__()
        self.egnn = egnn

    def forward(self, state: Tensor, time: Tensor, atoms: Tensor) -> Tensor:
        """Noise (B, n, 3 + C) predicted for a state of that shape at times t/T (B,).

        The noise of positions has zero mean over the atoms; where it is no number, it is zero for
        that molecule (the official code then zeroes the whole batch).
        """
        state = state * atoms
        positions, features = state[..., :3], state[..., 3:]
        clock = time[:, None, None].expand(-1, features.shape[1], 1)
        features, moved = self.egnn(torch.cat([features, clock], dim=-1), positions, atoms)
        shift = centred((moved - positions) * atoms, atoms)
        broken = shift.isnan().any(dim=2, keepdim=True).any(dim=1, keepdim=True)
        return torch.cat([shift.masked_fill(broken, 0.0), features[..., :-1]], dim=-1)


def centred(positions: Tensor, atoms: Tensor) -> Tensor:
    """Positions (B, n, 3) with their mean over atoms removed; ``atoms`` (B or 1, n, 1)."""
    mean = (positions * atoms).sum(1, keepdim=True) / atoms.sum(1, keepdim=True)
    return (positions - mean) * atoms


def _silu(values: Tensor) -> Tensor:
    """SiLU, in place where no gradient needs what was there."""
    return functional.silu(values, inplace=not torch.is_grad_enabled())
