"""Hard filters: molecules that are not worth a docking, whatever their score would be."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from casbo.errors import CandidateFailed
from casbo.run_config import describe
from casbo.scorer import Scorer, describe_scorer, scorer_direction

from .candidates import score_each
from .errors import DockingInputError
from .molecule import Molecule

if TYPE_CHECKING:
    from rdkit.Chem import Mol
    from rdkit.Chem.FilterCatalog import FilterCatalog

    from .docking_options import DockingOptions

CATALOGS: tuple[str, ...] = ("PAINS", "BRENK", "NIH", "ZINC")
"""RDKit's catalogues of alerts: PAINS (Baell and Holloway 2010), Brenk et al. 2008, NIH, ZINC."""


class Filter(ABC):
    """Says of a molecule why it is refused, or None."""

    @abstractmethod
    def problem(self, mol: Mol) -> str | None:
        """Why a sanitised molecule does not pass, or None if it does."""

    def describe(self) -> dict[str, Any]:
        """What identifies the filter, as JSON values."""
        return {"filter": type(self).__name__, **describe(vars(self))}


@dataclass(frozen=True)
class Substructures(Filter):
    """Patterns that a molecule must not have, and others that it must.

    Parameters
    ----------
    forbidden, required
        SMARTS.

    Raises
    ------
    DockingInputError
        If a pattern is no SMARTS, or there is none at all.
    """

    forbidden: tuple[str, ...] = ()
    required: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not (self.forbidden or self.required):
            raise DockingInputError("expected at least one SMARTS pattern, got none")
        for smarts in (*self.forbidden, *self.required):
            _pattern(smarts)

    def problem(self, mol: Mol) -> str | None:
        for smarts in self.forbidden:
            if mol.HasSubstructMatch(_pattern(smarts)):
                return f"has {smarts}"
        for smarts in self.required:
            if not mol.HasSubstructMatch(_pattern(smarts)):
                return f"lacks {smarts}"
        return None


@dataclass(frozen=True)
class Alerts(Filter):
    """Structural alerts by RDKit's catalogues.

    Parameters
    ----------
    catalogs
        Names of :data:`CATALOGS`.

    Raises
    ------
    DockingInputError
        If a catalogue is not one of these.
    """

    catalogs: tuple[str, ...] = ("PAINS",)

    def __post_init__(self) -> None:
        unknown = [name for name in self.catalogs if name not in CATALOGS]
        if unknown or not self.catalogs:
            raise DockingInputError(
                f"expected catalogues of {', '.join(CATALOGS)}, got "
                f"{unknown[0] if unknown else 'none'!r}"
            )

    def problem(self, mol: Mol) -> str | None:
        match = _catalog(self.catalogs).GetFirstMatch(mol)
        return None if match is None else f"alert {match.GetDescription()}"


@dataclass(frozen=True)
class Size(Filter):
    """Bounds, all inclusive.

    Parameters
    ----------
    heavy_atoms
        Fewest and most.
    weight
        Least and most, g/mol.
    rotatable_bonds
        Most.
    largest_ring
        Most atoms of a ring.

    Raises
    ------
    DockingInputError
        If a lower bound lies above its upper one.
    """

    heavy_atoms: tuple[int, int] = (1, 1000)
    weight: tuple[float, float] = (0.0, 10_000.0)
    rotatable_bonds: int = 1000
    largest_ring: int = 1000

    def __post_init__(self) -> None:
        for name, bounds in (("heavy_atoms", self.heavy_atoms), ("weight", self.weight)):
            if len(bounds) != 2 or not bounds[0] <= bounds[1]:
                raise DockingInputError(f"expected {name} as (least, most), got {bounds}")

    def problem(self, mol: Mol) -> str | None:
        from rdkit.Chem import Descriptors, rdMolDescriptors

        measured = (
            ("heavy atoms", mol.GetNumHeavyAtoms(), self.heavy_atoms),
            ("g/mol", float(Descriptors.MolWt(mol)), self.weight),
            (
                "rotatable bonds",
                rdMolDescriptors.CalcNumRotatableBonds(mol),
                (0, self.rotatable_bonds),
            ),
            (
                "atoms in a ring",
                max((len(ring) for ring in mol.GetRingInfo().AtomRings()), default=0),
                (0, self.largest_ring),
            ),
        )
        for what, value, (least, most) in measured:
            if not least <= value <= most:
                return f"{value:g} {what}"
        return None


