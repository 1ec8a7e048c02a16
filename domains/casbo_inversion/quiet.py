"""Keep the chatter of diffusers and transformers out of the command line."""

from __future__ import annotations


def quiet_libraries() -> None:
    """Only errors from here on, no progress bars of loading; for the command line, not for import."""
    from casbo.errors import require

    for name in ("diffusers", "transformers"):
        log = require(f"{name}.utils.logging", "inversion")
        log.set_verbosity_error()
        log.disable_progress_bar()
