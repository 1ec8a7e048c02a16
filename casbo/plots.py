"""The report's figures, as SVG in data URIs: no script, no network, no fonts to find."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from casbo.records import Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

BLUE, ORANGE, GREEN, RED, GREY = "#2f6fb0", "#d9792b", "#3c8d5a", "#c0443c", "#8a93a0"

_STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 9.5,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#9aa3ae",
    "axes.labelcolor": "#3d4652",
    "axes.titlesize": 10.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.grid": True,
    "grid.color": "#e6e9ed",
    "grid.linewidth": 0.8,
    "xtick.color": "#5b6572",
    "ytick.color": "#5b6572",
    "legend.frameon": False,
    "legend.fontsize": 8.5,
    "svg.fonttype": "path",
    "svg.hashsalt": "casbo",
}

_MARGINS = (0.8, 0.12, 0.32, 0.5)  # inches around the axes: left, right, top, bottom


def score_curve(records: Sequence[Record], direction: str) -> str:
    """Best, median and the 10-90 % band of the scores, over queries."""

    def draw(ax: Axes) -> None:
        queries = [record.queries for record in records]
        low, quarter, median, three_quarters, high = _levels(records)
        ax.fill_between(queries, low, high, color=BLUE, alpha=0.14, lw=0, label="10-90 %")
        ax.fill_between(queries, quarter, three_quarters, color=BLUE, alpha=0.22, lw=0)
        ax.plot(queries, median, color=BLUE, lw=1.8, label="median of the iteration")
        best = [record.best for record in records]
        ax.step(queries, best, where="post", color=ORANGE, lw=1.8, label="best so far")
        ax.set_xlabel("score queries")
        ax.set_ylabel(f"score ({direction}d)")
        ax.legend(loc="best")

    return _figure(draw, (9.0, 3.6))


def component_curve(records: Sequence[Record], name: str) -> str:
    """The mean of one component, over queries."""

    def draw(ax: Axes) -> None:
        points = [(r.queries, r.components[name]) for r in records if name in r.components]
        colour = GREEN if name.startswith("heldout.") else BLUE
        ax.plot(*np.array(points).T.reshape(2, -1), color=colour, lw=1.6, marker="o", ms=2.2)
        ax.set_title(_plain(name))
        ax.set_xlabel("score queries")

    return _figure(draw, (4.4, 2.5))


def failed_share(records: Sequence[Record]) -> str:
    """The share of failed queries in each iteration and overall."""

    def draw(ax: Axes) -> None:
        queries = np.array([record.queries for record in records], dtype=float)
        failed = np.array([record.failed for record in records], dtype=float)
        own = np.diff(failed, prepend=0) / np.maximum(1, np.diff(queries, prepend=0))
        width = 0.8 * float(queries[0])
        ax.bar(queries, 100 * own, width=width, color=RED, alpha=0.35, label="iteration")
        ax.plot(queries, 100 * failed / queries, color=RED, lw=1.6, label="so far")
        ax.set_ylim(0, max(5.0, 105 * float(own.max())))
        ax.set_title("failed queries, %")
        ax.set_xlabel("score queries")
        ax.legend(loc="best")

    return _figure(draw, (4.4, 2.5))


def divergence(records: Sequence[Record]) -> str:
    """KL divergence to the prior over iterations."""

    def draw(ax: Axes) -> None:
        ax.plot([r.iteration + 1 for r in records], [r.kl for r in records], color=BLUE, lw=1.6)
        ax.set_title("KL to the prior, nats")
        ax.set_xlabel("iteration")
        ax.set_ylim(bottom=0)

    return _figure(draw, (4.4, 2.5))


def noise_norm(records: Sequence[Record]) -> str:
    """Root mean square of the noise over iterations; 1 in the prior."""

    def draw(ax: Axes) -> None:
        ax.axhline(1.0, color=GREY, lw=1, ls="--")
        iterations = [record.iteration + 1 for record in records]
        ax.plot(iterations, [record.noise_norm for record in records], color=BLUE, lw=1.6)
        ax.set_title("noise, root mean square (prior: 1)")
        ax.set_xlabel("iteration")

    return _figure(draw, (4.4, 2.5))


def spectrum(record: Record) -> str:
    """The covariance's eigenvalues per learned Gaussian, after an iteration."""
    from matplotlib.ticker import MaxNLocator

    def draw(ax: Axes) -> None:
        low, quarter, median, three_quarters, high = np.array(record.spectrum).T
        place = np.arange(1, len(median) + 1)
        ax.axhline(1.0, color=GREY, lw=1, ls="--")
        ax.vlines(place, low, high, color=BLUE, alpha=0.4, lw=2)
        ax.vlines(place, quarter, three_quarters, color=BLUE, lw=5)
        ax.plot(place, median, "o", color="white", mec=BLUE, ms=4)
        ax.set_yscale("log")
        ax.set_title("eigenvalues of Sigma per Gaussian, now")
        ax.set_xlabel("learned Gaussian")
        ax.set_xlim(0.4, len(median) + 0.6)
        ax.xaxis.set_major_locator(MaxNLocator(integer=True))

    return _figure(draw, (4.4, 2.5))


def spectrum_course(records: Sequence[Record]) -> str:
    """Smallest, median and largest eigenvalue of all Gaussians over iterations."""

    def draw(ax: Axes) -> None:
        iterations = [record.iteration + 1 for record in records]
        levels = [np.array(record.spectrum) for record in records]
        ax.axhline(1.0, color=GREY, lw=1, ls="--")
        low, high = (
            [level[:, 0].min() for level in levels],
            [level[:, -1].max() for level in levels],
        )
        ax.fill_between(iterations, low, high, color=BLUE, alpha=0.14, lw=0)
        ax.plot(iterations, [np.median(level[:, 2]) for level in levels], color=BLUE, lw=1.6)
        ax.set_yscale("log")
        ax.set_title("eigenvalues of Sigma, over iterations")
        ax.set_xlabel("iteration")

    return _figure(draw, (4.4, 2.5))


def _levels(records: Sequence[Record]) -> Any:  # noqa: ANN401 - rows of quantiles
    return np.array([record.quantiles for record in records], dtype=float).T


def _plain(text: str) -> str:
    """matplotlib reads $...$ as mathematics; a name is just text."""
    return text.replace("$", r"\$")


def _figure(draw: Callable[[Axes], None], size: tuple[float, float]) -> str:
    """A figure as the data URI of an SVG."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    width, height = size
    left, right, top, bottom = _MARGINS
    with mpl.rc_context(_STYLE):
        figure: Figure = Figure(figsize=size)
        draw(figure.add_subplot())
        # a layout engine draws every figure twice to find these
        figure.subplots_adjust(left / width, bottom / height, 1 - right / width, 1 - top / height)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None}, transparent=True)
    return "data:image/svg+xml;base64," + base64.b64encode(buffer.getvalue()).decode()


def has_numbers(values: Sequence[float]) -> bool:
    """Whether there is anything to plot."""
    return any(math.isfinite(value) for value in values)