def filters_of(options: DockingOptions) -> list[Filter]:
    """The filters that a run asks for; none by default.

    Raises
    ------
    DockingInputError
        If a pattern, a catalogue or a bound cannot be used.
    """
    found: list[Filter] = []
    bounds = {
        "weight": options.max_weight,
        "rotatable_bonds": options.max_rotatable,
        "largest_ring": options.max_ring,
    }
    stated = {name: bound for name, bound in bounds.items() if bound is not None}
    if any(bound < 0 for bound in stated.values()):
        raise DockingInputError(
            "expected --max-weight, --max-rotatable and --max-ring of 0 or more, got "
            f"{', '.join(f'{bound:g}' for bound in stated.values())}"
        )
    if "weight" in stated:
        stated["weight"] = (0.0, stated["weight"])
    if stated:
        found.append(Size(**stated))  # cheapest first
    if options.require or options.forbid:
        found.append(Substructures(forbidden=options.forbid, required=options.require))
    if options.alerts:
        found.append(Alerts(options.alerts))
    return found


class Filtered:
    """A scorer that asks another only about molecules that pass every filter.

    The others have failed, with the filter's reason, before anything is docked. Failures count
    towards a run's ``failure_limit``: raise it where filters refuse most of what the model makes.

    Raises
    ------
    casbo.errors.CandidateFailed
        If the only sample of a call fails.
    """

    def __init__(self, scorer: Scorer, filters: Sequence[Filter]) -> None:
        self.scorer = scorer
        self.filters = tuple(filters)
        self.direction = scorer_direction(scorer, None)
        self.components: tuple[str, ...] = tuple(getattr(scorer, "components", ()))

    def prepare(self) -> None:
        """The other scorer's preparation."""
        prepare = getattr(self.scorer, "prepare", None)
        if callable(prepare):
            prepare()

    def effort(self, molecule: Molecule) -> float:
        """The other scorer's effort, where it states one; 0 for what is refused."""
        effort = getattr(self.scorer, "effort", None)
        refused = molecule.mol is None or self.problem(molecule.mol) is not None
        return 0.0 if refused or not callable(effort) else float(effort(molecule))

    def __call__(self, samples: Sequence[Molecule]) -> dict[str, np.ndarray]:
        return score_each(samples, self.components, self._score)

    def problem(self, mol: Mol) -> str | None:
        """Why a molecule is refused, by the first filter that refuses it."""
        return next(
            (problem for one in self.filters if (problem := one.problem(mol)) is not None), None
        )

    def describe(self) -> dict[str, Any]:
        """What identifies this scorer, as JSON values."""
        return {
            "name": "Filtered",
            "filters": [one.describe() for one in self.filters],
            "scorer": describe_scorer(self.scorer),
        }

    def _score(self, molecule: Molecule) -> dict[str, float]:
        problem = self.problem(molecule.require())
        if problem is not None:
            raise CandidateFailed(f"filter: {problem}")
        reply = self.scorer([molecule])
        return {name: float(reply[name][0]) for name in self.components}


@lru_cache(maxsize=256)
def _pattern(smarts: str) -> Mol:
    from rdkit import Chem, rdBase

    with rdBase.BlockLogs():
        pattern = Chem.MolFromSmarts(smarts)
    if pattern is None or pattern.GetNumAtoms() == 0:
        raise DockingInputError(f"expected a SMARTS pattern, got {smarts!r:.80}")
    return pattern


@lru_cache(maxsize=8)
def _catalog(names: tuple[str, ...]) -> FilterCatalog:
    from rdkit.Chem.FilterCatalog import FilterCatalog, FilterCatalogParams

    parameters = FilterCatalogParams()
    for name in names:
        parameters.AddCatalog(getattr(FilterCatalogParams.FilterCatalogs, name))
    return FilterCatalog(parameters)
