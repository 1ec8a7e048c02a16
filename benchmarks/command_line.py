"""What the benchmarks' command lines answer."""

from __future__ import annotations

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
