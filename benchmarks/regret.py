"""Claim: under Theorem 4.4's schedule the average regret of `paper` falls like 1 / sqrt(T) or faster.

    python benchmarks/regret.py --figure docs/images/regret.svg
    python benchmarks/regret.py --iterations 16000 --range 4 --costs "l1-ellipsoid 10" \
        --schedules "theorem" "theorem, no pull" --dims
    python benchmarks/regret.py --iterations 500 --seeds 3 --dims 4 8

Convex costs without a gradient at their minimum: |x - x*|_1 and sum c_i |x_i - x*_i| with c from 1
to 10, of every step's state of a random rotation (linear in the noise), summed. The average regret
(1/T) sum_t E J(mu_t, Sigma_t) - J* is the mean cost of all candidates asked for; J* is 0. Printed
as Markdown: regret and its slope over the last factor of T on a log-log plot, with Student's
95 % interval over the seeds, for the theorem's schedule, for constant steps, and for other readings
of the theorem's sequences (docs/theory.md); then how the regret grows with D, after a quarter of the
iterations. A run of 4,000 iterations takes ten to thirty seconds, all of it eight to twenty minutes.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.stats import t as student
from torch import Tensor

from casbo import Optimizer
from casbo.credit import Costs, min_max, score_to_go
from casbo.rules import Paper, Setting, State
from casbo.rules.schedule import Progress, TheoremSchedule
from casbo_functions import Rotation

CONDITIONS = {"l1": 1.0, "l1-ellipsoid 10": 10.0}
#: What runs on every cost; the other readings run on the first one only, unless asked for.
EVERYWHERE = ("theorem", "constant steps")


@dataclass(frozen=True)
class NonSmooth:
    """A weighted l1 distance of every state of a linear system from one point.

    Arguments:
        matrix: Noise (K D) times this gives the states (K D).
        weights: c, with shape (D,).
        target: x*, with shape (D,).
        squared_distance: Squared norm of the noise that costs nothing.
    """

    matrix: Tensor
    weights: Tensor
    target: Tensor
    squared_distance: float

    @classmethod
    def draw(cls, condition: float, dim: int, steps: int, seed: int) -> NonSmooth:
        """A system and a target that belong to a seed."""
        system = Rotation(steps, dim, seed + 1)
        size = steps * dim
        unit = torch.eye(size, dtype=torch.float64).reshape(size, steps, dim)
        draws = np.random.default_rng((seed, 2)).standard_normal(dim)
        target = torch.from_numpy(draws)
        best = system.noise_towards(target, always=True)
        weights = torch.from_numpy(np.geomspace(1, condition, dim))
        matrix = system.states(unit).reshape(size, size)
        return cls(matrix, weights, target, float(best.square().sum()))

    def __call__(self, noise: Tensor) -> Tensor:
        """Costs (N, K) of noise (N, K, D)."""
        states = (noise.flatten(1) @ self.matrix).reshape(noise.shape)
        return (self.weights * (states - self.target).abs()).sum(-1)

    @property
    def lipschitz(self) -> float:
        """A bound on how fast any step's score-to-go changes with all noise."""
        steps = len(self.matrix) // len(self.weights)
        stretch = torch.linalg.matrix_norm(self.matrix, 2)
        return float(stretch * self.weights.norm() * steps**0.5)


class WithoutPull(TheoremSchedule):
    """gamma_t in the proof only: iterates are taken to stay bounded by themselves."""

    def pull(self, t: int) -> float:
        return 0.0


class GammaAsFloor(WithoutPull):
    """gamma_t as all that the precision is sure to grow by: H_t = gamma_t I."""

    def bounds(self, t: int) -> tuple[float, float]:
        gamma = TheoremSchedule.pull(self, t)
        return gamma, gamma


class Swapped(GammaAsFloor):
    """alpha_t as the mean's step and beta_t as the precision's, H_t = gamma_t I."""

    def mean_step(self, t: int) -> float:
        return super().precision_step(t)

    def precision_step(self, t: int) -> float:
        return super().mean_step(t)


