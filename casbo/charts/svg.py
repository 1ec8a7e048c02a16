"""Elements of an SVG document."""

from __future__ import annotations

import re
from collections.abc import Sequence
from xml.etree.ElementTree import Element

import numpy as np
from numpy.typing import ArrayLike

#: What XML has no place for: control characters, halves of pairs, non-characters.
FORBIDDEN = re.compile("[\0-\x08\x0b\x0c\x0e-\x1f\ud800-\udfff\ufffe\uffff]")


def element(tag: str, content: str = "", **attributes: str | float) -> Element:
    """An element; ``stroke_width=1.5`` becomes ``stroke-width="1.5"``."""
    texts = {
        name.replace("_", "-"): value if isinstance(value, str) else rounded(value)
        for name, value in attributes.items()
    }
    made = Element(tag, texts)
    made.text = FORBIDDEN.sub("", content) or None
    return made


def polyline(across: ArrayLike, down: ArrayLike) -> str:
    """The path through points, given by two columns (M,)."""
    columns: Sequence[list[float]] = (np.asarray(across).tolist(), np.asarray(down).tolist())
    points = zip(*columns, strict=True)
    return "M" + "L".join(f"{rounded(a)} {rounded(b)}" for a, b in points)


def rounded(number: float) -> str:
    """As text; a hundredth of a point is less than anybody sees."""
    return f"{number:.2f}".rstrip("0").rstrip(".")
