"""Hard filters and scaffold buckets, on molecules whose answer is known."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from molecule_samples import DRUG_LIKE, conformer
from rdkit import Chem

from casbo.buckets import Scored
from casbo.errors import CandidateFailed, CasboError
from casbo.testing import check_scorer
from casbo_molecules.errors import DockingInputError
from casbo_molecules.filters import Alerts, Filtered, Size, Substructures
from casbo_molecules.molecule import Molecule
from casbo_molecules.properties import Properties
from casbo_molecules.scaffolds import ScaffoldBuckets, scaffold

RHODANINE = "O=C1C(=Cc2ccccc2)SC(=S)N1C"


def mol(smiles: str) -> Chem.Mol:
    return Chem.MolFromSmiles(smiles)


@pytest.mark.parametrize(
    ("one", "smiles", "problem"),
    [
        (Substructures(forbidden=("[N+](=O)[O-]",)), "c1ccccc1[N+](=O)[O-]", "has [N+]"),
        (Substructures(forbidden=("[N+](=O)[O-]",)), "c1ccccc1N", None),
        (Substructures(required=("c1ccncc1",)), "c1ccccc1", "lacks c1ccncc1"),
        (Substructures(required=("c1ccncc1",)), "Cc1ccncc1", None),
        (Alerts(), RHODANINE, "alert"),
        (Alerts(), "CC(=O)Nc1ccccc1", None),
        (Alerts(("PAINS", "BRENK")), "CC(=O)C=CC(=O)Cl", "alert"),
        (Size(heavy_atoms=(4, 9)), "CCO", "3 heavy atoms"),
        (Size(heavy_atoms=(3, 3)), "CCO", None),
        (Size(weight=(0.0, 40.0)), "CCO", "g/mol"),
        (Size(rotatable_bonds=1), "CCCCCC", "3 rotatable bonds"),
        (Size(largest_ring=6), "C1CCCCCC1", "7 atoms in a ring"),
    ],
)
def test_filters(one: Substructures | Alerts | Size, smiles: str, problem: str | None) -> None:
    found = one.problem(mol(smiles))
    assert found is None if problem is None else found is not None and problem in found


class Counting(Properties):
    """Counts what it is asked about."""

    asked = 0

    def __call__(self, samples: Sequence[Molecule]) -> dict[str, np.ndarray]:
        type(self).asked += len(samples)
        return super().__call__(samples)

    def effort(self, molecule: Molecule) -> float:
        return float(len(molecule.positions))


def test_what_is_refused_is_never_scored() -> None:
    molecules = [Molecule.from_mol(conformer(smiles)) for smiles in (RHODANINE, "CC(=O)N")]
    filtered = Filtered(Counting(), [Alerts()])
    Counting.asked = 0
    qed = filtered(molecules)["qed"]
    assert Counting.asked == 1
    assert np.isnan(qed[0])
    assert qed[1] == Properties()([molecules[1]])["qed"][0]
    with pytest.raises(CandidateFailed, match="filter: alert"):
        filtered(molecules[:1])
    assert [filtered.effort(one) for one in molecules] == [0.0, 4.0]
    report = check_scorer(filtered, molecules)
    assert (report.failed, report.picklable) == (1, True)
    assert filtered.describe()["filters"][0] == {"filter": "Alerts", "catalogs": ["PAINS"]}


@pytest.mark.parametrize(
    "wrong",
    [
        Substructures,
        lambda: Substructures(forbidden=("not smarts[",)),
        lambda: Substructures(required=("",)),
        lambda: Alerts(("FOO",)),
        lambda: Alerts(()),
        lambda: Size(heavy_atoms=(9, 3)),
        lambda: Size(weight=(float("nan"), 3.0)),
    ],
)
def test_bad_filters(wrong: object) -> None:
    with pytest.raises(DockingInputError, match="expected"):
        wrong()  # type: ignore[operator]


@given(st.text(max_size=20))
def test_any_text_is_a_pattern_or_refused(text: str) -> None:
    with contextlib.suppress(DockingInputError):
        Substructures(forbidden=(text,)).problem(mol("CCO"))


def test_scaffolds_are_murckos() -> None:
    assert scaffold("CC(=O)Nc1ccc(OCC2CCNCC2)cc1") == "c1ccc(OCC2CCNCC2)cc1"
    assert scaffold("C[C@H](N)c1ccccc1") == scaffold("C[C@@H](N)c1ccccc1C") == "c1ccccc1"
    assert scaffold("c1ccncc1", "generic") == scaffold("C1CCCCC1", "generic") == "C1CCCCC1"
    assert scaffold("CCO") is None
    assert scaffold("no smiles") is None


def test_a_full_scaffold_refuses_and_the_others_do_not() -> None:
    names = ["Cc1ccccc1", "CCO", "Oc1ccccc1", "c1ccncc1", "Nc1ccccc1", None, "Cc1ccncc1"]
    scored = [Scored(0, name, -5.0) for name in names]
    room = ScaffoldBuckets(2).admitted(scored, "minimize")
    assert room == [True, True, True, True, False, True, True]
    assert ScaffoldBuckets(1, kind="generic").admitted(scored, "minimize")[3] is False
    assert all(ScaffoldBuckets(1, threshold=-6.0).admitted(scored, "minimize"))
    assert ScaffoldBuckets(3).describe()["kind"] == "murcko"
    with pytest.raises(CasboError, match="kind"):
        ScaffoldBuckets(kind="none")


def test_every_drug_like_molecule_has_a_scaffold_inside_it() -> None:
    for smiles in DRUG_LIKE:
        core = scaffold(smiles)
        assert core is not None
        assert mol(smiles).HasSubstructMatch(Chem.MolFromSmiles(core))