@dataclass(frozen=True)
class Reading(Paper):
    """`paper` under another reading of the sequences."""

    reading: type[TheoremSchedule] = TheoremSchedule

    def sequences(self) -> TheoremSchedule:
        return self.reading()

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), "reading": self.reading.__name__}


@dataclass(frozen=True)
class MinMaxGradient(Paper):
    """The theorem's steps on published weights, which every population scales to [0, 1] anew."""

    def update(self, state: State, draws: Tensor, costs: Costs, setting: Setting) -> State:
        progress = Progress.of(state.memory).after(costs)
        togo = score_to_go(costs.values, setting.layout.first_steps)
        weights = min_max(togo, costs.failed) / len(draws)
        step = self.sequences().step(state, draws, weights, weights, int(progress.iteration))
        return replace(step, memory=progress.tensors())


READINGS: dict[str, Paper] = {
    "theorem": Paper(schedule="theorem"),
    "theorem, no pull": Reading(schedule="theorem", reading=WithoutPull),
    "constant steps": Paper(),
    "theorem, min-max gradient": MinMaxGradient(schedule="theorem"),
    "gamma as a floor": Reading(schedule="theorem", reading=GammaAsFloor),
    "steps swapped": Reading(schedule="theorem", reading=Swapped),
}
COLORS = ("#c1440e", "#e0995e", "#2f5f8a", "#7b4fa3", "#3f8f5f", "#777777")


def average_regret(
    cost: NonSmooth, rule: Paper, iterations: int, population: int, seed: int
) -> tuple[np.ndarray, float]:
    """Average regret after 1..T iterations, and the first population's standard deviation."""
    steps = len(cost.matrix) // len(cost.weights)
    optimizer = Optimizer(steps, len(cost.weights), population, seed=seed, rule=rule)
    means, unit = np.empty(iterations), 0.0
    for iteration in range(iterations):
        scores = cost(optimizer.ask())
        optimizer.tell(scores)
        means[iteration] = float(scores.sum(1).mean())
        unit = unit or float(scores.sum(1).std(correction=0))
    return means.cumsum() / np.arange(1, iterations + 1), unit


