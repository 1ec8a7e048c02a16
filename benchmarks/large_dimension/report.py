"""Tables and the figure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from ..figure_file import figure_file
from ..markdown import table
from .curves import Run
from .scores import PROBLEMS
from .searchers import METHODS

#: How far from 1 the norm of noise may be to count as what the model was trained with.
TOLERANCE = 0.05
COLOURS = (
    "#c1440e",
    "#e08a00",
    "#8a2be2",
    "#2f5f8a",
    "#3b8ea5",
    "#5b8c5a",
    "#7a6f9b",
    "#a0628a",
    "#6b7b8c",
    "#b0a060",
    "#404040",
)

Grouped = Mapping[str, Mapping[str, Sequence[Run]]]


def grouped(runs: Sequence[Run]) -> Grouped:
    """Runs by problem and method, in the order of the registries."""
    found: dict[str, dict[str, list[Run]]] = defaultdict(lambda: defaultdict(list))
    for run in runs:
        found[run.problem][run.method].append(run)
    return {
        problem: {name: found[problem][name] for name in METHODS if name in found[problem]}
        for problem in PROBLEMS
        if problem in found
    }


def gains(problem: str, methods: Mapping[str, Sequence[Run]], marks: Sequence[int]) -> str:
    """A Markdown table of one problem after the queries given, means over seeds.

    Gain of the noise asked for, with its norm where that is off, and with every step's noise
    rescaled to the shell.
    """
    heads = [f"{what}, {mark:,}" for mark in marks for what in ("as asked", "on the shell")]
    rows = []
    for name, runs in methods.items():
        cells = []
        for mark in marks:
            gain, norm, shell = (_mean(runs, mark, what) for what in ("gain", "norm", "shell"))
            off = "" if abs(norm - 1) <= TOLERANCE else f" at {norm:.2f}"
            cells += [f"{gain:.1f}{off}", f"{shell:.1f}"]
        inside = name == "subspace"  # whose mean says nothing of the other directions
        last = "-" if inside else f"{_mean(runs, marks[-1], 'mean_gain'):.1f}"
        seconds = float(np.mean([run.seconds for run in runs]))
        rows.append([METHODS[name].title, *cells, last, f"{seconds:.3g}", len(runs)])
    title = f"**{PROBLEMS[problem].title}**"
    return f"{title}\n\n" + table(["method", *heads, "mean sample", "CPU s", "seeds"], rows)


def verdict(methods: Mapping[str, Sequence[Run]], marks: Sequence[int]) -> str:
    """Whether the default keeps its norm and gains as much as every peer does on the shell."""
    if "default" not in methods:
        return ""
    said = []
    for mark in marks:
        own = _mean(methods["default"], mark, "gain")
        norm = _mean(methods["default"], mark, "norm")
        peers = {
            name: _mean(runs, mark, "shell")
            for name, runs in methods.items()
            if METHODS[name].peer
        }
        best = max(peers, key=lambda name: peers[name]) if peers else None
        against = (
            f"; best peer on the shell {METHODS[best].title} {peers[best]:.1f}" if best else ""
        )
        said.append(f"{mark:,} queries: `default` {own:.1f} at norm {norm:.3f}{against}")
    return ". ".join(said) + "."


def draw(runs: Grouped, path: Path) -> Path:
    """Gain against drift, and gain on the shell against queries, one column a problem."""
    order = [name for name in METHODS if any(name in methods for methods in runs.values())]
    colours = dict(zip(order, COLOURS, strict=False))
    with figure_file(path, max(5.0, 3.1 * len(runs)), 5.2, **{"font.size": 8}) as figure:
        axes = figure.subplots(2, len(runs), squeeze=False)
        for column, (problem, methods) in enumerate(runs.items()):
            top, bottom = axes[0, column], axes[1, column]
            for name, found in methods.items():
                own = not METHODS[name].peer
                style = {"color": colours[name], "linewidth": 2.2 if own else 1.1}
                gain, norm, shell = (
                    np.mean([getattr(run, what) for run in found], axis=0)
                    for what in ("gain", "norm", "shell")
                )
                top.plot(norm, gain, label=METHODS[name].title.replace("`", ""), **style)
                queries = found[0].shape[0] * np.arange(len(shell))
                bottom.plot(queries, shell, **style)
            others = [run for name in methods if name != "subspace" for run in methods[name]]
            for one, what in ((top, "gain"), (bottom, "shell")):  # knowing the directions goes off
                one.set_ylim(top=1.3 * max(max(getattr(run, what)) for run in others))
            top.axvspan(1 - TOLERANCE, 1 + TOLERANCE, color="#e8e8e8", zorder=0)
            top.set_xlim(0.7, 2.6)
            top.set_title(PROBLEMS[problem].title, fontsize=8)
            top.set_xlabel("noise norm / sqrt(K D)")
            bottom.set_xlabel("score queries")
        axes[0, 0].set_ylabel("gain / standard deviations")
        axes[1, 0].set_ylabel("gain on the shell")
        handles, labels = _legend(axes[0])
        columns = min(4, len(runs) + 1)
        figure.legend(handles, labels, loc="outside lower center", ncols=columns, frameon=False)
        for one in axes.flat:
            one.spines[["top", "right"]].set_visible(False)
    return path


def _legend(axes: np.ndarray) -> tuple[list[object], list[str]]:
    entries: dict[str, object] = {}
    for one in axes:
        for handle, label in zip(*one.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    return list(entries.values()), list(entries)


def _mean(runs: Sequence[Run], queries: int, name: str) -> float:
    return float(np.mean([run.at(queries, name) for run in runs]))
