"""One case in a process of its own: seconds an iteration, and memory."""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from casbo import Optimizer
from casbo.controls import base_noise

from ..optimizers.methods import METHODS
from ..optimizers.peer import Task
from .cases import Case
from .limits import limits

#: Iterations that are averaged: some of them gather updates for many.
BLOCK = 16
#: Iterations until a model's memory is as full as it gets.
MODEL_WARM_UP = 40
MEBIBYTE = 2**20
#: Peers that keep a covariance, and the numbers they hold of n = K D coordinates.
PEERS: dict[str, Callable[[Case], float]] = {
    "pycma": lambda case: 3 * (case.steps * case.dim) ** 2,
    "cmaes": lambda case: 3 * (case.steps * case.dim) ** 2,
    "stepwise-pycma": lambda case: 3 * case.steps * case.dim**2,
    "vkd": lambda case: 100 * case.steps * case.dim,
    "pycma-diagonal": lambda case: 10 * case.steps * case.dim,
    "cmaes-sep": lambda case: 10 * case.steps * case.dim,
}
LARGEST_MEMORY = 12 * 2**30


def engine(case: Case, blocks: int) -> dict[str, Any]:
    """Ask + tell in turns with the bare linear algebra: least mean of a block of iterations.

    CPU seconds of one thread, which is what an idle core would take. Drawing the base noise is
    part of ask and measured besides.
    """
    torch.set_num_threads(1)
    optimizer = case.optimizer()
    draws = independent_draws(optimizer)
    bare = limits(case, draws)
    for _ in range(0 if case.samples == "none" else MODEL_WARM_UP):
        _iteration(optimizer, case)
    spent: dict[str, list[float]] = {"engine": [], "drawing": [], **{name: [] for name in bare}}
    for block in range(blocks + 1):
        times = [_iteration(optimizer, case) for _ in range(BLOCK if case.dim < 10_000 else 3)]
        rounds = {"drawing": lambda: _drawing(case, draws), **bare}
        for name, call in rounds.items():
            slow = name == "usual" and block > 1 and case.dim >= 512
            if not slow:
                spent[name].append(min(_seconds(call) for _ in range(3 if case.dim < 512 else 1)))
        if block:  # the first one warms up
            spent["engine"].append(float(np.mean(times)))
    return {name: min(values) for name, values in spent.items()} | {"draws": draws}


def independent_draws(optimizer: Optimizer) -> int:
    """N / 2 where the second half of a population mirrors the first, else N."""
    noise = optimizer.ask()
    half = len(noise) // 2
    mirrored = torch.allclose(noise[:half], -noise[half : 2 * half], atol=1e-5)
    return half if mirrored else len(noise)


def weight(case: Case, iterations: int = 10) -> dict[str, Any]:
    """Peak memory above what importing took, and the size of the state, in MiB."""
    torch.set_num_threads(1)
    before = _resident()
    optimizer = case.optimizer()
    for _ in range(iterations):
        _iteration(optimizer, case)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before
    tensors = [t for t in optimizer.state_dict().values() if isinstance(t, torch.Tensor)]
    return {"peak": peak, "state": sum(t.numel() * t.element_size() for t in tensors) / MEBIBYTE}


def peer(case: Case, name: str, seconds: float) -> dict[str, Any]:
    """Mean ask + tell of a peer over what fits into so many seconds, the first one left out."""
    torch.set_num_threads(1)
    if PEERS[name](case) * 8 > LARGEST_MEMORY:
        return {"infeasible": f"{PEERS[name](case) * 8 / 2**30:,.0f} GiB"}
    before = _resident()
    task = Task(case.steps, case.dim, case.population, True, 0)
    made = METHODS[name].make(task)
    times: list[float] = []
    begun = time.monotonic()
    while len(times) < 2 * BLOCK and (len(times) < 2 or time.monotonic() - begun < seconds):
        start = time.process_time()
        noise = made.ask()
        asked = time.process_time() - start
        scores = np.square(noise[:, :, :8] - 1).sum(-1)
        start = time.process_time()
        made.tell(scores)
        times.append(asked + time.process_time() - start)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - before
    return {"seconds": float(np.mean(times[1:])), "peak": peak}


def in_process(
    what: str, case: Case, *more: float | str, limit: float | None = None
) -> dict[str, Any]:
    """One of the functions above in a fresh process; {"over": limit} where it takes longer."""
    words = json.dumps([what, case.to_json(), *more])
    try:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.engine_cost.measurement", words],
            capture_output=True,
            text=True,
            check=True,
            timeout=limit,
        )
    except subprocess.TimeoutExpired:
        return {"over": limit}
    except subprocess.CalledProcessError as error:
        return {"infeasible": error.stderr.strip().splitlines()[-1]}
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _iteration(optimizer: Optimizer, case: Case) -> float:
    start = time.process_time()
    noise = optimizer.ask()
    asked = time.process_time() - start
    scores, samples = case.told(noise)
    del noise
    start = time.process_time()
    optimizer.tell(scores, samples)
    return asked + time.process_time() - start


def _drawing(case: Case, draws: int) -> None:
    """The base noise of one population, in memory of its own."""
    base = torch.empty(draws, case.steps, case.dim, dtype=getattr(torch, case.dtype))
    for n, row in enumerate(base):
        row.copy_(base_noise((case.steps, case.dim), 0, 0, n))


def _seconds(call: Callable[[], object]) -> float:
    start = time.process_time()
    call()
    return time.process_time() - start


def _resident() -> float:
    """Resident memory now, in MiB."""
    with open("/proc/self/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / MEBIBYTE


if __name__ == "__main__":
    function, fields, *rest = json.loads(sys.argv[1])
    print(
        json.dumps(
            {"engine": engine, "weight": weight, "peer": peer}[function](Case(**fields), *rest)
        )
    )
