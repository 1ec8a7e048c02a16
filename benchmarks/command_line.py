"""What the benchmarks' command lines understand, and what they answer."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable

from casbo.errors import CasboError


def exit_code(action: Callable[[], object]) -> int:
    """Do it; 0 if it was done, else one line on stderr says why not."""
    try:
        action()
    except CasboError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def resumable_exit_code(action: Callable[[], object]) -> int:
    """The same, where the same command goes on after Ctrl-C; 130 then."""
    try:
        return exit_code(action)
    except KeyboardInterrupt:
        print("interrupted: the same command goes on from here", file=sys.stderr)
        return 130


def positive(text: str) -> int:
    """Read a count of at least 1."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected an integer of at least 1, got {text!r}")
    return int(text)


def seeds(text: str) -> range:
    """Read 3 or 0:5."""
    try:
        first, _, end = text.partition(":")
        chosen = range(int(first), int(end) if end else int(first) + 1)
    except ValueError:
        chosen = range(0)
    if not chosen or chosen.start < 0:
        raise argparse.ArgumentTypeError(f"expected seeds as 0:5 or a number, got {text!r}")
    return chosen
