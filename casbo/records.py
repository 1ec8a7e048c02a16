"""Records: what one iteration of a run looked like, in numbers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from casbo.ledger import Entry, Tally

if TYPE_CHECKING:
    from casbo.controls import Controls

#: The quantiles of an iteration's scores that a record keeps.
QUANTILES = (0.1, 0.25, 0.5, 0.75, 0.9)


@dataclass(frozen=True)
class Record:
    """One iteration; scores are the objective's values in the user's own direction.

    Arguments:
        iteration: Its number, from 0.
        queries: Score queries completed so far, this iteration's included.
        failed: How many of all these failed.
        best: The best score of a final sample so far; NaN while there is none.
        mean: The mean score of this iteration's final samples that did not fail.
        quantiles: Their quantiles at `QUANTILES`.
        components: The mean of each component over this iteration's final samples;
            those of a held-out scorer are named ``heldout.*``; and what monitors measured.
        kl: KL divergence of the controls' noise from N(0, I), in nats.
        noise_norm: Root mean square of the iteration's noise: 1 in the prior.
        spectrum: Per learned Gaussian the minimum, quartiles and maximum of the
            eigenvalues of its covariance.
        seconds: Wall-clock time of the iteration.
    """

    iteration: int
    queries: int
    failed: int
    best: float
    mean: float
    quantiles: tuple[float, ...] = ()
    components: Mapping[str, float] = field(default_factory=dict)
    kl: float = math.nan
    noise_norm: float = math.nan
    spectrum: tuple[tuple[float, ...], ...] = ()
    seconds: float = 0.0

    def to_json(self) -> dict[str, Any]:
        """As JSON values, None standing for NaN."""
        values = {f.name: getattr(self, f.name) for f in dataclasses.fields(self)}
        return {name: _encode(value) for name, value in values.items()}

    @classmethod
    def from_json(cls, values: Mapping[str, Any]) -> Record:
        """The inverse of `to_json`."""
        known = {f.name for f in dataclasses.fields(cls)}
        return cls(**{name: _decode(value) for name, value in values.items() if name in known})


def _encode(value: Any) -> Any:  # noqa: ANN401
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: _encode(entry) for name, entry in value.items()}
    if isinstance(value, tuple):
        return [_encode(entry) for entry in value]
    return value


def _decode(value: Any) -> Any:  # noqa: ANN401
    if value is None:
        return math.nan
    if isinstance(value, Mapping):
        return {name: _decode(entry) for name, entry in value.items()}
    if isinstance(value, list):
        return tuple(_decode(entry) for entry in value)
    return value


def summarise(
    *,
    iteration: int,
    tally: Tally,
    best: float,
    finals: Sequence[Entry],
    heldout: Sequence[Entry],
    measured: Mapping[str, float],
    noise: Tensor,
    controls: Controls,
    seconds: float,
) -> Record:
    """The record of an iteration.

    Arguments:
        iteration: Its number.
        tally: Queries up to and including it.
        best: The best score so far.
        finals: The entries of its N final samples.
        heldout: The entries of the held-out scorer.
        measured: What monitors say of its final samples; one that is named like a component is
            recorded as ``monitor.NAME``.
        noise: Its noise, with shape (N, K, D).
        controls: The controls after it.
        seconds: Wall-clock time.
    """
    scores = np.array([entry.score for entry in finals if not entry.failed])
    levels = np.quantile(scores, QUANTILES) if len(scores) else [math.nan] * len(QUANTILES)
    layout = controls.space.layout(*controls.shape)
    repeats = layout.draws // layout.groups  # a tied space draws its one Gaussian K times
    scored = component_means(finals)
    scored |= {f"heldout.{name}": mean for name, mean in component_means(heldout).items()}
    watched = {f"monitor.{k}" if k in scored else k: value for k, value in measured.items()}
    return Record(
        iteration=iteration,
        queries=tally.completed,
        failed=tally.failed,
        best=best,
        mean=float(scores.mean()) if len(scores) else math.nan,
        quantiles=tuple(float(level) for level in levels),
        components={**scored, **watched},
        kl=float(controls.kl_to_prior().sum()) * repeats,
        noise_norm=float(noise.double().square().mean().sqrt()),
        spectrum=_spectrum_summary(controls),
        seconds=seconds,
    )


def component_means(entries: Sequence[Entry]) -> dict[str, float]:
    """The mean of each component over the entries that have it; absent where none has."""
    names = sorted({name for entry in entries for name in entry.components})
    columns = {
        name: [entry.components[name] for entry in entries if name in entry.components]
        for name in names
    }
    finite = {name: [v for v in column if not math.isnan(v)] for name, column in columns.items()}
    return {name: float(np.mean(column)) for name, column in finite.items() if column}


def _spectrum_summary(controls: Controls) -> tuple[tuple[float, ...], ...]:
    """Per Gaussian: minimum, quartiles and maximum of its covariance's eigenvalues."""
    eigenvalues = controls.spectrum().detach().double().cpu().numpy()
    levels = np.quantile(eigenvalues, (0.0, 0.25, 0.5, 0.75, 1.0), axis=1)
    return tuple(tuple(float(level) for level in row) for row in levels.T)
