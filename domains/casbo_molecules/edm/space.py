"""The control space of an EDM model: directions that renumbering the atoms leaves alone.

Atoms are exchangeable, so what can mean the same in every molecule is a type channel's noise summed
over all atoms (of positions nothing is left: their mean over atoms is projected away). Each channel
is taken over windows of the reverse process in which it is being decided. Learned are the
coordinates along these few unit directions; everything else stays N(0, I).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from casbo.separable import Separable
from casbo.spaces import Space

from ..space import ELEMENT_SCALE, ELEMENT_WINDOWS, Window


def type_space(
    levels: Sequence[float],
    atoms: int,
    types: slice,
    dim: int,
    *,
    windows: Sequence[Window] = ELEMENT_WINDOWS,
    scale: float = ELEMENT_SCALE,
) -> Space:
    """One Gaussian over each type channel, summed over atoms and the rows of each window.

    Windows without a row, which a short chain can have, are left out; if all are, one window holds
    every row.

    Parameters
    ----------
    levels
        K noise levels sigma/alpha on a one-hot channel of unit size, at which the noise rows enter;
        negative for a row whose type noise has no effect.
    atoms
        n.
    types
        Where in a row of noise the n C numbers of types stand, atom by atom.
    dim
        D.
    windows
        Of noise levels, as for the shipped model.
    scale
        Exploration scale: the standard deviation along the directions at the start.
    """
    entering = torch.tensor(levels, dtype=torch.float64)
    chosen = [(entering >= window.low) & (entering < window.high) for window in windows]
    chosen = [rows for rows in chosen if rows.any()] or [entering >= 0]
    profiles = torch.stack([rows.double() / rows.sum().sqrt() for rows in chosen], dim=1)
    channels = (types.stop - types.start) // atoms
    patterns = torch.zeros(dim, channels, dtype=torch.float64)
    patterns[types] = torch.eye(channels, dtype=torch.float64).repeat(atoms, 1) / atoms**0.5
    return Separable(profiles, patterns, scale)
