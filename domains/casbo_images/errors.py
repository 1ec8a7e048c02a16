"""The error of this domain's user input."""

from __future__ import annotations

from casbo.errors import CasboError


class ImageError(CasboError):
    """A pipeline, scheduler, prompt, picture or image score cannot be used.

    The message says what was expected, what was got and the fix.
    """
