"""Contract checks for rollouts and scorers of your own: call them from your tests.

``check_rollout`` refuses what would make steering silently useless: a rollout that is not a
function of its noise, rows that depend on one another, draws from global generators, dead
steps. ``check_scorer`` refuses replies that cannot be read and scores that depend on a
sample's place in its batch.
"""

from __future__ import annotations

import dataclasses
import math
import pickle
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from casbo.errors import RolloutError, ScorerError
from casbo.rollout import FunctionRollout, Rollout, Sample, Trajectories
from casbo.scorer import Reply, Scorer, exception_message, read_replies, scorer_direction


@dataclass(frozen=True)
class RolloutReport:
    """What `check_rollout` found.

    Arguments:
        shape: (K, D).
        largest_row_difference: The largest difference between a sample rolled out alone and
            in a batch; 0 when they agree bit by bit.
        predicts: Whether predicted clean samples are available for cumulative scores.
    """

    shape: tuple[int, int]
    largest_row_difference: float
    predicts: bool


@dataclass(frozen=True)
class ScorerReport:
    """What `check_scorer` found.

    Arguments:
        components: The names of the components.
        failed: How many of the samples failed.
        repeatable: Whether the same samples got the same scores a second time.
        picklable: Whether the scorer can run in worker processes.
    """

    components: tuple[str, ...]
    failed: int
    repeatable: bool
    picklable: bool


def check_rollout(
    rollout: Rollout, *, seed: int = 0, count: int = 4, tolerance: float = 1e-5
) -> RolloutReport:
    """Check a rollout's contract; costs about K + 6 calls with ``count`` rows.

    Arguments:
        rollout: The rollout.
        seed: Seeds the noise it is given.
        count: N, the rows it is given.
        tolerance: How far a sample's numbers may depend on the batch it is in, relative to
            the largest number in it (batched linear algebra rounds differently).

    Raises:
        RolloutError: On the first rule that is broken, with the fix.
    """
    K, D = _checked_shape(rollout)
    noise = _noise(seed, count, K, D)
    given = noise.clone()
    with _watched_generators():
        samples = _samples(rollout, noise)
    if not torch.equal(noise, given):
        raise RolloutError(
            "Expected the noise to be left as it is; the rollout changed it: clone."
        )
    if not _same(samples, _samples(rollout, noise.clone())):
        raise RolloutError(
            "Expected the same samples for the same noise, got others the second time: take every "
            "random number from the noise argument."
        )
    difference = _check_rows(rollout, noise, samples, tolerance)
    _check_steps_alive(rollout, noise, samples, seed)
    predicts = _check_predictions(rollout, noise, samples)
    _check_outputs(rollout, samples)
    return RolloutReport((K, D), difference, predicts)


def check_scorer(scorer: Scorer, samples: Sequence[Sample]) -> ScorerReport:
    """Check a scorer's contract on real samples; calls it 3 times.

    Arguments:
        scorer: The scorer.
        samples: At least 2 samples, some of which it can score.

    Raises:
        ScorerError: On the first rule that is broken, with the fix.
    """
    if len(samples) < 2:
        raise ScorerError(f"Expected at least 2 samples to check with, got {len(samples)}.")
    scorer_direction(scorer, None)
    prepare = getattr(scorer, "prepare", None)
    if callable(prepare):
        prepare()
    rows = list(samples)
    first, second = _replies(scorer, rows), _replies(scorer, rows)
    failed = sum(reply.message is not None for reply in first)
    if failed == len(rows):
        raise ScorerError(
            f"Expected a score for some of {len(rows)} samples, all failed ({first[0].message})."
        )
    repeatable = _same_replies(first, second)
    reversed_back = _replies(scorer, rows[::-1])[::-1]
    if repeatable and not _same_replies(first, reversed_back):
        raise ScorerError(
            "Expected each sample's score to stay with it when the batch is reversed; it does "
            "not: score every sample by itself and return the scores in the samples' order."
        )
    names = {name for reply in first for name in reply.components}
    return ScorerReport(tuple(sorted(names)), failed, repeatable, _picklable(scorer))


