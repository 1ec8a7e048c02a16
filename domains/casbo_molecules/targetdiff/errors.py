"""The error of TargetDiff's files and options."""

from __future__ import annotations

from ..model import ModelError


class TargetDiffError(ModelError):
    """A checkpoint, configuration, pocket or option of TargetDiff cannot be used."""
