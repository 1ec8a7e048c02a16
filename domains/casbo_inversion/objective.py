"""Objectives: what is asked of a token, by forward passes of the model only.

An objective estimates its score with random numbers (noise, timesteps, start noise of pictures).
They are the same for all candidates of an iteration, so that candidates are told apart by what
they are and not by luck, and new in the next iteration, so that nothing is learned by heart. Which
ones is written on the token (`LearnedToken.draw`): they are a function of the seed and the
iteration, so a run can be killed and resumed, and batches can be of any size. A token without a
draw is scored with numbers of their own, kept for validation.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import torch
from torch import Tensor

from casbo.scorer import Direction

from .errors import InversionError
from .token import LearnedToken

if TYPE_CHECKING:
    from .rollout import TokenInversion

#: What has random numbers in common: the candidates of an iteration, all of a run, or none
#: (fresh noise for every candidate, as published).
Common = Literal["iteration", "run", "none"]
COMMON: tuple[Common, ...] = ("iteration", "run", "none")
#: First words of the random streams.
TRAINING, VALIDATION, OWN = 11, 12, 13


class TokenScorer(Protocol):
    """An objective bound to a pipeline and its pictures: a scorer of tokens."""

    direction: Direction
    #: Evaluations of the denoising network that one query costs.
    forward_passes_per_query: int
    #: The same for a token without a draw.
    forward_passes_per_validation: int

    def __call__(self, samples: Sequence[LearnedToken], /) -> Any:  # noqa: ANN401
        """N tokens -> N scores; NaN = failed."""

    def describe(self) -> dict[str, Any]:
        """Everything that defines it, as JSON values."""


class TokenObjective(ABC):
    """An objective's settings; `bind` makes the scorer."""

    @abstractmethod
    def bind(self, inversion: TokenInversion) -> TokenScorer:
        """The scorer for tokens of this inversion.

        Raises:
            InversionError: When the pipeline cannot be scored in this way.
        """


def generator(stream: int, *words: int) -> np.random.Generator:
    """A random generator that is a function of the stream and the words (not negative)."""
    return np.random.default_rng(np.random.SeedSequence([stream, *words]))


def normal(random: np.random.Generator, *shape: int) -> Tensor:
    """Standard normal numbers, float32 on the CPU."""
    return torch.from_numpy(random.standard_normal(shape, dtype=np.float32))


def common_generator(common: Common, seed: int, draw: int | None) -> np.random.Generator:
    """The generator of the numbers that candidates have in common."""
    if draw is None:
        return generator(VALIDATION, seed)
    return generator(TRAINING, seed, 0 if common == "run" else draw)


def own_generator(seed: int, token: LearnedToken) -> np.random.Generator:
    """A generator of the candidate's own, a function of its vectors to the bit."""
    return generator(OWN, seed, int(token.digest, 16))


def check_settings(common: str, seed: int, **counts: int) -> None:
    """Refuse settings of objectives that make no sense.

    Raises:
        InversionError: Naming the setting.
    """
    if common not in COMMON:
        raise InversionError(
            f"Expected common random numbers among {list(COMMON)}, got {common!r}."
        )
    for name, count in {"seed": seed + 1, **counts}.items():
        if count < 1:
            least = 0 if name == "seed" else 1
            raise InversionError(
                f"Expected {name} of at least {least}, got {count - (name == 'seed')}."
            )
