"""The command line: `run` spends queries, `tables` shows what they bought, `list` names things."""

from __future__ import annotations

import argparse
import json
import sys
import time
from ast import literal_eval
from pathlib import Path

from casbo.atomic import write_atomically
from casbo.errors import CasboError
from casbo_functions import SUITES, ProblemSpec

from ..command_line import resumable_exit_code, seeds
from .methods import METHODS
from .runs import carry_out, missing, planned

SEEDS = (
    "seeds as 0:5 or a number. Seeds 0 to 9 are the reported ones; whoever tunes anything takes "
    "seeds from 100 on, never these"
)


def main(arguments: list[str] | None = None) -> int:
    """Do what the arguments, by default the command line's, say; 0 if it was done."""
    options = parser().parse_args(arguments)
    return resumable_exit_code(lambda: options.action(options))


def parser() -> argparse.ArgumentParser:
    """What the command line understands."""
    top = argparse.ArgumentParser(
        prog="python -m benchmarks.optimizers",
        description="Compare optimisers on sequential problems whose minimum is known.",
    )
    actions = top.add_subparsers(required=True, metavar="ACTION")
    running = actions.add_parser("run", help="spend queries, write JSON lines")
    running.add_argument("--suite", choices=sorted(SUITES), default="core")
    running.add_argument("--problems", nargs="+", metavar="NAME", help="instead of a suite")
    running.add_argument(
        "--methods", nargs="+", default=["peers"], metavar="NAME", help="names, or: peers, all"
    )
    running.add_argument("--seeds", type=seeds, default=range(5), help=SEEDS)
    running.add_argument("--population", type=int, default=20, help="N")
    running.add_argument("--queries", type=int, default=4000, help="candidates, N an iteration")
    running.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="an option of the methods that take any: casbo's rules, openai-es",
    )
    running.add_argument("--jobs", type=int, default=1, help="processes")
    running.add_argument("--out", type=Path, required=True, help="JSON lines; runs in it are kept")
    running.set_defaults(action=run)
    showing = actions.add_parser("tables", help="show what the queries bought")
    showing.add_argument("files", nargs="+", type=Path, metavar="FILE", help="JSON lines of runs")
    showing.add_argument("--population", type=int, help="only runs of this N")
    showing.add_argument("--queries", type=int, help="only runs of this budget")
    showing.add_argument("--seeds", type=seeds, help="only these: 0:5 or a number")
    showing.add_argument("--methods", nargs="+", metavar="NAME", help="only these; peers, all")
    showing.add_argument("--write", type=Path, metavar="PAGE", help="into a page, between marks")
    showing.add_argument("--figure", type=Path, help="the runtime distribution, .svg or .png")
    showing.add_argument("--json", type=Path, help="everything as one JSON file")
    showing.set_defaults(action=tables)
    listing = actions.add_parser("list", help="name the methods and a suite's problems")
    listing.add_argument("--suite", choices=sorted(SUITES), default="core")
    listing.set_defaults(action=list_)
    return top


def run(options: argparse.Namespace) -> None:
    """Do the runs that the file lacks."""
    if options.jobs < 1:
        raise CasboError(f"Expected at least one job, got {options.jobs}.")
    if options.problems:
        problems = [ProblemSpec.named(name) for name in options.problems]
    else:
        problems = list(SUITES[options.suite]())
    runs = planned(
        problems,
        methods(options.methods),
        options.seeds,
        population=options.population,
        queries=options.queries,
        options=dict(map(option, options.option)),
    )
    left = missing(runs, options.out)
    print(
        f"{len(runs)} runs, {len(runs) - len(left)} of them in {options.out} already", flush=True
    )
    begun = time.monotonic()
    for number, line in enumerate(carry_out(left, options.out, jobs=options.jobs), 1):
        spent = time.monotonic() - begun
        ahead = spent / number * (len(left) - number)
        print(
            f"{number}/{len(left)} seed {line['seed']} {line['method']} {line['problem']}: "
            f"{line['best'][-1]}, {line['cpu_seconds']:.2f} CPU s"
            f"{' diverged' if line['stopped'] else ''}; {spent:.0f} s, {ahead:.0f} s to go",
            flush=True,
        )


def methods(names: list[str]) -> list[str]:
    """Names with "peers" and "all" spelt out."""
    groups = {"peers": [n for n, m in METHODS.items() if m.peer], "all": list(METHODS)}
    return list(dict.fromkeys(one for name in names for one in groups.get(name, [name])))


def option(text: str) -> tuple[str, object]:
    """Read name=value; a value that is no Python literal is text."""
    name, separator, value = text.partition("=")
    if not separator or not name.isidentifier():
        raise CasboError(f"Expected --option as name=value, got {text!r}.")
    try:
        return name, literal_eval(value)
    except (ValueError, SyntaxError):
        return name, value


def tables(options: argparse.Namespace) -> None:
    """Print or write the tables; draw the figure."""
    from .curves import load
    from .figure import draw
    from .tables import Report, write_between_marks

    if options.figure is not None and options.figure.suffix not in {".svg", ".png"}:
        raise CasboError(f"Expected --figure to end in .svg or .png, got {options.figure.name!r}.")
    study = load(
        options.files,
        population=options.population,
        queries=options.queries,
        seeds=options.seeds,
        methods=None if options.methods is None else methods(options.methods),
    )
    report = Report.of(study)
    if options.write is None:
        print(report.markdown())
    else:
        write_between_marks(options.write, report.markdown())
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(options.json, (json.dumps(report.as_json(), indent=1) + "\n").encode())
    if options.figure is not None:
        draw(study, options.figure)


def list_(options: argparse.Namespace) -> None:
    """Print the names of methods and problems."""
    for name, method in METHODS.items():
        print(f"{name:<16}{method.title}")
    for spec in SUITES[options.suite]():
        print(spec.name)


if __name__ == "__main__":
    sys.exit(main())
