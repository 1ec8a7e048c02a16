"""The minimum of a quadratic inside a ball: the trust-region subproblem.

Solved by one eigen-decomposition (Nocedal and Wright, Numerical Optimization, section 4.3), which
is why it lives beside the covariances.
"""

from __future__ import annotations

import torch
from torch import Tensor

from casbo.covariance.algebra import symmetric

BISECTIONS = 60
#: Shift added to a Hessian that is singular, relative to its largest eigenvalue.
SMALLEST_SHIFT = 1e-14
TINY = 1e-300
#: Curvature and slope, relative to the largest, below which a direction counts as unknown.
FLAT = 1e-8


def minimum_in_ball(gradient: Tensor, hessian: Tensor, radius: float) -> Tensor:
    """The v (C,) with |v| <= radius that minimises gradient . v + v . hessian v / 2.

    In the hard case, where the gradient has no part along the most negative curvature, the point
    returned lies inside the ball.
    """
    values, vectors = torch.linalg.eigh(symmetric(hessian))
    along = vectors.T @ gradient
    largest = float(values.abs().max()) + TINY
    # where a model of few points is flat, what is left of its slope is rounding
    flat = (values.abs() <= FLAT * largest) & (along.abs() <= FLAT * gradient.norm())
    along = torch.where(flat, 0.0, along)

    def point(shift: float) -> Tensor:
        found: Tensor = -along / (values + shift)
        return found

    shift = max(0.0, -float(values[0])) + SMALLEST_SHIFT * largest
    if float(point(shift).norm()) > radius:
        low, high = shift, shift + float(along.norm()) / radius + largest
        for _ in range(BISECTIONS):
            middle = (low * high) ** 0.5
            if float(point(middle).norm()) > radius:
                low = middle
            else:
                high = middle
        shift = high
    minimum: Tensor = vectors @ point(shift)
    return minimum
