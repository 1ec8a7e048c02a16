r"""Score-to-go with learned relevance: which step's score does a draw move at all?

A draw influences the scores of its own step and later ones, but some of them hardly. From
mirrored pairs, the squared length of a score's gradient along a draw is estimated without bias,
averaged over iterations, and turned into a Wiener weight. See docs/method.md, equations (22) to
(24).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

RATE = 0.1
SMALLEST_WEIGHT = 0.05


def odd_part(values: Tensor) -> Tensor:
    """What changes sign with the draws: (N/2, K) from (N, K), candidate p + N/2 mirroring p."""
    pairs = len(values) // 2
    return 0.5 * (values[:pairs] - values[pairs:])


def signal(odd: Tensor, draws: Tensor) -> Tensor:
    """Unbiased squared gradient length of each unit-scaled score along each draw: (R, K).

    Arguments:
        odd: What of the costs is odd in the draws, with shape (P, K).
        draws: Whitened draws, with shape (P, R, m).
    """
    pairs = len(draws)
    size = odd.square().mean(0).sqrt()
    odd = odd / torch.where(size > 0, size, torch.ones_like(size))
    by_draw = draws.transpose(0, 1)
    gram = (by_draw @ by_draw.mT).double().cpu()  # (R, P, P): never (R, K, m)
    length = (odd * (gram @ odd)).sum(1)
    own = gram.diagonal(dim1=1, dim2=2) @ odd.square()
    return (length - own) / max(pairs * (pairs - 1), 1)  # Eq. (22)


def wiener(average: Tensor, first_steps: Sequence[int], noise: float) -> Tensor:
    """Weights W with shape (R, K): zero before a draw's first step, largest of each row 1.

    Arguments:
        average: Averaged signal with shape (R, K).
        first_steps: First noise step of each draw.
        noise: The variance of the estimate without signal, m / P.
    """
    share = (average / (average.abs() + noise)).clamp(SMALLEST_WEIGHT, 1)  # Eq. (23)
    first = torch.tensor(first_steps)[:, None]
    weights = torch.where(torch.arange(average.shape[1]) >= first, share, 0.0)
    return weights / weights.max(1, keepdim=True).values
