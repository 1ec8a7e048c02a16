r"""The multinomial diffusion of atom types, in logarithms.

One step keeps a type with probability :math:`\alpha_t` and else draws one of the C types
uniformly, so from time s to t > s it is kept with :math:`\alpha_{t|s} = \bar\alpha_t /
\bar\alpha_s`, and (Hoogeboom et al. 2021, arXiv 2102.05379, for any s < t)

.. math:: q(v_s \mid v_t, v_0) \propto q(v_t \mid v_s)\, q(v_s \mid v_0).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

LOG_ZERO = math.log(1e-30)  # of an impossible type
FARTHEST_NORMAL = 35.0  # beyond it Phi is 1 to rounding even in logarithms


class Kept(NamedTuple):
    """log a and log(1 - a) of the probability a that a type is kept."""

    log_kept: float
    log_redrawn: float

    @classmethod
    def of(cls, log_kept: float) -> Kept:
        """From log a, which is not positive."""
        redrawn = -math.expm1(log_kept)
        return cls(log_kept, math.log(redrawn) if redrawn > 0 else -math.inf)


def log_one_hot(types: Tensor, classes: int) -> Tensor:
    """Types (...) -> their log-probabilities (..., C)."""
    one_hot = torch.nn.functional.one_hot(types, classes)
    return torch.where(one_hot > 0, 0.0, LOG_ZERO)


def log_noised(log_v: Tensor, kept: Kept) -> Tensor:
    """Log-probabilities (..., C) after a step that keeps a type with probability a."""
    return torch.logaddexp(
        log_v + kept.log_kept,
        torch.full_like(log_v, kept.log_redrawn - math.log(log_v.shape[-1])),
    )


def log_posterior(log_v0: Tensor, types: Tensor, until: Kept, between: Kept) -> Tensor:
    """log q(v_s | v_t, v_0) of the types, shape (..., C).

    Parameters
    ----------
    log_v0
        Log-probabilities of the clean types, (..., C).
    types
        v_t, (...).
    until
        Kept from the clean molecule to s.
    between
        Kept from s to t.
    """
    log_vt = log_one_hot(types, log_v0.shape[-1]).to(log_v0)
    joint = log_noised(log_v0, until) + log_noised(log_vt, between)
    return joint - joint.logsumexp(dim=-1, keepdim=True)


def gumbel(normal: Tensor) -> Tensor:
    """Standard-normal numbers as standard Gumbel ones: -log(-log u) at the quantile u = Phi(z).

    Computed in float64 from log Phi, so exact in both tails; argmax(log p + gumbel) ~ p.
    """
    z = normal.double().clamp(-FARTHEST_NORMAL, FARTHEST_NORMAL)
    return -(-torch.special.log_ndtr(z)).log()
