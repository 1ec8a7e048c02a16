"""The command line: run folders here, everything else from the domains.

Exit codes: 0 when what was asked for exists, 2 with one line on stderr when it does not,
130 when interrupted.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from casbo.domains import LoadedDomains, load_domains
from casbo.version import __version__

if TYPE_CHECKING:
    from casbo.steering import Steering

RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="The run folder.")]


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit.

    Arguments:
        arguments: The arguments after the program's name; None takes the process's.
    """
    sys.exit(run(arguments))


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command line and return the exit code."""
    from casbo.errors import CasboError

    warnings.showwarning = _show_warning
    app = make_app(load_domains())
    try:
        app(args=None if arguments is None else list(arguments), prog_name="casbo")
    except CasboError as error:
        _say(f"casbo: {_one_line(error)}")
        return 2
    except KeyboardInterrupt:
        code = 130
    except SystemExit as stop:  # typer's way to end, successful or not
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    if code == 130:
        _say("casbo: interrupted. What was scored is kept: `casbo resume RUN` goes on.")
    return code


def make_app(loaded: LoadedDomains) -> typer.Typer:
    """The application with the commands of the domains that could be loaded."""
    app = typer.Typer(
        name="casbo",
        help="Steer pre-trained diffusion models with scores you can only call.",
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        epilog=_unavailable(loaded.problems),
    )
    app.callback()(_options)
    app.command("resume")(resume)
    app.command("report")(report)
    app.command("sample")(sample)
    for name, domain in sorted(loaded.domains.items()):
        try:
            domain.register(app)
        except Exception as error:  # noqa: BLE001 - one domain must not take the others along
            _say(f"casbo: the commands of {name} are not available ({_one_line(error)})")
    return app


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"casbo {__version__}")
        raise typer.Exit


def _options(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Show the version and exit.", callback=_show_version, is_eager=True
        ),
    ] = False,
) -> None:
    del version  # its callback has done the work


def resume(
    run: RunArgument,
    queries: Annotated[
        int | None, typer.Option(help="A new, larger budget of score queries.", min=1)
    ] = None,
    workers: Annotated[
        int | None, typer.Option(help="Scoring processes from here on.", min=0)
    ] = None,
    failure_limit: Annotated[
        float | None, typer.Option(help="The share of queries that may fail, from here on.")
    ] = None,
) -> None:
    """Go on with a run that was interrupted, or extend one that is done."""
    from casbo.domains import resume_parts
    from casbo.run_folder import PARTS

    asked = {"queries": queries, "workers": workers, "failure_limit": failure_limit}
    changes = {name: value for name, value in asked.items() if value is not None}
    if (run / PARTS).is_file():
        resume_parts(run, changes)
        return
    steering, finish = _reopen(run, changes)
    with steering:
        for _ in steering:
            pass
        result = steering.finish()
    if finish is not None:
        finish(result)
    last = result.history[-1]
    typer.echo(f"{run}: best {last.best:.6g} after {last.queries} queries, {last.failed} failed")
    typer.echo(f"report: {run / 'report.html'}")


def report(run: RunArgument) -> None:
    """Write the run's report.html anew."""
    from casbo.report import rewrite_report
    from casbo.run_folder import RunFolder

    typer.echo(str(rewrite_report(RunFolder.existing(run))))


def sample(
    run: RunArgument,
    count: Annotated[int, typer.Option("--count", "-n", help="How many samples.", min=1)] = 20,
    seed: Annotated[int, typer.Option(help="Determines the samples.")] = 1,
    out: Annotated[
        Path | None, typer.Option(help="Where to write them; by default inside the run folder.")
    ] = None,
) -> None:
    """Draw samples from what a run has learned; asks the scorer nothing."""
    from casbo.errors import CasboError

    steering, _ = _reopen(run, {"progress": False})
    with steering:
        samples = steering.result().sample(count, seed=seed)
        folder = run / "samples" / f"seed-{seed}" if out is None else out
        empty: list[dict[str, float]] = [{} for _ in samples]
        written = steering.rollout.export(samples, empty, folder)
    missing = [path for path in written if not path.is_file()]
    if missing or not written:
        raise CasboError(f"Expected samples in {folder}, nothing was written.")
    for path in written:
        typer.echo(str(path))


def _reopen(run: Path, changes: dict[str, Any]) -> tuple[Steering, Any]:
    """A run's steering where it stopped, and its domain's `finish`."""
    from casbo.domains import rebuild_problem
    from casbo.run_config import steering_options
    from casbo.run_folder import RunFolder
    from casbo.steering import Steering

    config = RunFolder.existing(run).read_config()
    problem = rebuild_problem(config)
    options = {"progress": True, **steering_options(config), **changes}
    steering = Steering(
        problem.rollout,
        problem.scorer,
        run=run,
        **problem.steering_options(),
        **options,
    )
    return steering, problem.finish


def _unavailable(problems: Any) -> str | None:  # noqa: ANN401
    """The help's last line: domains that could not be loaded."""
    lines = [f"{name}: {problem}" for name, problem in sorted(problems.items())]
    return f"Not available: {'; '.join(lines)}" if lines else None


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    _say(f"casbo: {' '.join(str(message).split())}")


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()
