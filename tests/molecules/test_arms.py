"""Ways to spend dockings: what is counted, chosen and measured, against what must come out."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from molecule_choice import MoleculeChoice
from molecule_samples import DRUG_LIKE, conformer
from rdkit import Chem
from rdkit.Chem import rdMolTransforms
from scipy.spatial.transform import Rotation

from casbo.rollout import Rollout
from casbo_molecules import docking_run
from casbo_molecules.arms import Arm, Spending, best_arm, plain_arm, steered_arm
from casbo_molecules.comparison import Column, average, table
from casbo_molecules.docking_run import DockingOptions, vina_score
from casbo_molecules.errors import DockingInputError
from casbo_molecules.molecule import Molecule
from casbo_molecules.pose_quality import laid_on, pose_quality
from casbo_molecules.run_metrics import query_metrics
from casbo_molecules.tables import ScoredMolecule
from casbo_molecules.vina import VinaScore

CHOICES = [Molecule.from_mol(conformer(smiles)) for smiles in DRUG_LIKE[:4]]
FAILED = ScoredMolecule(0, 9, None, math.nan, {}, "no")


def stand_in(options: DockingOptions) -> Rollout:
    del options
    return MoleculeChoice(CHOICES)


def row(number: int, vina: float, smiles: str = "CCO") -> ScoredMolecule:
    chemistry = {"vina": vina, "qed": 0.5, "sa_normalised": 0.8}
    return ScoredMolecule(0, number, smiles, vina - 6.4, chemistry)


@given(
    queries=st.integers(1, 3000),
    population=st.integers(2, 64),
    share=st.floats(0.01, 0.9, allow_nan=False),
)
def test_a_steered_budget_is_whole_iterations_and_fresh_samples(
    queries: int, population: int, share: float
) -> None:
    try:
        spending = Spending(queries, population, fresh_share=share)
    except DockingInputError:
        assert queries * (1 - share) < 2 * population + 1
        return
    assert spending.learning + spending.fresh == queries
    assert spending.learning % population == 0
    assert share * queries - 1e-9 <= spending.fresh < share * queries + population + 1


@pytest.mark.parametrize("share", [0.0, 1.0, math.nan])
def test_a_share_is_a_share(share: float) -> None:
    with pytest.raises(DockingInputError, match="share"):
        Spending(640, fresh_share=share)


@given(st.lists(st.floats(-12, -3, allow_nan=False), min_size=1, max_size=40))
def test_the_best_of_plain_are_its_best(energies: list[float]) -> None:
    rows = (*(row(number, vina) for number, vina in enumerate(energies)), FAILED)
    spending = Spending(50, 4)
    plain = Arm(DockingOptions("", ""), None, spending, rows, rows)  # type: ignore[arg-type]
    best = best_arm(plain, key=lambda one: one.components["vina"])
    assert sorted(one.score + 6.4 for one in best.samples) == pytest.approx(
        sorted(energies)[: spending.fresh]
    )
    assert best.spent == rows
    numbers = [one.number for one in best.docked()]
    assert numbers == sorted(numbers)


def test_columns_side_by_side() -> None:
    rows = [*(row(number, -5.0) for number in range(7)), FAILED]
    spread = [row(number, -5.0 - number, "C" * (number + 1)) for number in range(8)]
    plain = Column("plain", 8, -5.0, query_metrics(rows, posebusters=0.5))
    steered = Column("steered", 8, -12.0, query_metrics(spread, posebusters=0.75))
    assert (plain.metrics.validity, plain.metrics.uniqueness) == (7 / 8, 1 / 7)
    assert steered.metrics.vina_mean == -8.5
    shown = table([plain, steered])
    assert all(text in shown for text in ("-12.00", "87.5%", "50%", "75%"))
    assert len({len(line) for line in shown.splitlines()}) == 1
    middle = average([plain, steered])
    assert (middle.best, middle.metrics.vina_mean) == (-8.5, (-5.0 - 8.5) / 2)
    assert math.isnan(middle.metrics.vina_min_mean)
    assert table([Column("none", 1, math.nan, query_metrics([FAILED]))])
    np.testing.assert_equal(Column.from_json(plain.to_json()), plain)


@pytest.mark.parametrize("smiles", DRUG_LIKE)
def test_a_sample_is_laid_on_its_pose_without_being_changed(smiles: str) -> None:
    mol = conformer(smiles)
    pose = Chem.AddHs(mol, addCoords=True)
    order = np.random.default_rng(3).permutation(pose.GetNumAtoms())
    pose = Chem.RenumberAtoms(pose, order.tolist())
    motion = np.eye(4)
    motion[:3, :3] = Rotation.random(rng=np.random.default_rng(4)).as_matrix()
    motion[:3, 3] = 7.0, -2.0, 30.0
    rdMolTransforms.TransformConformer(pose.GetConformer(), motion)
    laid = laid_on(Molecule.from_mol(mol), pose)
    assert laid is not None
    expected = mol.GetConformer().GetPositions() @ motion[:3, :3].T + motion[:3, 3]
    distances = np.linalg.norm(laid.positions[:, None] - expected, axis=-1)
    assert distances.min(axis=1).max() < 1e-3  # each atom where an atom of the pose is
    np.testing.assert_allclose(
        np.linalg.norm(np.diff(laid.positions, axis=0), axis=1),
        np.linalg.norm(np.diff(mol.GetConformer().GetPositions(), axis=0), axis=1),
        atol=1e-6,
    )


def test_a_sample_is_not_laid_on_another_molecule() -> None:
    assert laid_on(CHOICES[0], conformer(DRUG_LIKE[3])) is None


@pytest.fixture(scope="module")
def quick(target_files: tuple[Path, Path]) -> VinaScore:
    receptor, ligand = target_files
    return VinaScore(receptor, ligand=ligand, exhaustiveness=1, max_evals=3000)


def test_minimising_a_docked_pose_finds_it_again(quick: VinaScore) -> None:
    poses = quick.poses(CHOICES[:2])
    broken = Molecule.from_atoms(np.array([[0.0, 0, 0], [9.0, 0, 0]]), (6, 6))
    quality = pose_quality([Molecule.from_mol(poses[0]), broken], quick)
    assert quality.vina_min == pytest.approx([poses[0].GetDoubleProp("vina")], abs=0.1)
    assert (quality.posebusters, quality.posebusters_dock) == (1.0, 1.0)
    nothing = pose_quality([broken], quick)
    assert nothing.vina_min == ()
    assert math.isnan(nothing.posebusters)


@pytest.mark.slow
def test_arms_spend_equally_and_make_their_samples_again(
    tmp_path: Path, target_files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docking_run, "molecule_rollout", stand_in)
    receptor, ligand = map(str, target_files)
    options = DockingOptions(
        str(tmp_path / "plain"), receptor, ligand, atoms=10, exhaustiveness=1, max_evals=1000
    )
    vina = vina_score(options)
    spending = Spending(12, population=4, checked=1)
    plain = plain_arm(options, vina, spending)
    again = DockingOptions(**{**options.to_json(), "out": str(tmp_path / "steered")})
    steered, _ = steered_arm(again, vina, spending)
    assert len(plain.spent) == len(steered.spent) == len(plain.samples) == 12
    assert len(steered.samples) == spending.fresh == 4
    for arm in (plain, best_arm(plain, key=lambda one: one.score), steered):
        rows = arm.docked()
        made = arm.molecules(rows)
        assert [one.smiles for one in made] == [one.smiles for one in rows]
        assert arm.molecules([]) == []
    column = steered.column("steered")
    assert column.dockings == 12
    assert column.best == min(one.components["vina"] for one in steered.spent)
    assert math.isfinite(column.metrics.vina_min_mean)
    assert column.metrics.posebusters_dock in {0.0, 1.0}
    assert not (tmp_path / "steered" / "best.sdf").exists()
