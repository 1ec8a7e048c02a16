"""What TargetDiff is trained on: clean positions and the posterior of types, from noised ligands.

The loss of a batch is the mean over its graphs of the mean squared distance (Å^2) between predicted
and true positions, plus a weight times the mean Kullback-Leibler divergence of the types' true
posterior q(v_{t-1} | v_t, v_0) from the predicted one (at t = 0, the negative log-likelihood).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from .categorical import gumbel, log_one_hot
from .network import Batch, Prediction, TargetDiffNetwork


class Loss(NamedTuple):
    """The whole loss and its parts, scalars; ``types`` is not weighted."""

    total: Tensor
    positions: Tensor
    types: Tensor


def diffusion_loss(
    network: TargetDiffNetwork,
    clean: Batch,
    times: Tensor,
    noise: tuple[Tensor, Tensor],
    *,
    predict: Callable[[Batch], Prediction] | None = None,
) -> Loss:
    """The loss of a batch of graphs at given times under given noise; differentiable.

    Parameters
    ----------
    clean
        G graphs with their true ligands, centred on their pockets.
    times
        Of each graph, (G,).
    noise
        Standard-normal numbers for positions (L, 3) and types (L, C).
    predict
        The network's predictions, where they can be had faster than by calling it.
    """
    graph, t = clean.ligand_graph, times[clean.ligand_graph].unsqueeze(-1)
    kept, spread = network.sqrt_alphas_cumprod[t], network.sqrt_one_minus_alphas_cumprod[t]
    positions = kept * clean.ligand_positions + spread * noise[0]
    log_v0 = log_one_hot(clean.ligand_types, network.config.types).to(positions)
    types = (_until(network, log_v0, t) + gumbel(noise[1])).argmax(dim=-1)
    noised = Batch(
        clean.protein_positions,
        clean.protein_features,
        clean.protein_graph,
        positions,
        types,
        graph,
    )
    found = (predict or network)(noised)
    squared = (found.positions - clean.ligand_positions).square().sum(dim=-1)
    truth = _posterior(network, log_v0, types, t)
    model = _posterior(network, found.logits.log_softmax(dim=-1), types, t)
    divergence = (truth.exp() * (truth - model)).sum(dim=-1)
    surprise = -(log_v0.exp() * model).sum(dim=-1)
    of_types = torch.where(t.squeeze(-1) == 0, surprise, divergence)
    means = [_mean_of_graphs(values, graph, len(times)) for values in (squared, of_types)]
    return Loss(means[0] + network.config.loss_v_weight * means[1], *means)


def _until(network: TargetDiffNetwork, log_v0: Tensor, t: Tensor) -> Tensor:
    """log q(v_t | v_0), (L, C), for times (L, 1)."""
    return _redrawn(
        log_v0, network.log_alphas_cumprod_v[t], network.log_one_minus_alphas_cumprod_v[t]
    )


def _posterior(network: TargetDiffNetwork, log_v0: Tensor, types: Tensor, t: Tensor) -> Tensor:
    """log q(v_{t-1} | v_t, v_0), (L, C), for times (L, 1)."""
    log_vt = log_one_hot(types, log_v0.shape[-1]).to(log_v0)
    step = _redrawn(log_vt, network.log_alphas_v[t], network.log_one_minus_alphas_v[t])
    return (_until(network, log_v0, (t - 1).clamp(min=0)) + step).log_softmax(dim=-1)


def _redrawn(log_v: Tensor, log_kept: Tensor, log_redrawn: Tensor) -> Tensor:
    classes = torch.tensor(float(log_v.shape[-1])).to(log_v)
    return torch.logaddexp(log_v + log_kept, log_redrawn - classes.log())


def _mean_of_graphs(values: Tensor, graph: Tensor, count: int) -> Tensor:
    """Mean over graphs of the mean over their atoms, (L,) -> ()."""
    sums = values.new_zeros(count).index_add(0, graph, values)
    atoms = values.new_zeros(count).index_add(0, graph, torch.ones_like(values))
    return (sums / atoms).mean()
