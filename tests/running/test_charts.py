"""Charts: whole SVG for any data, everything drawn within the frame, ticks that can be read."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Sequence
from xml.etree import ElementTree

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from casbo.charts import (
    Band,
    Bars,
    Chart,
    Dots,
    Line,
    Linear,
    Logarithmic,
    Mark,
    Ranges,
    Rule,
    Scale,
)
from casbo.charts.scale import labels

SVG = "{http://www.w3.org/2000/svg}"
SCALES = st.sampled_from([Linear, Logarithmic])
NUMBERS = st.one_of(st.floats(), st.floats(-10, 10), st.integers(-5, 5).map(float))
COLUMNS = st.integers(0, 6).flatmap(
    lambda rows: st.lists(st.lists(NUMBERS, min_size=rows, max_size=rows), min_size=3, max_size=3)
)


def covering(kind: type[Scale], values: Sequence[float]) -> Scale:
    return kind.covering(values, margin=0.05, low=None, high=None)


@given(SCALES, st.lists(NUMBERS))
def test_a_covering_scale_has_a_place_for_every_value(
    kind: type[Scale], values: list[float]
) -> None:
    scale = covering(kind, values)
    assert scale.low < scale.high
    placed = scale.places(values)
    shown = [math.isfinite(v) and (kind is Linear or v > 0) for v in values]
    assert (np.isfinite(placed) == shown).all()
    assert ((placed[shown] > -1e-9) & (placed[shown] < 1 + 1e-9)).all()


@given(SCALES, st.lists(st.floats(1e-9, 1e9), min_size=2, unique=True))
def test_places_keep_the_order_and_the_ends_are_0_and_1(
    kind: type[Scale], values: list[float]
) -> None:
    scale = covering(kind, values)
    assert (np.diff(scale.places(sorted(values))) >= 0).all()
    assert scale.places([scale.low, scale.high]) == pytest.approx([0.0, 1.0], abs=1e-6)


def test_equal_ratios_are_equally_far_apart_on_a_logarithmic_scale() -> None:
    assert Logarithmic(0.01, 100.0).places([0.01, 0.1, 1, 10, 100, 0, -1]) == pytest.approx(
        [0, 0.25, 0.5, 0.75, 1, math.nan, math.nan], nan_ok=True
    )


@given(SCALES, st.lists(NUMBERS), st.integers(1, 12))
def test_ticks_are_few_ascending_within_and_told_apart(
    kind: type[Scale], values: list[float], count: int
) -> None:
    scale = covering(kind, values)
    ticks = scale.ticks(count)
    assert len(ticks) <= 2 * count + 5
    assert all(b > a for a, b in itertools.pairwise(ticks))
    placed = scale.places(ticks)
    assert ((placed > -1e-5) & (placed < 1 + 1e-5)).all()
    texts = labels(ticks)
    assert len(set(texts)) == len(ticks)
    assert [float(text) for text in texts] == pytest.approx(
        ticks, rel=1e-2, abs=1e-9 * (scale.high - scale.low)
    )


@pytest.mark.parametrize(
    ("low", "high", "count", "expected"),
    [
        (0.0, 1.0, 5, ["0", "0.2", "0.4", "0.6", "0.8", "1"]),
        (-0.13, 0.31, 4, ["-0.1", "0", "0.1", "0.2", "0.3"]),
        (32.0, 640.0, 6, ["100", "200", "300", "400", "500", "600"]),
        (1000.0, 1000.5, 5, ["1000", "1000.1", "1000.2", "1000.3", "1000.4", "1000.5"]),
        (0.0, 3e7, 3, ["0", "1e+07", "2e+07", "3e+07"]),
    ],
)
def test_ticks_of_a_linear_scale(low: float, high: float, count: int, expected: list[str]) -> None:
    assert labels(Linear(low, high).ticks(count)) == expected


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.05, 300.0, ["0.1", "1", "10", "100"]),
        (0.09, 2.5, ["0.1", "0.2", "0.5", "1", "2"]),
        (1e-12, 1.0, ["1e-12", "1e-09", "1e-06", "0.001", "1"]),
        (1.1, 1.3, ["1.1", "1.15", "1.2", "1.25", "1.3"]),
    ],
)
def test_ticks_of_a_logarithmic_scale(low: float, high: float, expected: list[str]) -> None:
    assert labels(Logarithmic(low, high).ticks(4)) == expected


def elements(chart: Chart) -> list[ElementTree.Element]:
    root = ElementTree.fromstring(chart.svg())
    assert root.tag == f"{SVG}svg"
    return list(root)


def points(element: ElementTree.Element) -> list[tuple[float, float]]:
    """Of a path of absolute points."""
    pairs = re.findall(r"[ML](\S+) ([\d.-]+)", element.attrib["d"])
    return [(float(x), float(y)) for x, y in pairs]


def drawn(mark: Mark, **options: object) -> list[ElementTree.Element]:
    """The elements of one mark: it alone has this colour."""
    painted = Chart([mark, Dots([0.0, 10.0], [0.0, 10.0])], **options)  # type: ignore[arg-type]
    return [e for e in elements(painted) if "#123456" in {e.get("stroke"), e.get("fill")}]


@given(SCALES, COLUMNS, st.text(), st.booleans(), st.floats())
def test_any_data_gives_whole_svg_within_its_frame(
    kind: type[Scale], columns: list[list[float]], text: str, whole: bool, rule: float
) -> None:
    x, low, high = columns
    marks = [
        Band(x, low, high, label=text),
        Line(x, low, label="line"),
        Line(x, high, steps=True),
        Bars(x, high, width=0.8),
        Ranges(x, low, high),
        Dots(x, low),
        Rule(rule),
    ]
    chart = Chart(marks, title=text, x_label=text, y_label=text, scale=kind, whole=whole)
    for element in elements(chart):
        assert not any("nan" in v or "inf" in v for v in element.attrib.values())
        if element.tag == f"{SVG}path" and "L" in element.attrib["d"]:
            for across, down in points(element):
                assert -1 <= across <= chart.width + 1
                assert -1 <= down <= chart.height + 1


def test_text_stays_text() -> None:
    evil = "<script>&\"' $x_2$ \N{SNOWMAN}"
    texts = [e.text for e in elements(Chart([], title=evil + "\0", x_label=evil, y_label=evil))]
    assert texts.count(evil) == 3


def test_a_gap_in_the_data_is_a_gap_in_the_curve() -> None:
    (first, second) = drawn(Line([0, 1, 2, 3, 4], [1, 2, math.nan, 4, 5], colour="#123456"))
    assert len(points(first)) == len(points(second)) == 2
    assert points(first)[-1][0] < points(second)[0][0]


def test_a_curve_in_steps_keeps_each_value_until_the_next() -> None:
    (curve,) = drawn(Line([0, 1, 2], [1, 3, 2], steps=True, colour="#123456"))
    corners = points(curve)
    x, y = zip(*corners, strict=True)
    assert len(corners) == 5
    assert x[0] < x[1] == x[2] < x[3] == x[4]
    assert y[0] == y[1] > y[2] == y[3] < y[4]


def test_bars_stand_on_zero_and_bands_go_round() -> None:
    (bar,) = drawn(Bars([5.0], [10.0], width=2.0, colour="#123456"), y_low=0.0, y_high=10.0)
    (corner, top, *_, last) = points(bar)
    assert corner[1] == last[1] == 180 - 36
    assert top[1] == 24
    (band,) = drawn(Band([0, 1], [0, 1], [2, 3], colour="#123456"))
    assert band.attrib["d"].endswith("Z")
    assert len(points(band)) == 4


def test_only_whole_numbers_are_named_where_something_is_counted() -> None:
    texts = [e.text for e in elements(Chart([Dots([1, 2], [1, 1])], whole=True)) if e.text]
    assert {"1", "2"} <= set(texts)
    assert "1.5" not in texts


def test_labelled_marks_are_in_the_legend() -> None:
    marks = [Dots([1], [1], label="dots"), Rule(1.0), Line([1], [1], label="a line")]
    texts = [e.text for e in elements(Chart(marks))]
    assert [text for text in texts if text in {"dots", "a line"}] == ["dots", "a line"]
