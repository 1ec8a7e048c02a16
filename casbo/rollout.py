r"""Rollouts: a diffusion model as a deterministic function of its noise.

A pre-trained model samples by :math:`x_k = m_\phi(x_{k-1}, k) + s_k \epsilon_k`,
:math:`\epsilon_k \sim N(0, I)`, for k = 1..K; the start noise is one more such step.
Steering changes the law of the :math:`\epsilon_k` and nothing else, so all it needs is
the map from the noise ``(N, K, D)`` to N samples. Everything random about a sample is
in that argument: called twice with the same noise, a rollout returns the same samples,
and a row's sample does not depend on the rows beside it.

`casbo.testing.check_rollout` checks a rollout of your own against these rules.
"""

from __future__ import annotations

import dataclasses
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from casbo.errors import RolloutError

if TYPE_CHECKING:
    from casbo.spaces import Space


#: One sample of a model: a tensor, an image, a molecule, whatever its scorers take.
Sample = Any


@dataclass(frozen=True)
class Trajectories:
    """What a rollout returns for N rows of noise.

    Arguments:
        samples: The N final samples: a list, or a tensor or array whose first axis is N.
        predictions: Step index k (0 is the first noise row) -> the N clean samples
            predicted right after that step, for the steps asked for and no others.
    """

    samples: Sequence[Sample]
    predictions: Mapping[int, Sequence[Sample]] = field(default_factory=dict)


class Rollout(ABC):
    """A deterministic, row-independent map from noise to samples.

    A subclass sets ``shape = (K, D)`` (K noise steps of D standard-normal coordinates)
    and writes ``__call__``; the other methods have working defaults.
    """

    shape: tuple[int, int]

    @abstractmethod
    def __call__(self, noise: Tensor, *, predict: Sequence[int] = ()) -> Trajectories:
        """Run the model on given noise.

        Arguments:
            noise: The noise of every step in standard-normal units, with shape (N, K, D).
            predict: The steps k (0 <= k < K) after which the predicted clean samples are wanted.
        """

    def at(self, iteration: int) -> Rollout:
        """The rollout for the candidates of one iteration of a run; usually the same for all.

        A score estimated with random numbers, common to the candidates of an iteration and new in
        the next, needs samples that say which iteration they belong to.
        """
        del iteration
        return self

    def space(self) -> Space:
        """The control space to learn in; a model with symmetries offers a better one."""
        from casbo.spaces import PerStep

        return PerStep()

    def export(
        self, samples: Sequence[Sample], scores: Sequence[Mapping[str, float]], folder: Path
    ) -> list[Path]:
        """Write samples for people into ``folder`` and return the paths written.

        By default tensors and arrays of one shape go to ``samples.safetensors`` (N, ...)
        with their scores in ``scores.json``; anything else goes to ``samples.json``.
        A domain overrides this with its own formats (images, SDF).

        Arguments:
            samples: N samples, best first.
            scores: One mapping of named scores per sample, in the same order.
        """
        folder.mkdir(parents=True, exist_ok=True)
        table = [{name: _finite(value) for name, value in row.items()} for row in scores]
        stacked = _stack(samples)
        if stacked is None:
            rows = [
                {"sample": to_json(sample), "scores": row}
                for sample, row in zip(samples, table, strict=True)
            ]
            return [_write_json(folder / "samples.json", rows)]
        from safetensors.torch import save_file

        path = folder / "samples.safetensors"
        save_file({"samples": stacked}, path)
        return [path, _write_json(folder / "scores.json", table)]

    def identify(self, sample: Sample) -> str | None:
        """What a sample is in one line, such as a SMILES, or None; the ledger keeps it."""
        del sample
        return None

    def picture(self, sample: Sample) -> str | None:
        """A self-contained ``<svg>`` or ``<img src="data:...">`` of one sample, or None."""
        del sample
        return None

    def point(self, sample: Sample) -> Tensor | None:
        """The numbers (F,) in float64 on the CPU that say where a sample lies, or None.

        Samples that are alike are near each other: models of the score, which cost no query, are
        made of them. By default the entries of an array of real numbers.
        """
        return as_point(sample)

    def describe(self) -> dict[str, Any]:
        """What identifies this rollout, as JSON values (written into the run's config)."""
        return {"type": type(self).__qualname__, "shape": list(self.shape)}


class FunctionRollout(Rollout):
    """A plain function of noise (N, K, D) -> N samples, as a rollout.

    Arguments:
        function: Deterministic and row-independent, like any rollout.
        shape: (K, D), the noise it takes per sample.
    """

    def __init__(
        self, function: Callable[[Tensor], Sequence[Sample]], shape: tuple[int, int]
    ) -> None:
        steps, dim = (int(length) for length in shape)
        if steps < 1 or dim < 1:
            raise RolloutError(
                f"Expected shape (K, D) with K >= 1 steps and D >= 1 coordinates, got {shape}."
            )
        self.function = function
        self.shape = (steps, dim)

    def __call__(self, noise: Tensor, *, predict: Sequence[int] = ()) -> Trajectories:
        if predict:
            raise RolloutError(
                f"Expected no steps to predict at, got {tuple(predict)}: a plain function "
                "returns final samples only. Subclass casbo.Rollout to return predictions."
            )
        return Trajectories(samples=self.function(noise))

    def describe(self) -> dict[str, Any]:
        name = getattr(self.function, "__qualname__", type(self.function).__qualname__)
        return {**super().describe(), "function": name}


def as_point(sample: Sample) -> Tensor | None:
    """A sample's numbers (F,) in float64 on the CPU; None when it is no array of real numbers."""
    if isinstance(sample, np.ndarray) and sample.dtype.kind == "f":
        sample = torch.from_numpy(sample)
    if not isinstance(sample, Tensor) or not sample.is_floating_point() or not sample.numel():
        return None
    return sample.detach().to(device="cpu", dtype=torch.float64).flatten()


def _stack(samples: Sequence[Sample]) -> Tensor | None:
    """The samples as one CPU tensor (N, ...), or None where they are not arrays of one shape."""
    if len(samples) == 0:
        return None
    rows = [
        sample.detach().cpu() if isinstance(sample, Tensor) else sample
        for sample in (samples[index] for index in range(len(samples)))
    ]
    if not all(isinstance(row, (Tensor, np.ndarray, np.number, float, int)) for row in rows):
        return None
    tensors = [torch.as_tensor(row) for row in rows]
    if len({(tensor.shape, tensor.dtype) for tensor in tensors}) != 1:
        return None
    return torch.stack(tensors).contiguous()


def to_json(value: object) -> Any:  # noqa: ANN401
    """Any sample as JSON values: arrays as lists, dataclasses as dicts, the rest as text."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {f.name: getattr(value, f.name) for f in dataclasses.fields(value)}
    elif isinstance(value, Tensor):
        value = value.detach().cpu().tolist()
    elif isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if isinstance(value, Mapping):
        return {str(key): to_json(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json(entry) for entry in value]
    if isinstance(value, float):
        return _finite(value)
    return value if value is None or isinstance(value, (bool, int, str)) else str(value)


def _finite(value: float) -> float | None:
    """JSON has no NaN or infinity: None stands for both."""
    return float(value) if np.isfinite(value) else None


def _write_json(path: Path, value: object) -> Path:
    path.write_text(json.dumps(value, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    return path
