"""The demo: plain sampling against steering on one receptor, at the same number of dockings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from .arms import Spending, best_arm, plain_arm, steered_arm
from .comparison import Column, table

if TYPE_CHECKING:
    from casbo.result import Result

    from .docking_run import DockingOptions
    from .vina import VinaScore

PLAIN, STEERED = "plain", "steered"  # the two folders


@dataclass(frozen=True)
class Demonstration:
    """The columns of the comparison (plain, the best of it, steered) and the steered run."""

    columns: tuple[Column, ...]
    result: Result


def demonstrate(
    options: DockingOptions,
    vina: VinaScore,
    out: Path,
    spending: Spending,
    *,
    say: Callable[[str], None],
) -> Demonstration:
    """Run both, each in a folder of its own under ``out``; a second call takes up where one stopped.

    Raises
    ------
    casbo.errors.CasboError
        If something cannot be read or written.
    """
    from casbo.atomic import write_atomically

    folders = [replace(options, out=str((out / name).absolute())) for name in (PLAIN, STEERED)]
    say(f"steering: {spending.learning} dockings to learn, {spending.fresh} of fresh samples")
    steered, result = steered_arm(folders[1], vina, spending, outputs=True)
    say(f"plain sampling: {spending.queries} dockings")
    plain = plain_arm(folders[0], vina, spending)
    say(f"checking {spending.checked} molecules of each")
    columns = (
        plain.column("plain"),
        best_arm(plain, key=lambda row: row.score).column("best of plain"),
        steered.column("steered"),
    )
    write_atomically(out / "comparison.txt", f"{table(columns)}\n".encode())
    return Demonstration(columns, result)
