"""The suite of problems that optimisers are compared on, each with a name that stays.

A name reads function/dynamics/score/DxK with the scorer's faults behind it, such as
`ellipsoid/rotation/terminal/20x10` or `sphere/mixture/cumulative/10x5/noise-0.1`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from casbo.errors import CasboError

from .functions import FORMULAS
from .problems import ROLLOUTS, SequentialProblem, sequential_problem

#: D coordinates and K steps of the suite's problems.
SIZES = ((10, 5), (20, 10), (50, 10), (100, 5))
#: Relative noise, and share of failed candidates, of the problems that have them.
NOISE = 0.1
FAILURES = 0.1

_NAME = re.compile(
    r"(?P<function>.+)/(?P<dynamics>[^/]+)/(?P<score>terminal|cumulative)"
    r"/(?P<dim>\d+)x(?P<steps>\d+)(/noise-(?P<noise>[\d.]+))?(/failures-(?P<failures>[\d.]+))?"
)


@dataclass(frozen=True)
class ProblemSpec:
    """A sequential test problem without its seed.

    Arguments:
        function: A key of `FORMULAS`.
        dynamics: A key of `ROLLOUTS`.
        cumulative: Whether the samples predicted before the end are scored as well.
        dim: D.
        steps: K.
        noise: Relative noise of the scores.
        failures: Share of candidates that fail, at whichever of their scored steps.
    """

    function: str
    dynamics: str
    cumulative: bool
    dim: int
    steps: int
    noise: float = 0.0
    failures: float = 0.0

    @property
    def score(self) -> str:
        """Which samples are scored: "terminal" or "cumulative"."""
        return "cumulative" if self.cumulative else "terminal"

    @property
    def size(self) -> str:
        """D and K as "DxK"."""
        return f"{self.dim}x{self.steps}"

    @property
    def name(self) -> str:
        """The name, from which `named` makes the same specification."""
        parts = [self.function, self.dynamics, self.score, self.size]
        faults = {"noise": self.noise, "failures": self.failures}
        return "/".join(parts + [f"{fault}-{share:g}" for fault, share in faults.items() if share])

    @classmethod
    def named(cls, name: str) -> ProblemSpec:
        """The specification of that name, whether or not a suite has it.

        Raises:
            CasboError: For a name that does not read as one.
        """
        parts = _NAME.fullmatch(name)
        if parts is None or parts["function"] not in FORMULAS or parts["dynamics"] not in ROLLOUTS:
            raise CasboError(
                "Expected a problem as function/dynamics/terminal or cumulative/DxK, such as "
                f"ellipsoid/rotation/terminal/20x10, got {name!r}; `casbo functions --list` names "
                "functions and dynamics."
            )
        return cls(
            parts["function"],
            parts["dynamics"],
            parts["score"] == "cumulative",
            int(parts["dim"]),
            int(parts["steps"]),
            float(parts["noise"] or 0),
            float(parts["failures"] or 0),
        )

    def options(self) -> dict[str, Any]:
        """All that `sequential_problem` takes, but for the seed."""
        scored = self.steps if self.cumulative else 1
        return {
            "function": self.function,
            "dynamics": self.dynamics,
            "dim": self.dim,
            "steps": self.steps,
            "cumulative": self.cumulative,
            "noise": self.noise,
            # a candidate fails with any of its scored samples, and the share is of candidates
            "failures": 1 - (1 - self.failures) ** (1 / scored),
        }

    def problem(self, seed: int) -> SequentialProblem:
        """The problem itself, its optimum, system and faults drawn under a seed."""
        return sequential_problem(**self.options(), seed=seed)


def full_suite() -> tuple[ProblemSpec, ...]:
    """Every function, dynamics, score and size: plain, with noisy scores and with failures."""
    plain = [
        ProblemSpec(function, dynamics, cumulative, dim, steps)
        for function in FORMULAS
        for dynamics in ROLLOUTS
        for cumulative in (False, True)
        for dim, steps in SIZES
    ]
    noisy = [replace(spec, noise=NOISE) for spec in plain]
    failing = [replace(spec, failures=FAILURES) for spec in plain]
    return (*plain, *noisy, *failing)


def core_suite() -> tuple[ProblemSpec, ...]:
    """48 problems that stand for all: 40 plain ones, 4 noisy, 4 with failures.

    Every function meets every dynamics once, plainly. With i the number of the function and j that
    of the dynamics, the size is (i + j) mod 4 and the score (i div 4 + i div 2 + j) mod 2: every
    dynamics has each pair of size and score once, every pair of size and score occurs 5 times,
    and no function has one size more than twice or one score more than three times.
    """
    return (*_plain_core(), *_faulty_core())


def small_suite() -> tuple[ProblemSpec, ...]:
    """Ten problems of 10 coordinates and 5 steps: the smallest plain ones of the core suite."""
    return tuple(spec for spec in _plain_core() if (spec.dim, spec.steps) == SIZES[0])


def hard_suite() -> tuple[ProblemSpec, ...]:
    """Ten problems of 20 coordinates and 10 steps, for budgets beyond 4,000 queries.

    The plain ones of their size in the core suite: most of them no optimiser solves before.
    """
    return tuple(spec for spec in _plain_core() if (spec.dim, spec.steps) == SIZES[1])


def _plain_core() -> Iterator[ProblemSpec]:
    for i, function in enumerate(FORMULAS):
        for j, dynamics in enumerate(ROLLOUTS):
            cumulative = (i // 4 + i // 2 + j) % 2 == 1
            yield ProblemSpec(function, dynamics, cumulative, *SIZES[(i + j) % 4])


def _faulty_core() -> Iterator[ProblemSpec]:
    """One problem for each function, noisy and failing in turn; each size once with each fault."""
    dynamics = tuple(ROLLOUTS)
    for i, function in enumerate(FORMULAS):
        fault = {"failures": FAILURES} if i % 2 else {"noise": NOISE}
        size = SIZES[(i // 2 + i) % 4]
        yield ProblemSpec(function, dynamics[(3 * i + 1) % 5], i // 2 % 2 == 1, *size, **fault)


SUITES = {"core": core_suite, "full": full_suite, "hard": hard_suite, "small": small_suite}
