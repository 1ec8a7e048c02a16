"""The command line: dock, print the tables, draw the pictures."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from casbo.errors import CasboError
from casbo_molecules.arms import FRESH_SHARE, Spending
from casbo_molecules.docking_run import DockingOptions
from casbo_molecules.target import Target, default_target

from ..command_line import resumable_exit_code
from .study import ARMS, PLAIN, Trial, carry_out
from .tables import markdown, outcomes


def main(arguments: list[str] | None = None) -> int:
    """Do what the arguments, by default the command line's, say; 0 if it was done."""
    options = parser().parse_args(arguments)
    return resumable_exit_code(lambda: study(options))


def parser() -> argparse.ArgumentParser:
    """What the command line understands."""
    top = argparse.ArgumentParser(
        prog="python -m benchmarks.docking",
        description="Plain sampling, the best of it and steering, at equal numbers of dockings.",
    )
    top.add_argument("--receptor", type=Path, nargs="+", help="files; by default the embedded one")
    top.add_argument("--ligand", type=Path, nargs="+", help="a reference ligand for each receptor")
    top.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    top.add_argument("--queries", type=int, default=640, help="dockings of each arm")
    top.add_argument("--population", type=int, default=32, help="dockings of an iteration")
    top.add_argument("--fresh", type=float, default=FRESH_SHARE, help="share of fresh samples")
    top.add_argument("--atoms", type=int, help="heavy atoms; by default those of the ligand")
    top.add_argument("--steps", type=int, help="of the diffusion; by default the model's own")
    top.add_argument("--qed-weight", type=float, help="kcal/mol a unit; by default casbo dock's")
    top.add_argument("--sa-weight", type=float, help="kcal/mol a unit; by default casbo dock's")
    top.add_argument("--checked", type=int, default=20, help="samples for Vina Min, PoseBusters")
    top.add_argument(
        "--arms", nargs="+", choices=list(ARMS)[1:], help="besides plain sampling; by default all"
    )
    top.add_argument("--workers", type=int, default=1, help="docking processes")
    top.add_argument("--out", type=Path, default=Path("runs/docking"))
    top.add_argument("--figure", type=Path, help="an SVG or PNG file of the energies")
    top.add_argument("--molecules", type=Path, help="an SVG file of the best molecules")
    return top


def study(options: argparse.Namespace) -> None:
    """Carry out what is missing and show everything.

    Raises:
        CasboError: If something cannot be used, run, read or written.
    """
    spending = Spending(
        options.queries,
        options.population,
        workers=options.workers,
        fresh_share=options.fresh,
        checked=options.checked,
    )
    docking = DockingOptions(
        out=str(options.out),
        receptor="",
        sampler={} if options.steps is None else {"steps": options.steps},
        qed_weight=options.qed_weight,
        sa_weight=options.sa_weight,
    )
    trials = [
        Trial.of(target, docking, spending, options.atoms)
        for target in targets(options.receptor, options.ligand)
    ]
    options.out.mkdir(parents=True, exist_ok=True)
    path, arms = options.out / "results.jsonl", [PLAIN, *(options.arms or list(ARMS)[1:])]
    lines = carry_out(trials, options.seeds, path, lambda text: print(text, flush=True), arms)
    found = outcomes(lines, arms)
    print(markdown(found))
    if options.figure:
        from .figures import draw_energies

        print(draw_energies(found, options.figure))
    if options.molecules:
        from .figures import draw_best

        print(draw_best(found, options.molecules))


def targets(receptors: list[Path] | None, ligands: list[Path] | None) -> list[Target]:
    """The targets that were named, by their receptors' file names; the embedded one if none was.

    Raises:
        CasboError: Unless there is one ligand for each receptor, of different names.
    """
    receptors, ligands = receptors or [], ligands or []
    if len(receptors) != len(ligands):
        raise CasboError(
            f"expected one --ligand for each --receptor, got {len(ligands)} for {len(receptors)}"
        )
    if not receptors:
        embedded = default_target()
        return [Target("5-HT1B", embedded.receptor, embedded.ligand)]
    names = [path.stem for path in receptors]
    if len(set(names)) < len(names):
        raise CasboError(f"expected receptor files of different names, got {', '.join(names)}")
    pairs = zip(names, receptors, ligands, strict=True)
    return [Target(name, path.absolute(), ligand.absolute()) for name, path, ligand in pairs]


if __name__ == "__main__":
    sys.exit(main())
