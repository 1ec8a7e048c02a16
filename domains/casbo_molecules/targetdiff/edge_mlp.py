r"""An MLP over edges and the attention around it, done per atom wherever that gives the same number.

An edge's input is [geometry, h_i, h_j], so the first linear layer is a sum of three, two of which
are computed once per atom. In attention, the last layer of the key is moved into the query,
:math:`q \cdot (W r + b) = (W^T q) \cdot r + \mathrm{const}` (a constant drops out of the softmax),
and the last layer of the value behind the sum, :math:`\sum_j \alpha_j (W r_j + b) = W \sum_j
\alpha_j r_j + b \sum_j \alpha_j`. What is left per edge is a sum, a LayerNorm and two small
products: 20 times less arithmetic for the published sizes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from .graph import KINDS
from .network import CENTRES, GEOMETRY, Layer, Mlp


class Part(NamedTuple):
    """Some atoms with their incoming edges.

    Parameters
    ----------
    targets, sources
        Their numbers, (A,), and those of the k atoms that each hears from, (A, k).
    geometry
        The edges' geometry, (A, k, 84), or their 20 Gaussians if all are protein to protein.
    weight
        The edges' weights, (A, k).
    """

    targets: Tensor
    sources: Tensor
    geometry: Tensor
    weight: Tensor


@dataclass(frozen=True)
class EdgeMlp:
    """The weights of an Mlp over edges, cut by input; matrices are (inputs, outputs)."""

    geometry: Tensor
    protein: Tensor
    protein_bias: Tensor
    target: Tensor
    source: Tensor
    bias: Tensor
    norm: nn.LayerNorm
    last: nn.Linear

    @classmethod
    def of(cls, mlp: Mlp) -> EdgeMlp:
        """Cut the weights of a network's MLP."""
        first, norm, last = mlp.net[0], mlp.net[1], mlp.net[3]
        W, H = first.weight, first.out_features
        geometry, target, source = W.split([GEOMETRY, H, H], dim=1)
        protein = geometry[:, -len(CENTRES) :]  # kind 3 is the last, its Gaussians too
        parts = [part.T.contiguous() for part in (geometry, protein, target, source)]
        kind_bias = geometry[:, KINDS - 1].contiguous()
        return cls(parts[0], parts[1], kind_bias, *parts[2:], first.bias, norm, last)

    def heard(self, h: Tensor) -> Tensor:
        """States (M, H) -> what every atom contributes as a source, (M, H)."""
        return h @ self.source

    def hidden(self, h: Tensor, heard: Tensor, part: Part) -> Tensor:
        """The hidden layer of every edge, (A, k, H)."""
        own = torch.addmm(self.bias, h[part.targets], self.target)
        matrix = self.geometry
        if part.geometry.shape[-1] == len(CENTRES):
            matrix, own = self.protein, own + self.protein_bias
        before = heard.index_select(0, part.sources.flatten())
        before.addmm_(part.geometry.flatten(0, 1), matrix)
        before = before.view(*part.sources.shape, -1).add_(own.unsqueeze(1))
        after = functional.layer_norm(
            before, self.norm.normalized_shape, self.norm.weight, self.norm.bias, self.norm.eps
        )
        return after.relu_()

    def by_head(self, heads: int) -> Tensor:
        """The last layer's weight, (heads, H / heads, H)."""
        return self.last.weight.unflatten(0, (heads, -1))


@dataclass(frozen=True)
class Attention:
    """Weights of x2h or h2x."""

    query: Mlp
    key: EdgeMlp
    value: EdgeMlp
    heads: int

    def shares(self, h: Tensor, heard: Tensor, part: Part) -> Tensor:
        """Attention of each atom to its neighbours, (A, k, heads)."""
        query = self.query(h[part.targets]).unflatten(-1, (self.heads, -1))  # (A, heads, d)
        moved = torch.bmm(query.transpose(0, 1), self.key.by_head(self.heads)).transpose(0, 1)
        keys = self.key.hidden(h, heard, part)
        logits = torch.bmm(keys, moved.transpose(1, 2)) / query.shape[-1] ** 0.5
        return logits.softmax(dim=1)

    def message(self, h: Tensor, heard: tuple[Tensor, Tensor], part: Part) -> Tensor:
        """What x2h adds to the states of the part's atoms, (A, H)."""
        shares = self.shares(h, heard[0], part) * part.weight.unsqueeze(-1)
        summed = torch.bmm(shares.transpose(1, 2), self.value.hidden(h, heard[1], part))
        by_head = self.value.by_head(self.heads).transpose(1, 2)  # (heads, H, d)
        message = torch.bmm(summed.transpose(0, 1), by_head).transpose(0, 1)
        bias = self.value.last.bias.unflatten(0, (self.heads, -1))
        return (message + shares.sum(dim=1).unsqueeze(-1) * bias).flatten(1)

    def shift(self, h: Tensor, heard: tuple[Tensor, Tensor], part: Part, apart: Tensor) -> Tensor:
        """How h2x moves the part's atoms, (A, 3), from x_i - x_j, (A, k, 3)."""
        shares = self.shares(h, heard[0], part)
        value = self.value.last(self.value.hidden(h, heard[1], part))
        share = (shares * value).mean(dim=-1) * part.weight
        return torch.bmm(share.unsqueeze(1), apart).squeeze(1)

    def heard(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """What every atom contributes to keys and to values."""
        return self.key.heard(h), self.value.heard(h)


class LayerWeights(NamedTuple):
    """A layer as two attentions."""

    x2h: Attention
    h2x: Attention

    @classmethod
    def of(cls, layer: Layer) -> LayerWeights:
        """Read the weights of a network's layer."""
        state, position = layer.x2h_layers[0], layer.h2x_layers[0]
        return cls(
            Attention(
                state.hq_func, EdgeMlp.of(state.hk_func), EdgeMlp.of(state.hv_func), state.heads
            ),
            Attention(
                position.xq_func,
                EdgeMlp.of(position.xk_func),
                EdgeMlp.of(position.xv_func),
                position.heads,
            ),
        )
