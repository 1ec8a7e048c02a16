"""Tables and the figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ..figure_file import figure_file
from ..markdown import table
from ..optimizers.methods import METHODS
from .cases import Case
from .measurement import PEERS

Measured = Sequence[tuple[Case, Mapping[str, Any]]]


def cost_table(measured: Measured) -> str:
    """Milliseconds of the engine without drawing, beside both limits; memory."""
    head = [
        *("size", "ask + tell", "of that drawing", "cheapest", "ratio", "usual", "ratio"),
        *("peak MiB", "state", "noise (N, K, D)"),
    ]
    rows = []
    for case, found in measured:
        work = found["engine"] - found["drawing"]
        limits = [
            cell
            for name in ("cheapest", "usual")
            for cell in (f"{found[name] * 1e3:.3g}", f"{work / found[name]:.2f}")
        ]
        times = [f"{found[name] * 1e3:.3g}" for name in ("engine", "drawing")]
        memory = [found["peak"], found["state"], case.population_bytes / 2**20]
        rows.append([case.title, *times, *limits, *(f"{size:,.0f}" for size in memory)])
    return table(head, rows)


def peer_table(measured: Measured) -> str:
    """Seconds and MiB of every peer that keeps a covariance, and the engine's."""
    rows = []
    for case, found in measured:
        own = _seconds_and_memory({"seconds": found["engine"], "peak": found["peak"]})
        theirs = [_seconds_and_memory(found["peers"][name]) for name in PEERS]
        rows.append([case.title, own, *theirs])
    return table(["size", "casbo", *(METHODS[name].title for name in PEERS)], rows)


def draw(growth: Mapping[str, Measured], path: Path) -> Path:
    """Milliseconds against D, K, N and rank, of the engine and of the cheapest linear algebra."""
    colours = {"full": "#c1440e", "low_rank": "#2f5f8a"}
    names = {"full": "Full", "low_rank": "LowRank"}
    fields = {"D": "dim", "K": "steps", "N": "population", "rank": "rank"}
    with figure_file(path, 9.6, 3.0, **{"font.size": 8}) as figure:
        for axes, (name, measured) in zip(
            figure.subplots(1, len(growth)), growth.items(), strict=True
        ):
            for kind, colour in colours.items():
                rows = [(case, found) for case, found in measured if case.covariance == kind]
                if not rows:
                    continue
                sizes = [getattr(case, fields[name]) for case, _ in rows]
                work = [1e3 * (found["engine"] - found["drawing"]) for _, found in rows]
                bare = [1e3 * found["cheapest"] for _, found in rows]
                fixed = rows[0][0]
                at = {"D": fixed.dim, "K": fixed.steps, "N": fixed.population}
                label = f"{names[kind]}, " + ", ".join(
                    f"{key} = {value:,}" for key, value in at.items() if key != name
                )
                axes.plot(sizes, work, "o-", color=colour, markersize=3, label=label)
                axes.plot(sizes, bare, "--", color=colour, linewidth=1)
            axes.set_xscale("log", base=2)
            axes.set_yscale("log")
            axes.set_xlabel(name)
            axes.legend(frameon=False, fontsize=6)
            axes.spines[["top", "right"]].set_visible(False)
        figure.axes[0].set_ylabel("ms an iteration (dashed: bare linear algebra)")
    return path


def _seconds_and_memory(found: Mapping[str, Any]) -> str:
    if "infeasible" in found:
        return f"infeasible ({found['infeasible']})"
    if "over" in found:
        return f"> {found['over']:.0f} s"
    return f"{found['seconds']:.3g} s, {found['peak']:,.0f} MiB"
