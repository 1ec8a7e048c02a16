"""Synthetic sequential test problems whose optimum is known.

Test functions (`functions`), ways from noise to samples (`dynamics`, `mixture`) and the problems
they make together (`problems`); the suite that optimisers are compared on (`suite`). `casbo functions` runs a
problem from the command line.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .dynamics import DYNAMICS, Delayed, Dynamics, Identity, LinearTanh, Recurrence, Rotation
    from .functions import FORMULAS, Formula, ShiftedFunction
    from .mixture import GaussianMixture, MixtureRollout
    from .problems import ROLLOUTS, SequentialProblem, sequential_problem
    from .scorers import FunctionScorer
    from .suite import SUITES, ProblemSpec, core_suite, full_suite, hard_suite, small_suite

__all__ = [
    "DYNAMICS",
    "FORMULAS",
    "ROLLOUTS",
    "SUITES",
    "Delayed",
    "Dynamics",
    "Formula",
    "FunctionScorer",
    "GaussianMixture",
    "Identity",
    "LinearTanh",
    "MixtureRollout",
    "ProblemSpec",
    "Recurrence",
    "Rotation",
    "SequentialProblem",
    "ShiftedFunction",
    "core_suite",
    "full_suite",
    "hard_suite",
    "sequential_problem",
    "small_suite",
]

_MODULES = ("dynamics", "functions", "mixture", "problems", "scorers", "suite")


def __getattr__(name: str) -> Any:  # noqa: ANN401
    """Import on first use: the command line asks this package for its commands only."""
    if name in __all__:
        for module in _MODULES:
            found = importlib.import_module(f".{module}", __name__)
            if hasattr(found, name):
                return getattr(found, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
