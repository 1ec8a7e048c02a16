"""A population's samples, rolled out when they are first needed and never twice."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from casbo.errors import RolloutError
from casbo.ledger import FINAL, Slot
from casbo.rollout import Rollout, Sample, Trajectories, as_point

#: How many of a population's numbers identify it.
SKETCH = 16


def sketch(noise: Tensor) -> list[float]:
    """Some numbers of a population's noise (N, K, D), spread evenly, that tell it from another."""
    flat = noise.detach().reshape(-1)
    places = torch.linspace(0, len(flat) - 1, min(SKETCH, len(flat)), dtype=torch.float64)
    return [float(value) for value in flat[places.long().to(flat.device)]]


class Population:
    """N candidates of one rollout call.

    The whole population is rolled out even when only some samples are missing: then a
    resumed run works on the very batches of the unbroken one, and a model whose last
    bits depend on the batch size gives the same samples.

    Arguments:
        rollout: The model.
        noise: The candidates' noise, with shape (N, K, D).
        score_steps: The steps whose predicted clean samples are scored besides the final ones.
        predict: The steps whose predicted clean samples are wanted, those scored among them; by
            default these alone.
        first: The number of the first candidate.
    """

    def __init__(
        self,
        rollout: Rollout,
        noise: Tensor,
        score_steps: Sequence[int] = (),
        predict: Sequence[int] | None = None,
        first: int = 0,
    ) -> None:
        self._rollout = rollout
        self._noise = noise
        self._scored = tuple(score_steps)
        self._steps = self._scored if predict is None else tuple(predict)
        self._numbers = range(first, first + len(noise))
        self._made: dict[Slot, Sample] = {}

    @property
    def slots(self) -> list[Slot]:
        """(candidate number, step) of every sample that is scored."""
        return [(n, step) for n in self._numbers for step in (*self._scored, FINAL)]

    @property
    def numbers(self) -> range:
        """The candidates' numbers."""
        return self._numbers

    @property
    def made(self) -> Mapping[Slot, Sample]:
        """The samples rolled out so far: all or none."""
        return self._made

    def samples(self) -> Mapping[Slot, Sample]:
        """The samples by slot.

        Raises:
            RolloutError: When the rollout returns another number of samples.
        """
        if not self._made:
            trajectories = self._rollout(self._noise, predict=self._steps)
            self._made = self._by_slot(trajectories)
        return self._made

    def points(self, largest: int) -> Tensor | None:
        """The samples as points of R^F, if they are arrays themselves, for few F.

        With scores at the end only, of shape (N, F); else (N, K, F), NaN at steps without one.
        """
        made = self.samples()
        first = as_point(made[(self._numbers[0], FINAL)])
        if first is None or len(first) > largest:
            return None
        N, K = self._noise.shape[:2]
        points = torch.full((N, K, len(first)), torch.nan, dtype=torch.float64)
        for (number, step), sample in made.items():
            point = as_point(sample)
            if point is None or len(point) != len(first):
                return None
            points[number - self._numbers[0], K - 1 if step == FINAL else step] = point
        return points if self._steps else points[:, -1]

    def points_at(self, steps: Sequence[int]) -> Tensor:
        """The samples at S steps as points, by the rollout's `Rollout.point`: (N, S, F).

        NaN for the samples that are none.

        Raises:
            RolloutError: When no sample is a point, or they differ in length.
        """
        made = self.samples()
        points = [[self._rollout.point(made[(n, step)]) for step in steps] for n in self._numbers]
        lengths = {len(point) for row in points for point in row if point is not None}
        if len(lengths) != 1:
            raise RolloutError(
                f"Expected samples as points of one length for a stand-in, got lengths "
                f"{sorted(lengths)}: override Rollout.point to say which numbers describe a "
                f"{type(made[(self._numbers[0], steps[-1])]).__name__}."
            )
        nothing = torch.full((lengths.pop(),), torch.nan, dtype=torch.float64)
        return torch.stack([torch.stack([nothing if p is None else p for p in r]) for r in points])

    def _by_slot(self, trajectories: Trajectories) -> dict[Slot, Sample]:
        if not isinstance(trajectories, Trajectories):
            raise RolloutError(
                "Expected the rollout to return casbo.Trajectories, got "
                f"{type(trajectories).__name__}: wrap a plain function in casbo.FunctionRollout."
            )
        rows = {FINAL: trajectories.samples}
        for step in self._steps:
            if step not in trajectories.predictions:
                raise RolloutError(
                    f"Expected predicted clean samples at steps {self._steps}, got them at "
                    f"{sorted(trajectories.predictions)}."
                )
            rows[step] = trajectories.predictions[step]
        N = len(self._noise)
        for step, samples in rows.items():
            if len(samples) != N:
                name = "final samples" if step == FINAL else f"predicted samples of step {step}"
                raise RolloutError(f"Expected {N} {name}, one per noise row, got {len(samples)}.")
        return {
            (number, step): samples[index]
            for step, samples in rows.items()
            for index, number in enumerate(self._numbers)
        }
