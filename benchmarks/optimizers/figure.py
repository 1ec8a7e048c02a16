"""The runtime distribution: which share of all targets is reached after how many queries."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..figure_file import figure_file
from .curves import Study
from .factors import envelope, is_peer, queries_to, targets_of
from .methods import title

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: The least distance of two labels, as a share of the figure's height.
LABEL_GAP = 0.042
OWN_COLOURS = ("#c1440e", "#e08a00", "#8a2be2")
PEER_COLOURS = ("#2f5f8a", "#3b8ea5", "#5b8c5a", "#7a6f9b", "#a0628a", "#6b7b8c")


def runtime_distribution(study: Study) -> dict[str, np.ndarray]:
    """Method -> share (T,) of the (problem, seed, target) triples it has reached by iteration.

    A problem's targets are those of the virtual best peer's median curve; problems that a method
    did not run count as not reached.
    """
    iterations = study.queries // study.population
    spent = study.population * np.arange(1, iterations + 1)
    reached = {name: np.zeros(iterations) for name in study.methods}
    total = 0.0
    for problem, curves in study.curves.items():
        peers = [curve for name, curve in study.medians(problem).items() if is_peer(name)]
        if not peers:
            continue
        targets = targets_of(envelope(peers), study.queries)
        total += len(targets.costs)
        for name, rows in curves.items():
            needed = np.array([queries_to(row, targets.costs, study.queries) for row in rows])
            reached[name] += (needed[..., None] <= spent).mean(0).sum(0)
    return {name: counts / max(total, 1) for name, counts in reached.items()}


def draw(study: Study, path: Path) -> Path:
    """Draw all methods' runtime distributions, each labelled at its end; the suffix is the format."""
    shares = runtime_distribution(study)
    order = sorted(shares, key=lambda name: shares[name][-1])
    queries = study.population * np.arange(1, study.queries // study.population + 1)
    with figure_file(path, 7.5, 4.6) as figure:
        axes = figure.subplots()
        colours = _colours(order)
        for name in order:
            width = 1.2 if is_peer(name) else 2.4
            axes.step(queries, shares[name], where="post", color=colours[name], linewidth=width)
        _label(axes, order, shares, colours, study.queries)
        axes.set_xscale("log")
        axes.set_xlim(queries[0], study.queries)
        axes.set_ylim(0, 1)
        axes.spines[["top", "right"]].set_visible(False)
        axes.set_xlabel("score queries")
        axes.set_ylabel("share of targets reached")
    return path


def _colours(order: list[str]) -> dict[str, str]:
    own, peers = iter(OWN_COLOURS * len(order)), iter(PEER_COLOURS * len(order))
    return {name: next(peers if is_peer(name) else own) for name in reversed(order)}


def _label(
    axes: Axes,
    order: list[str],
    shares: dict[str, np.ndarray],
    colours: dict[str, str],
    queries: int,
) -> None:
    """Write names right of the curves' ends, pushed up where two would touch."""
    place = -LABEL_GAP
    for name in order:
        place = max(place + LABEL_GAP, float(shares[name][-1]))
        axes.annotate(
            title(name).replace("`", ""),
            xy=(queries, shares[name][-1]),
            xytext=(1.03, place),
            textcoords="axes fraction",
            color=colours[name],
            fontsize="small",
            va="center",
            arrowprops={"arrowstyle": "-", "color": colours[name], "linewidth": 0.4},
        )
