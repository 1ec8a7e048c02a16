"""The command line: measure, print tables, draw the figure."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from casbo.atomic import write_atomically
from casbo.errors import CasboError

from ..command_line import exit_code, positive
from .cases import CASES, GROWTH, MODEL_CASES, PEER_CASES, Case
from .measurement import PEERS, in_process
from .report import cost_table, draw, peer_table


def main(arguments: list[str] | None = None) -> int:
    """Do what the arguments, by default the command line's, say; 0 if it was done."""
    options = parser().parse_args(arguments)
    return exit_code(lambda: measure(options))


def parser() -> argparse.ArgumentParser:
    """What the command line understands."""
    top = argparse.ArgumentParser(
        prog="python -m benchmarks.engine_cost",
        description="Time and memory of ask + tell, beside bare linear algebra and peers.",
    )
    top.add_argument("--largest", type=int, default=65_536, help="leave out larger D")
    top.add_argument(
        "--blocks", type=positive, default=4, help="of iterations; the least mean counts"
    )
    top.add_argument("--peers", action="store_true", help="measure peers too")
    top.add_argument(
        "--models", action="store_true", help="instead, the sizes at which a model proposes"
    )
    top.add_argument("--limit", type=float, default=60.0, help="seconds for one peer at one size")
    top.add_argument("--out", type=Path, help="a JSON file of all numbers")
    top.add_argument(
        "--figure", type=Path, help="an SVG or PNG file of the growth with every size"
    )
    return top


def measure(options: argparse.Namespace) -> None:
    """All measurements asked for, one process after the other."""
    measured = []
    cases = MODEL_CASES if options.models else CASES
    for case in (case for case in cases if case.dim <= options.largest):
        found = _measured(case, options.blocks) | in_process("weight", case)
        if options.peers and case in PEER_CASES:
            found["peers"] = {
                name: in_process("peer", case, name, options.limit / 2, limit=options.limit)
                for name in PEERS
            }
        measured.append((case, found))
    print(cost_table(measured), end="\n\n")
    if options.peers:
        print(peer_table([(case, found) for case, found in measured if "peers" in found]))
    growth: dict[str, list[tuple[Case, dict[str, Any]]]] = {}
    if options.figure:
        growth = {
            name: [(case, _measured(case, 2)) for case in cases if case.dim <= options.largest]
            for name, cases in GROWTH.items()
        }
        draw(growth, options.figure)
    if options.out:
        rows = [case.to_json() | found for case, found in measured]
        grown = {n: [case.to_json() | found for case, found in rows] for n, rows in growth.items()}
        text = json.dumps({"cases": rows, "growth": grown}, indent=1)
        write_atomically(options.out, text.encode())


def _measured(case: Case, blocks: int) -> dict[str, Any]:
    found = in_process("engine", case, blocks)
    if "engine" not in found:
        raise CasboError(f"Expected {case.title} to be measured, got {found}.")
    print(f"{case.title}: {1e3 * found['engine']:.3g} ms", file=sys.stderr)
    return found


if __name__ == "__main__":
    sys.exit(main())
