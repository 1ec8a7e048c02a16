"""Molecules by their scaffolds: the buckets of a diversity filter."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from casbo.buckets import Buckets

from .errors import DockingInputError

if TYPE_CHECKING:
    from .docking_options import DockingOptions

KINDS: tuple[str, ...] = ("murcko", "generic")


class ScaffoldBuckets(Buckets):
    """A bucket for each scaffold: give it to ``casbo.steer(..., buckets=...)``.

    Parameters
    ----------
    size
        Molecules of a scaffold that count; further ones are told as failed.
    threshold
        Objective value that a molecule must reach to count, None for none. REINVENT counts those
        that score above 0.4 of 1.
    kind
        "murcko": rings and what links them (Bemis and Murcko 1996); "generic": the same with
        every atom a carbon and every bond single. Molecules without rings share no bucket.

    Raises
    ------
    casbo.errors.CasboError
        If an option cannot be used.
    """

    def __init__(
        self, size: int = 25, threshold: float | None = None, kind: str = "murcko"
    ) -> None:
        super().__init__(size, threshold)
        if kind not in KINDS:
            raise DockingInputError(
                f"expected scaffolds of the kind {', '.join(KINDS)}, got {kind!r}"
            )
        self.kind = kind

    def bucket(self, name: str) -> str | None:
        """The scaffold's SMILES; None without rings or for text that is no SMILES."""
        return scaffold(name, self.kind)

    def describe(self) -> dict[str, Any]:
        return {**super().describe(), "kind": self.kind}


def buckets_of(options: DockingOptions) -> ScaffoldBuckets | None:
    """The buckets that a run asks for, or None.

    Raises
    ------
    casbo.errors.CasboError
        If an option cannot be used.
    """
    if options.buckets is None:
        ScaffoldBuckets(kind=options.scaffold)  # says so if there is no such kind
        if options.bucket_threshold is not None:
            raise DockingInputError(
                "bucket_threshold goes with buckets; state --buckets N as well"
            )
        return None
    return ScaffoldBuckets(options.buckets, options.bucket_threshold, options.scaffold)


@lru_cache(maxsize=65_536)
def scaffold(smiles: str, kind: str = "murcko") -> str | None:
    """The Murcko scaffold of a molecule as canonical SMILES without stereochemistry, or None."""
    from rdkit import Chem, rdBase
    from rdkit.Chem.Scaffolds import MurckoScaffold

    with rdBase.BlockLogs():
        mol = Chem.MolFromSmiles(smiles)
        if mol is None:
            return None
        Chem.RemoveStereochemistry(mol)
        core = MurckoScaffold.GetScaffoldForMol(mol)
        if kind == "generic" and core.GetNumAtoms():
            core = MurckoScaffold.GetScaffoldForMol(MurckoScaffold.MakeScaffoldGeneric(core))
        return Chem.MolToSmiles(core) or None
