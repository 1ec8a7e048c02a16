"""Steer pre-trained diffusion models with scores you can only call.

    import casbo

    result = casbo.steer(rollout, scorer, queries=1600, population=32, run="runs/first")

    optimizer = casbo.Optimizer(steps=10, dim=20, population=32, seed=0, direction="minimize")
    while optimizer.queries < 4000:
        noise = optimizer.ask()             # (N, K, D) = (32, 10, 20)
        optimizer.tell(my_scores(noise))    # (N,) or (N, K); NaN = failed

Names are imported when they are first used, so that `import casbo` stays fast.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from casbo.version import __version__

if TYPE_CHECKING:
    from casbo.controls import Controls
    from casbo.covariance import (
        Covariance,
        Diagonal,
        Full,
        Isotropic,
        LowRank,
        orthonormal,
    )
    from casbo.errors import (
        CandidateFailed,
        CasboError,
        MissingExtraError,
        RolloutError,
        RunFolderError,
        ScorerError,
    )
    from casbo.heredity import heritability
    from casbo.objective import Clip, Identity, Linear, Objective, Sigmoid, Term, WeightedSum
    from casbo.optimizer import Optimizer
    from casbo.records import Record
    from casbo.result import Result
    from casbo.rollout import FunctionRollout, Rollout, Trajectories
    from casbo.separable import Separable
    from casbo.spaces import PerStep, Shared, Space, Subspace, TrajectoryBlocks
    from casbo.steering import Steering, steer

_HOMES = {
    "casbo.controls": ("Controls",),
    "casbo.covariance": ("Covariance", "Diagonal", "Full", "Isotropic", "LowRank", "orthonormal"),
    "casbo.errors": (
        "CandidateFailed",
        "CasboError",
        "MissingExtraError",
        "RolloutError",
        "RunFolderError",
        "ScorerError",
    ),
    "casbo.heredity": ("heritability",),
    "casbo.objective": (
        "Clip",
        "Identity",
        "Linear",
        "Objective",
        "Sigmoid",
        "Term",
        "WeightedSum",
    ),
    "casbo.optimizer": ("Optimizer",),
    "casbo.records": ("Record",),
    "casbo.result": ("Result",),
    "casbo.rollout": ("FunctionRollout", "Rollout", "Trajectories"),
    "casbo.separable": ("Separable",),
    "casbo.spaces": ("PerStep", "Shared", "Space", "Subspace", "TrajectoryBlocks"),
    "casbo.steering": ("Steering", "steer"),
}
_HOME = {name: module for module, names in _HOMES.items() for name in names}

__all__ = [
    "CandidateFailed",
    "CasboError",
    "Clip",
    "Controls",
    "Covariance",
    "Diagonal",
    "Full",
    "FunctionRollout",
    "Identity",
    "Isotropic",
    "Linear",
    "LowRank",
    "MissingExtraError",
    "Objective",
    "Optimizer",
    "PerStep",
    "Record",
    "Result",
    "Rollout",
    "RolloutError",
    "RunFolderError",
    "ScorerError",
    "Separable",
    "Shared",
    "Sigmoid",
    "Space",
    "Steering",
    "Subspace",
    "Term",
    "Trajectories",
    "TrajectoryBlocks",
    "WeightedSum",
    "__version__",
    "heritability",
    "orthonormal",
    "steer",
]


def __getattr__(name: str) -> Any:  # noqa: ANN401
    if name not in _HOME:
        raise AttributeError(f"module 'casbo' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOME[name]), name)
    globals()[name] = value  # over the submodule of that name, if there is one
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
