"""``casbo functions``: steer a synthetic problem whose answer is known."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from casbo.domains import Domain, Problem
from casbo.errors import CasboError
from casbo.settings import stated

if TYPE_CHECKING:
    from casbo.result import Result

Function = Annotated[
    str | None,
    typer.Argument(
        metavar="NAME",
        help="A test function, or a whole problem such as sphere/mixture/cumulative/10x5; "
        "`casbo functions --list` names them.",
    ),
]
#: The options that a whole problem's name stands for.
NAMED = ("dynamics", "dim", "steps", "cumulative", "noise", "failures")


def register(app: typer.Typer) -> None:
    """Add this domain's command."""
    app.command("functions")(functions)


def rebuild(options: Mapping[str, Any]) -> Problem:
    """Build the problem of a run folder from the options in its config."""
    from .problems import sequential_problem

    problem = sequential_problem(**dict(options))
    return Problem(problem.rollout, problem.scorer, finish=partial(finish, options=options))


domain = Domain(name="functions", register=register, rebuild=rebuild)


def functions(
    context: typer.Context,
    function: Function = None,
    *,
    list_: Annotated[
        bool, typer.Option("--list", help="List functions, dynamics, sizes and variants.")
    ] = False,
    dynamics: Annotated[str, typer.Option(help="How noise becomes samples.")] = "rotation",
    dim: Annotated[int, typer.Option(min=1, help="Coordinates of a sample.")] = 10,
    steps: Annotated[int, typer.Option(min=1, help="Noise steps.")] = 5,
    cumulative: Annotated[
        bool, typer.Option(help="Score the predicted sample after every step too.")
    ] = False,
    noise: Annotated[float, typer.Option(min=0.0, help="Relative noise of the scores.")] = 0.0,
    failures: Annotated[float, typer.Option(min=0.0, help="Share of scores that fail.")] = 0.0,
    problem_seed: Annotated[int, typer.Option(help="Draws the optimum and the system.")] = 0,
    queries: Annotated[int, typer.Option(min=1, help="Score queries to spend.")] = 4000,
    population: Annotated[int | None, typer.Option(help="Candidates per iteration.")] = None,
    rule: Annotated[str, typer.Option(help="The update rule.")] = "default",
    covariance: Annotated[str, typer.Option(help="The covariance type.")] = "full",
    seed: Annotated[int, typer.Option(help="Seed of the run.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Run folder; none by default.")] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Cost against queries, as .svg or .png.")
    ] = None,
) -> None:
    """Steer a synthetic problem and compare with plain sampling and the known minimum."""
    if list_:
        typer.echo(listing())
        return
    if function is None:
        raise CasboError(
            "Expected the name of a test function; `casbo functions --list` names them."
        )
    if "/" in function:
        options = _named(function, context)
    else:
        options = {"function": function, **{name: context.params[name] for name in NAMED}}
    options["seed"] = problem_seed
    from .problems import sequential_problem

    problem = sequential_problem(**options)  # first: it refuses what cannot be
    if plot is not None:
        from .plot import check_target

        check_target(plot)

    from casbo.steering import steer

    result = steer(
        problem.rollout,
        problem.scorer,
        queries=queries,
        population=population,
        rule=rule,
        covariance=covariance,
        seed=seed,
        score_steps=problem.score_steps,
        run=out,
        domain=domain.config(options),
    )
    finish(result, options=options, plot=plot)


def finish(result: Result, *, options: Mapping[str, Any], plot: Path | None = None) -> None:
    """Print what was reached and draw it; in a run folder always, else where it was asked for."""
    from casbo.evaluation import evaluate

    from .plot import plot_cost
    from .problems import sequential_problem
    from .scorers import FunctionScorer

    problem = sequential_problem(**dict(options))
    truth = FunctionScorer(problem.scorer.function)
    spent = result.history[-1].queries
    # what the same number of queries buys by luck
    plain = evaluate(None, problem.rollout, truth, n=spent, seed=1, batch=256).best
    steered = float(problem.scorer.function(result.best.sample))
    typer.echo(summary(options, spent, steered, plain))
    target = plot if plot is not None or result.run is None else result.run / "cost.svg"
    if target is not None:
        path = plot_cost(result.history, target, title=title(options), plain_best=plain)
        typer.echo(f"cost against queries: {path}")


def title(options: Mapping[str, Any]) -> str:
    """One line naming the problem."""
    score = "cumulative" if options["cumulative"] else "terminal"
    return (
        f"{options['function']}, {options['dynamics']}, D = {options['dim']}, "
        f"K = {options['steps']}, {score} score"
    )


def summary(options: Mapping[str, Any], queries: int, best: float, plain: float) -> str:
    """What was reached, as text."""
    return "\n".join(
        [
            title(options),
            f"{queries} queries; true costs of final samples, the minimum is 0",
            f"  best steered sample    {best:.6g}",
            f"  best unsteered sample  {plain:.6g}",
        ]
    )


def listing() -> str:
    """Names of functions and dynamics, sizes and variants, as text."""
    from .functions import FORMULAS
    from .problems import ROLLOUTS
    from .suite import FAILURES, NOISE, SIZES, SUITES

    width = max(map(len, (*FORMULAS, *ROLLOUTS)))
    functions_ = [
        f"  {name:<{width}}  {'convex' if f.convex else 'not convex'}, "
        f"{'smooth' if f.smooth else 'not smooth'} at its minimum"
        for name, f in FORMULAS.items()
    ]
    dynamics_ = [f"  {name:<{width}}  {meaning}" for name, meaning in ROLLOUTS.items()]
    return "\n".join(
        [
            "functions; the minimum of each is 0, at a place that --problem-seed draws",
            *functions_,
            "dynamics (--dynamics)",
            *dynamics_,
            f"whole problems: function/dynamics/score/DxK, {len(SUITES['full']())} of them",
            "  score     terminal, cumulative",
            f"  DxK       {', '.join(f'{dim}x{steps}' for dim, steps in SIZES)}",
            f"  variants  /noise-{NOISE:g}, /failures-{FAILURES:g} behind the size",
            f"  such as   sphere/mixture/cumulative/10x5/noise-{NOISE:g}",
        ]
    )


def _named(name: str, context: typer.Context) -> dict[str, Any]:
    """The options that a whole problem's name stands for."""
    from .suite import ProblemSpec

    told = stated(context)
    if given := [option for option in NAMED if option in told]:
        raise CasboError(
            f"Expected {name!r} without --{given[0]}: the name says it. Take the function alone "
            "to choose it."
        )
    return ProblemSpec.named(name).options()