def _checked_shape(rollout: Rollout) -> tuple[int, int]:
    shape = getattr(rollout, "shape", None)
    whole = isinstance(shape, tuple) and len(shape) == 2 and all(type(n) is int for n in shape)
    if not whole or min(shape) < 1:  # type: ignore[arg-type]
        raise RolloutError(
            f"Expected rollout.shape to be (K, D), K >= 1 noise steps of D >= 1 coordinates, "
            f"got {shape!r}."
        )
    K, D = shape  # type: ignore[misc]
    return K, D


def _noise(seed: int, count: int, K: int, D: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, K, D, generator=generator, dtype=torch.float64)


def _samples(rollout: Rollout, noise: Tensor) -> list[Sample]:
    trajectories = rollout(noise)
    if not isinstance(trajectories, Trajectories):
        raise RolloutError(
            f"Expected casbo.Trajectories, got {type(trajectories).__name__}: return "
            "Trajectories(samples=...), or wrap a plain function in casbo.FunctionRollout."
        )
    if len(trajectories.samples) != len(noise):
        raise RolloutError(
            f"Expected {len(noise)} samples for {len(noise)} rows of noise, "
            f"got {len(trajectories.samples)}."
        )
    return [trajectories.samples[index] for index in range(len(noise))]


def _check_rows(
    rollout: Rollout, noise: Tensor, samples: Sequence[Sample], tolerance: float
) -> float:
    """The largest difference between rows alone and rows in the batch."""
    largest = 0.0
    for index in range(len(noise)):
        (alone,) = _samples(rollout, noise[index : index + 1])
        difference = distance(alone, samples[index])
        if difference > tolerance:
            raise RolloutError(
                f"Expected row {index} to give the same sample alone as in a batch of "
                f"{len(noise)}, got a difference of {difference:.3g}: keep rows apart (no batch "
                "statistics, no randomness drawn per batch)."
            )
        largest = max(largest, difference)
    return largest


def _check_steps_alive(
    rollout: Rollout, noise: Tensor, samples: Sequence[Sample], seed: int
) -> None:
    fresh = _noise(seed + 1, *noise.shape)
    for step in range(noise.shape[1]):
        changed = noise.clone()
        changed[:, step] = fresh[:, step]
        if _same(samples, _samples(rollout, changed)):
            raise RolloutError(
                f"Expected every noise step to matter; step {step} of {noise.shape[1]} changes no "
                "sample: leave it out of shape (the last DDIM step of some schedulers and "
                "eta = 0 take no noise)."
            )


def _check_predictions(rollout: Rollout, noise: Tensor, samples: Sequence[Sample]) -> bool:
    """Whether the rollout predicts clean samples; what it predicts must fit."""
    if isinstance(rollout, FunctionRollout):
        return False
    step = noise.shape[1] // 2
    try:
        trajectories = rollout(noise, predict=(step,))
    except RolloutError:
        return False
    predicted = trajectories.predictions.get(step, ())
    if len(predicted) != len(noise):
        raise RolloutError(
            f"Expected {len(noise)} predicted samples at step {step}, got {len(predicted)}: return "
            "them, or raise RolloutError when asked for predictions."
        )
    final = [trajectories.samples[index] for index in range(len(noise))]
    if not _same(samples, final):
        raise RolloutError("Expected the same final samples whether or not predictions are asked.")
    return True


def _check_outputs(rollout: Rollout, samples: Sequence[Sample]) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        scores = [{"score": float(index)} for index in range(len(samples))]
        for path in rollout.export(samples, scores, folder):
            if not path.is_file() or folder.resolve() not in path.resolve().parents:
                raise RolloutError(f"Expected export to write inside its folder, got {path}.")
    picture = rollout.picture(samples[0])
    if picture is not None and not isinstance(picture, str):
        raise RolloutError(f"Expected picture to return text or None, got {type(picture)}.")


