"""The lines of a study as Markdown tables: one for each target, means over seeds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from casbo.errors import CasboError
from casbo_molecules.comparison import Column, average, shown

from ..markdown import table
from .study import ARMS, PLAIN


@dataclass(frozen=True)
class Outcome:
    """What all seeds of a target found.

    Arguments:
        target: Its name.
        seeds: Those of which every arm is there.
        lines: Arm -> one line for each of these seeds.
    """

    target: str
    seeds: tuple[int, ...]
    lines: Mapping[str, Sequence[Mapping[str, Any]]]

    def columns(self, arm: str) -> list[Column]:
        """An arm's columns, one for each seed."""
        return [Column.from_json(line["column"]) for line in self.lines[arm]]

    def gains(self, arm: str) -> list[float]:
        """By how many kcal/mol the mean energy of an arm lies above plain sampling's, by seed."""
        pairs = zip(self.columns(arm), self.columns(PLAIN), strict=True)
        return [ours.metrics.vina_mean - plain.metrics.vina_mean for ours, plain in pairs]


def outcomes(
    lines: Iterable[Mapping[str, Any]], arms: Sequence[str] = tuple(ARMS)
) -> list[Outcome]:
    """The targets of which at least one seed is complete.

    Arguments:
        lines: Of one study: targets, seeds and arms differ and nothing else.
        arms: What a seed has to have; `PLAIN` is among them.

    Raises:
        CasboError: If there is none.
    """
    found: dict[str, dict[int, dict[str, Mapping[str, Any]]]] = {}
    for line in lines:
        found.setdefault(line["target"], {}).setdefault(line["seed"], {})[line["arm"]] = line
    whole = {
        target: {seed: has for seed, has in sorted(seeds.items()) if set(arms) <= has.keys()}
        for target, seeds in found.items()
    }
    complete = [
        Outcome(target, tuple(seeds), {arm: [has[arm] for has in seeds.values()] for arm in arms})
        for target, seeds in whole.items()
        if seeds
    ]
    if not complete:
        raise CasboError("Expected lines of every arm for at least one target and seed, got none.")
    return complete


def markdown(found: Sequence[Outcome]) -> str:
    """All tables."""
    return "\n\n".join(_of_target(outcome) for outcome in found)


def _of_target(outcome: Outcome) -> str:
    line = outcome.lines[PLAIN][0]
    arms = list(outcome.lines)
    means = [average(outcome.columns(arm)) for arm in arms]
    seeds = ", ".join(str(seed) for seed in outcome.seeds)
    title = f"**{outcome.target}**, {line['atoms']} heavy atoms, mean over seeds {seeds}:"
    rows = [*shown(means), ["mean against plain, by seed", *(_gains(outcome, a) for a in arms)]]
    return f"{title}\n\n{table(['', *arms], rows)}"


def _gains(outcome: Outcome, arm: str) -> str:
    gains = outcome.gains(arm)
    if arm == PLAIN:
        return ""
    return f"{np.mean(gains):+.2f} ({', '.join(f'{gain:+.2f}' for gain in gains)})"
