"""Small charts as SVG: curves, bands, bars and ranges over one pair of axes.

A run ends with a report of a few curves. A plotting library costs a second and 30 MB for them
every time, more than everything else that a short run does beside its model, and what is asked of
it here is a page of coordinates. So the report draws its own; figures that somebody asks for by
name, in any format, are matplotlib's.
"""

from __future__ import annotations

from casbo.charts.chart import Chart
from casbo.charts.marks import Band, Bars, Dots, Line, Mark, Ranges, Rule
from casbo.charts.scale import Linear, Logarithmic, Scale

__all__ = [
    "Band",
    "Bars",
    "Chart",
    "Dots",
    "Line",
    "Linear",
    "Logarithmic",
    "Mark",
    "Ranges",
    "Rule",
    "Scale",
]
