"""The pictures of `benchmarks/inversion.py`, method under method, as one figure."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from figure_file import figure_file
from PIL import Image


def draw(path: Path, grids: Path, names: Sequence[str], seed: int, methods: Sequence[str]) -> None:
    """One block a concept, two beside each other: given pictures, then each method's.

    Arguments:
        path: A PNG file.
        grids: The folder of a run's pictures.
        names: Concepts.
        seed: Of the runs to show.
        methods: In the order shown.
    """
    rows = ("given", *methods)
    strips = {
        (name, row): np.asarray(Image.open(grids / f"{name.replace(' ', '-')}-{seed}-{row}.png"))
        for name in names
        for row in rows
    }
    height, width = next(iter(strips.values())).shape[:2]
    columns = 2 if len(names) > 1 else 1
    blocks = -(-len(names) // columns)
    across = 5.0
    down = across * height / width * len(rows) + 0.4
    with figure_file(path, columns * (across + 0.9), blocks * down) as figure:
        axes = figure.subplots(blocks * len(rows), columns, squeeze=False)
        for axis in axes.flat:
            axis.set_axis_off()
        for number, name in enumerate(names):
            block, column = divmod(number, columns)
            for line, row in enumerate(rows):
                axis = axes[block * len(rows) + line, column]
                axis.set_axis_on()
                axis.set(xticks=[], yticks=[])
                axis.imshow(strips[name, row])
                axis.set_ylabel(row, rotation=0, ha="right", va="center")
                if line == 0:
                    axis.set_title(name)
