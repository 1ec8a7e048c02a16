"""Pictures of samples as data URIs, which can neither run scripts nor load anything."""

from __future__ import annotations

import base64
import re

DATA_IMAGE = re.compile(r"data:image/[a-z+.-]+;base64,[A-Za-z0-9+/=\s]+")


def picture_uri(markup: str | None) -> str | None:
    """A rollout's picture as a data URI, or None when it is neither SVG nor such an image.

    As an image, an SVG can neither run scripts nor load anything.
    """
    if not markup:
        return None
    start = markup.lstrip()
    if start.startswith("<svg") or (start.startswith("<?xml") and "<svg" in start):
        if "xmlns=" not in start:
            start = start.replace("<svg", '<svg xmlns="http://www.w3.org/2000/svg"', 1)
        return "data:image/svg+xml;base64," + base64.b64encode(start.encode()).decode()
    found = DATA_IMAGE.search(start)
    return found[0] if found else None
