r"""Where noise is kept on its shell: how much of the scores' variance does the search cause itself?

As the mean grows, candidates turn towards it and differ less from each other. What of the scores'
variance falls with that is signal; what stays is the score's own noise, or structure too fine for
the search. See docs/method.md, equations (48) and (49).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from casbo.rules.base import TINY, State
from casbo.rules.remembered import Remembered

#: All variance is signal before it is measured; noise counts as zero in this many populations.
PRIOR_POPULATIONS = 0.5


@dataclass(frozen=True)
class SignalShare(Remembered):
    """Sums over the populations so far, of their explored share e and of the scores' variance V.

    All are float64 scalars on the CPU.

    Arguments:
        count: Populations.
        explored: Sum of e.
        squared: Sum of e^2.
        variance: Sum of V.
        product: Sum of e V.
    """

    count: Tensor
    explored: Tensor
    squared: Tensor
    variance: Tensor
    product: Tensor

    prefix: ClassVar[str] = "share"

    def updated(self, explored: float, scores: Tensor) -> SignalShare:
        """With one more population.

        Arguments:
            explored: e.
            scores: Of the candidates that did not fail, with shape (n,); fewer than two tell
                nothing.
        """
        if len(scores) < 2:
            return self
        variance = scores.var()
        return SignalShare(
            self.count + 1,
            self.explored + explored,
            self.squared + explored**2,
            self.variance + variance,
            self.product + explored * variance,
        )

    def at(self, explored: float) -> float:
        """The share of signal, in (0, 1], at the explored share e: Eqs. (48) and (49)."""
        count = self.count + PRIOR_POPULATIONS
        determinant = self.squared * count - self.explored.square()
        slope = count * self.product - self.explored * self.variance
        constant = self.squared * self.variance - self.explored * self.product
        if float(determinant) <= 0 or float(constant) <= 0:
            return 1.0
        signal = slope.clamp_min(TINY) * explored
        return float(signal / (signal + constant))


def explored_share(state: State) -> float:
    """e = sigma^2 / (sigma^2 + |mu|^2 / (G m)): what of a candidate's noise is drawn, not the mean."""
    drawn = float(state.memory["step.sigma"]) ** 2
    return drawn / (drawn + float(state.mean.square().mean()))
