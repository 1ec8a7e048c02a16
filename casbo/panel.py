"""Panels: what a domain adds to the report of a run, such as a viewer of its samples.

The report allows no script but those of panels, each by the digest of its text (a content
security policy): whatever else a page may come to hold does not run. A panel reaches no network.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from casbo.errors import CasboError


@dataclass(frozen=True)
class Panel:
    """A part of the report under a heading of its own.

    Arguments:
        title: The heading.
        html: Its markup, with everything that came from a run escaped by the domain.
        style: Its style sheet.
        scripts: Texts of the scripts it needs, in order; equal ones of several panels are
            written once.

    Raises:
        CasboError: When a script or style would end its own tag.
    """

    title: str
    html: str
    style: str = ""
    scripts: Sequence[str] = ()

    def __post_init__(self) -> None:
        for text, tag in ((self.style, "</style"), *((s, "</script") for s in self.scripts)):
            if tag in text.lower():
                raise CasboError(f"Expected the panel {self.title!r} to hold no {tag!r}, got one.")


def all_scripts(panels: Iterable[Panel]) -> list[str]:
    """The scripts of all panels, each once, in order."""
    return list(dict.fromkeys(script for panel in panels for script in panel.scripts))


def script_source(script: str) -> str:
    """What a content security policy calls an inline script: the digest of its text."""
    digest = hashlib.sha256(script.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
