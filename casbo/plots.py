"""The report's figures, as SVG in data URIs: no script, no network."""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from casbo.charts import Band, Bars, Chart, Dots, Line, Logarithmic, Ranges, Rule
from casbo.records import Record

BLUE, ORANGE, GREEN, RED, GREY = "#2f6fb0", "#d9792b", "#3c8d5a", "#c0443c", "#8a93a0"


def score_curve(records: Sequence[Record], direction: str) -> str:
    """Best, median and the 10-90 % band of the scores, over queries."""
    queries = _queries(records)
    low, quarter, median, three_quarters, high = _levels(records)
    best = [record.best for record in records]
    return _uri(
        Chart(
            [
                Band(queries, low, high, colour=BLUE, opacity=0.14, label="10-90 %"),
                Band(queries, quarter, three_quarters, colour=BLUE, opacity=0.22),
                Line(queries, median, 1.8, colour=BLUE, label="median of the iteration"),
                Line(queries, best, 1.8, steps=True, colour=ORANGE, label="best so far"),
            ],
            width=648,
            height=260,
            x_label="score queries",
            y_label=f"score ({direction}d)",
        )
    )


def component_curve(records: Sequence[Record], name: str) -> str:
    """The mean of one component, over queries."""
    known = [record for record in records if name in record.components]
    queries, means = _queries(known), [record.components[name] for record in known]
    colour = GREEN if name.startswith("heldout.") else BLUE
    marks = [Line(queries, means, colour=colour), Dots(queries, means, colour=colour)]
    return _uri(Chart(marks, title=name, x_label="score queries"))


def failed_share(records: Sequence[Record]) -> str:
    """The share of failed queries in each iteration and overall."""
    queries = np.array(_queries(records), dtype=float)
    failed = np.array([record.failed for record in records], dtype=float)
    own = 100 * np.diff(failed, prepend=0) / np.maximum(1, np.diff(queries, prepend=0))
    so_far = 100 * failed / np.maximum(1, queries)
    width = 0.8 * float(queries[0])
    marks = [
        Bars(queries.tolist(), own.tolist(), width, colour=RED, opacity=0.35, label="iteration"),
        Line(queries.tolist(), so_far.tolist(), colour=RED, label="so far"),
    ]
    highest = max(5.0, 1.05 * float(own.max()))
    title = "failed queries, %"
    return _uri(Chart(marks, title=title, x_label="score queries", y_low=0.0, y_high=highest))


def divergence(records: Sequence[Record]) -> str:
    """KL divergence to the prior over iterations."""
    curve = Line(_iterations(records), [record.kl for record in records], colour=BLUE)
    title = "KL to the prior, nats"
    return _uri(Chart([curve], title=title, x_label="iteration", y_low=0.0, whole=True))


def noise_norm(records: Sequence[Record]) -> str:
    """Root mean square of the noise over iterations; 1 in the prior."""
    norms = [record.noise_norm for record in records]
    marks = [Rule(1.0, colour=GREY), Line(_iterations(records), norms, colour=BLUE)]
    title = "noise, root mean square (prior: 1)"
    return _uri(Chart(marks, title=title, x_label="iteration", whole=True))


def spectrum(record: Record) -> str:
    """The covariance's eigenvalues per learned Gaussian, after an iteration."""
    low, quarter, median, three_quarters, high = np.array(record.spectrum).T.tolist()
    place = list(range(1, len(median) + 1))
    marks = [
        Rule(1.0, colour=GREY),
        Ranges(place, low, high, colour=BLUE, opacity=0.4),
        Ranges(place, quarter, three_quarters, 5.0, colour=BLUE),
        Dots(place, median, 2.0, colour=BLUE, fill="white"),
    ]
    title = "eigenvalues of Sigma per Gaussian, now"
    return _uri(
        Chart(marks, title=title, x_label="learned Gaussian", scale=Logarithmic, whole=True)
    )


def spectrum_course(records: Sequence[Record]) -> str:
    """Smallest, median and largest eigenvalue of all Gaussians over iterations."""
    iterations = _iterations(records)
    levels = [np.array(record.spectrum) for record in records]
    low = [float(level[:, 0].min()) for level in levels]
    median = [float(np.median(level[:, 2])) for level in levels]
    high = [float(level[:, -1].max()) for level in levels]
    marks = [
        Rule(1.0, colour=GREY),
        Band(iterations, low, high, colour=BLUE, opacity=0.14),
        Line(iterations, median, colour=BLUE),
    ]
    title = "eigenvalues of Sigma, over iterations"
    return _uri(Chart(marks, title=title, x_label="iteration", scale=Logarithmic, whole=True))


def has_numbers(values: Sequence[float]) -> bool:
    """Whether there is anything to plot."""
    return any(math.isfinite(value) for value in values)


def _queries(records: Sequence[Record]) -> list[float]:
    return [float(record.queries) for record in records]


def _iterations(records: Sequence[Record]) -> list[float]:
    return [record.iteration + 1.0 for record in records]


def _levels(records: Sequence[Record]) -> Any:  # noqa: ANN401 - rows of quantiles
    return np.array([record.quantiles for record in records], dtype=float).T.tolist()


def _uri(chart: Chart) -> str:
    """A chart as a data URI."""
    return "data:image/svg+xml;base64," + base64.b64encode(chart.svg().encode()).decode()