def _replies(scorer: Scorer, samples: Sequence[Sample]) -> list[Reply]:
    try:
        return read_replies(scorer(list(samples)), len(samples))
    except ScorerError:
        raise
    except Exception as error:
        raise ScorerError(
            f"Expected scores for {len(samples)} samples, the scorer raised "
            f"{exception_message(error)}."
        ) from error


def _same_replies(left: Sequence[Reply], right: Sequence[Reply]) -> bool:
    """Equal to rounding, NaN equal to NaN."""
    return all(
        a.components.keys() == b.components.keys()
        and all(
            math.isclose(a.components[name], b.components[name], rel_tol=1e-4, abs_tol=1e-6)
            or (math.isnan(a.components[name]) and math.isnan(b.components[name]))
            for name in a.components
        )
        for a, b in zip(left, right, strict=True)
    )


def _picklable(scorer: Scorer) -> bool:
    try:
        pickle.loads(pickle.dumps(scorer))
    except Exception:  # noqa: BLE001 - an object's own __reduce__ may raise anything
        return False
    return True


@contextmanager
def _watched_generators() -> Iterator[None]:
    """Refuse draws from the global generators of torch and numpy."""
    before = torch.random.get_rng_state()
    numpy_before = np.random.get_state(legacy=False)  # noqa: NPY002 - read, not drawn from
    yield
    numpy_after = np.random.get_state(legacy=False)  # noqa: NPY002
    drawn = not torch.equal(before, torch.random.get_rng_state())
    if drawn or not _same(numpy_before, numpy_after):
        raise RolloutError(
            f"Expected no draw from a global generator; the rollout drew from "
            f"{'torch' if drawn else 'numpy'}'s: take every random number from the noise argument."
        )


def _same(left: object, right: object) -> bool:
    return distance(left, right) == 0.0


def distance(left: object, right: object) -> float:
    """How far two samples are apart: 0 = bit by bit equal, inf = not comparable.

    Numbers and pictures are compared relative to the largest in the pair; containers and dataclasses by
    their parts; anything else by equality, else by its pickled bytes.
    """
    if type(left) is not type(right):
        return math.inf
    if isinstance(left, (Tensor, np.ndarray, np.generic, int, float)):
        return _array_distance(_array(left), _array(right))
    if hasattr(left, "__array_interface__"):  # pictures of PIL and the like
        return _array_distance(np.asarray(left), np.asarray(right))
    parts, others = _parts(left), _parts(right)
    if parts is not None and others is not None:
        if parts.keys() != others.keys():
            return math.inf
        return max((distance(parts[key], others[key]) for key in parts), default=0.0)
    return 0.0 if left == right or _pickled_equal(left, right) else math.inf


def _parts(value: object) -> Mapping[object, object] | None:
    """The parts of a container or dataclass by key, or None for anything else."""
    if isinstance(value, Mapping):
        return value
    if isinstance(value, (list, tuple)):
        return dict(enumerate(value))
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    return None


def _array(value: object) -> NDArray[Any]:
    if not isinstance(value, Tensor):
        return np.asarray(value)
    own = value.detach().cpu()
    return np.asarray((own.double() if own.is_floating_point() else own).numpy())


def _array_distance(a: NDArray[Any], b: NDArray[Any]) -> float:
    if a.shape != b.shape or a.dtype != b.dtype:
        return math.inf
    inexact = np.issubdtype(a.dtype, np.inexact)
    if np.array_equal(a, b, equal_nan=inexact):
        return 0.0
    comparable = np.issubdtype(a.dtype, np.number)
    if not comparable or not (np.isfinite(a) == np.isfinite(b)).all():
        return math.inf
    scale = max(float(np.nanmax(np.abs(a))), float(np.nanmax(np.abs(b))), 1e-300)
    return float(np.nanmax(np.abs(a.astype(float) - b.astype(float)))) / scale


def _pickled_equal(left: object, right: object) -> bool:
    try:
        return pickle.dumps(left) == pickle.dumps(right)
    except Exception:  # noqa: BLE001
        return False
