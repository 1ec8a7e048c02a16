"""One more option for a diffusers scheduler, saved with its configuration."""

from __future__ import annotations

import functools
import inspect
import math
from collections.abc import Callable
from typing import Any

from ..errors import ImageError


def with_option(
    scheduler: type, name: str, default: float, *, largest: float = math.inf
) -> Callable[..., None]:
    """The ``__init__`` of a scheduler class with one more number in (0, largest].

    diffusers reads the options of a class from the signature of its ``__init__``; the one returned
    has the parent's, whatever the release, and the new one, registered in ``config``.
    """
    initialise: Callable[..., None] = scheduler.__init__  # type: ignore[misc]
    signature = inspect.signature(initialise)
    option = inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default)

    @functools.wraps(initialise)
    def __init__(self: Any, *arguments: Any, **options: Any) -> None:  # noqa: ANN401, N807
        value = options.pop(name, default)
        if not (0 < value <= largest and math.isfinite(value)):
            raise ImageError(
                f"expected {name} in (0, {largest:g}], got {value}: without noise there is "
                f"nothing to steer; leave it out for {default:g}"
            )
        initialise(self, *arguments, **options)
        self.register_to_config(**{name: float(value)})

    parameters = [*signature.parameters.values(), option]
    __init__.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return __init__