def slope(regret: np.ndarray, factor: int) -> float:
    """Of log regret against log T, least squares over the last factor of T."""
    T = len(regret)
    times = np.unique(np.geomspace(max(T // factor, 1), T, 40).astype(int))
    return float(np.polyfit(np.log(times), np.log(regret[times - 1]), 1)[0])


def interval(values: Sequence[float]) -> str:
    """Mean and Student's 95 % interval."""
    mean = float(np.mean(values))
    if len(values) < 2:
        return f"{mean:.2f}"
    error = float(np.std(values, ddof=1)) / len(values) ** 0.5
    half = student.ppf(0.975, len(values) - 1) * error
    return f"{mean:.2f} [{mean - half:.2f}, {mean + half:.2f}]"


def schedules(options: argparse.Namespace) -> dict[tuple[str, str], np.ndarray]:
    """Run every reading on every problem, print the table; regrets with shape (seeds, T)."""
    first, last = max(options.iterations // options.range, 1), options.iterations
    print(
        f"D = {options.dim}, K = {options.steps}, N = {options.population}, "
        f"{options.seeds} seeds\n\n"
        f"| cost | schedule | regret at T = 1 | at {first} | at {last} | bound (T10) | slope |\n"
        "|---|---|---|---|---|---|---|"
    )
    curves = {}
    for problem in options.costs:
        for name in options.schedules or (READINGS if problem == "l1" else EVERYWHERE):
            condition, rule = CONDITIONS[problem], READINGS[name]
            runs, bounds = [], []
            for seed in range(options.seeds):
                cost = NonSmooth.draw(condition, options.dim, options.steps, seed)
                regret, unit = average_regret(cost, rule, last, options.population, seed)
                runs.append(regret)
                size = options.dim * options.steps
                bound = rule.sequences().bound(
                    last, size, cost.lipschitz / unit, cost.squared_distance
                )
                bounds.append(unit * bound)
            curves[problem, name] = np.array(runs)
            shown = [f"{np.mean(curves[problem, name][:, T - 1]):.3g}" for T in (1, first, last)]
            bound = f"{np.mean(bounds):.3g}" if name == "theorem" else "-"
            slopes = interval([slope(run, options.range) for run in runs])
            print(f"| {problem} | {name} | {' | '.join(shown)} | {bound} | {slopes} |", flush=True)
    return curves


def dimensions(options: argparse.Namespace) -> None:
    """Print how the regret, in units of the first population's spread, grows with D."""
    T = max(options.iterations // 4, 1)
    print(f"\n| D | regret at {T} / first spread |\n|---|---|")
    means = []
    for dim in options.dims:
        found = []
        for seed in range(options.seeds):
            cost = NonSmooth.draw(1.0, dim, options.steps, seed)
            regret, unit = average_regret(cost, READINGS["theorem"], T, options.population, seed)
            found.append(regret[-1] / unit)
        means.append(float(np.mean(found)))
        print(f"| {dim} | {means[-1]:.3g} |", flush=True)
    if len(means) > 1:
        power = np.polyfit(np.log(options.dims), np.log(means), 1)[0]
        print(f"\nregret grows like D^{power:.2f}; the theorem allows D^2")


def draw(curves: dict[tuple[str, str], np.ndarray], path: Path) -> None:
    """The average regret against T, one panel for each cost, all seeds and their mean."""
    from matplotlib.figure import Figure

    path.parent.mkdir(parents=True, exist_ok=True)
    figure = Figure(figsize=(8.5, 3.8), layout="constrained")
    costs = list(dict.fromkeys(problem for problem, _ in curves))
    panels = figure.subplots(1, len(costs), squeeze=False)[0]
    for axes, problem in zip(panels, costs, strict=True):
        for color, name in zip(COLORS, READINGS, strict=True):
            if (problem, name) not in curves:
                continue
            runs = curves[problem, name]
            T = np.unique(np.geomspace(1, runs.shape[1], 200).astype(int))
            mean = runs.mean(0)[T - 1]
            axes.plot(T, mean, color=color, label=name)
            low, high = runs.min(0)[T - 1], runs.max(0)[T - 1]
            axes.fill_between(T, low, high, color=color, alpha=0.15, linewidth=0)
        end = min(curves[key].mean(0)[-1] for key in curves if key[0] == problem)
        guide = 0.7 * end * (T / T[-1]) ** -0.5
        axes.plot(T, guide, color="black", linestyle=":", label="slope -1/2")
        axes.set(xscale="log", yscale="log", xlabel="iterations T", title=problem)
    panels[0].set_ylabel("average regret")
    panels[0].legend(frameon=False, fontsize="small")
    figure.savefig(path, metadata={"Date": None})
    print(f"\nfigure: {path}")


def count(text: str) -> int:
    """A whole number of at least 1, for argparse."""
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a number of at least 1, got {number}")
    return number


def picture(text: str) -> Path:
    """A path that matplotlib can draw to, for argparse."""
    path = Path(text)
    if path.suffix not in {".svg", ".png", ".pdf"}:
        raise argparse.ArgumentTypeError(f"expected .svg, .png or .pdf, got {path.name!r}")
    return path


def main() -> None:
    """Read the arguments, run and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--iterations", type=count, default=4000, help="T")
    parser.add_argument("--seeds", type=count, default=5)
    parser.add_argument("--dim", type=count, default=5, help="D of the comparison of schedules")
    parser.add_argument("--steps", type=count, default=4, help="K")
    parser.add_argument("--population", type=count, default=20, help="N")
    parser.add_argument("--range", type=count, default=16, help="slopes are of this factor of T")
    parser.add_argument("--costs", nargs="*", choices=CONDITIONS, default=list(CONDITIONS))
    parser.add_argument("--schedules", nargs="*", choices=READINGS, help="only these")
    parser.add_argument("--dims", type=count, nargs="*", default=[4, 8, 16], help="D to compare")
    parser.add_argument(
        "--figure", type=picture, help="where to draw the regret, such as regret.svg"
    )
    options = parser.parse_args()
    curves = schedules(options)
    if options.figure is not None:
        draw(curves, options.figure)
    if options.dims:
        dimensions(options)


if __name__ == "__main__":
    main()
