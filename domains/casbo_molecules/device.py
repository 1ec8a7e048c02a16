"""Where a model computes."""

from __future__ import annotations

import torch

from .errors import DockingInputError


def device_of(name: str | torch.device) -> torch.device:
    """The device of this name, found usable.

    Raises
    ------
    DockingInputError
        If there is no such device here.
    """
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise DockingInputError(
            f"expected a device of this machine, such as cpu, cuda or cuda:0, got {str(name)!r}"
        ) from error
    return device
