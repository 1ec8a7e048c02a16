"""The error of this domain's user input."""

from __future__ import annotations

from casbo.errors import CasboError


class InversionError(CasboError):
    """A pipeline, picture, placeholder, vocabulary, subspace or objective cannot be used.

    The message says what was expected, what was got and the fix.
    """
