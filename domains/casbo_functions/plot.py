"""The cost of a run against its queries, as one picture."""

from __future__ import annotations

import io
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from casbo.atomic import write_atomically
from casbo.errors import CasboError
from casbo.records import QUANTILES, Record

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Costs below this are drawn as this: a logarithmic axis has no 0.
FLOOR = 1e-14
SUFFIXES = (".svg", ".png", ".pdf")


def plot_cost(
    history: Sequence[Record], path: Path, *, title: str, plain_best: float | None = None
) -> Path:
    """Draw best, median and 10-90 % band of the final samples' cost above the known minimum 0.

    Arguments:
        history: One record per iteration.
        path: Where to write; its suffix (.svg, .png, .pdf) is the format.
        title: Written above.
        plain_best: The least cost of as many unsteered samples, drawn as a line.

    Raises:
        RunFolderError: When the file cannot be written.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5.5, 3.6), layout="constrained")
    axes = figure.subplots()
    _draw(axes, history)
    if plain_best is not None:
        axes.axhline(
            max(plain_best, FLOOR), color="0.45", linestyle="--", label="best unsteered sample"
        )
    axes.set_yscale("log")
    axes.set_xlabel("score queries")
    axes.set_ylabel("cost above the minimum")
    axes.set_title(title, fontsize="medium")
    axes.legend(frameon=False)
    picture = io.BytesIO()
    figure.savefig(picture, format=path.suffix[1:])
    write_atomically(path, picture.getvalue())
    return path


def check_target(path: Path) -> None:
    """Make the folder of a picture that is to be drawn later.

    Raises:
        CasboError: When it cannot be made, or the suffix is of no known format.
    """
    if path.suffix not in SUFFIXES:
        wanted = f"{', '.join(SUFFIXES[:-1])} or {SUFFIXES[-1]}"
        raise CasboError(f"Expected --plot to end in {wanted}, got {path.name!r}.")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise CasboError(f"Expected a folder to write {path} to, but: {error}.") from error
    if path.is_dir() or not os.access(path.parent, os.W_OK):
        raise CasboError(f"Expected --plot to name a file that can be written, got {path}.")


def _draw(axes: Axes, history: Sequence[Record]) -> None:
    queries = [record.queries for record in history]
    low, median, high = (
        np.maximum([_quantile(record, share) for record in history], FLOOR)
        for share in (0.1, 0.5, 0.9)
    )
    axes.fill_between(queries, low, high, color="#9bb8d3", alpha=0.5, linewidth=0, label="10-90 %")
    axes.plot(queries, median, color="#2f5f8a", label="median")
    best = np.maximum([record.best for record in history], FLOOR)
    axes.plot(queries, best, color="#c1440e", label="best so far")


def _quantile(record: Record, share: float) -> float:
    """One of the quantiles that a record keeps; NaN where every candidate failed."""
    return record.quantiles[QUANTILES.index(share)] if record.quantiles else float("nan")
