"""Residues as a user names them: by name (``ZN``), or by place (``A:301``)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import DockingInputError
from .residues import place

if TYPE_CHECKING:
    import gemmi

_NAME = re.compile(r"[^\s:=,]{1,5}")
_PLACE = re.compile(r"[^\s:=,]*:-?\d+[A-Za-z]?")


@dataclass(frozen=True)
class Selection:
    """Residues by name or place.

    Parameters
    ----------
    entries
        Names (``ZN``) and places (``A:301``, ``A:52B`` with an insertion code, ``:301`` where
        the chain has no name).

    Raises
    ------
    DockingInputError
        If an entry is neither.
    """

    entries: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for entry in self.entries:
            if not (_NAME.fullmatch(entry) or _PLACE.fullmatch(entry)):
                raise DockingInputError(
                    f"expected residues by name, such as ZN, or by place, such as A:301, got "
                    f"{entry!r:.40}"
                )

    def __contains__(self, where: tuple[gemmi.Chain, gemmi.Residue]) -> bool:
        """Whether a residue of a chain is meant."""
        chain, residue = where
        return residue.name in self.entries or place(chain, residue) in self.entries

    def require_present(self, path: Path, model: gemmi.Model, option: str) -> None:
        """Refuse names and places that the model does not have.

        Raises
        ------
        DockingInputError
            With ``option``, and what there is besides standard residues.
        """
        from .residues import is_standard

        names = {residue.name for chain in model for residue in chain}
        places = {place(chain, residue) for chain in model for residue in chain}
        for entry in self.entries:
            if entry not in names and entry not in places:
                others = sorted(name for name in names if not is_standard(name))
                raise DockingInputError(
                    f"{path}: no residue {entry} for {option}; besides amino acids and "
                    f"nucleotides it has {', '.join(others) or 'nothing'}"
                )


@dataclass(frozen=True)
class AlternateChoice:
    """Which alternate locations are wanted.

    Parameters
    ----------
    everywhere
        The label wanted wherever there is one of this name, None for the most occupied.
    places
        Labels by place, such as ``{"A:45": "B"}``.
    """

    everywhere: str | None
    places: dict[str, str]

    @classmethod
    def parse(cls, entries: Sequence[str]) -> AlternateChoice:
        """Read entries such as ``B`` (everywhere) and ``A:45=B`` (one residue).

        Raises
        ------
        DockingInputError
            If an entry is of neither form, or two say different things.
        """
        everywhere: list[str] = []
        places: dict[str, str] = {}
        for entry in entries:
            where, equals, wanted = entry.rpartition("=")
            sound = len(wanted) == 1 and wanted.isascii() and wanted.isalnum()
            if not sound or bool(equals) != bool(_PLACE.fullmatch(where)):
                raise DockingInputError(
                    "expected an alternate location as a letter for all residues, such as B, or "
                    f"for one, such as A:45=B, got {entry!r:.40}"
                )
            if not equals:
                everywhere.append(wanted)
            if (equals and places.setdefault(where, wanted) != wanted) or len(everywhere) > 1:
                raise DockingInputError(
                    f"expected one alternate location for {where or 'all residues'}, got "
                    f"{entry!r:.40} besides another"
                )
        return cls(everywhere[0] if everywhere else None, places)

    def of(self, where: str) -> str | None:
        """The label wanted at a place, or None."""
        return self.places.get(where, self.everywhere)
