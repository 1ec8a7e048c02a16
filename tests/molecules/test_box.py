"""The box: TargetDiff's rule, and refusals that say what is wrong."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from molecule_samples import conformer, glycine
from rdkit import Chem

from casbo_molecules.box import LARGEST_SIDE, PADDING, Box, docking_box
from casbo_molecules.errors import DockingInputError
from casbo_molecules.pdbqt import residue_positions
from casbo_molecules.reference_ligand import ReferenceLigand, read_reference_ligand

RECEPTOR = np.random.default_rng(1).uniform(-20, 20, (400, 3))
number = st.floats(-100, 100)
side = st.floats(1, LARGEST_SIDE)


def ligand_at(*center: float, size: float = 6.0) -> ReferenceLigand:
    corners = np.array([[-1, -1, -1], [1, 1, 1], [0, 0, 0]]) * size / 2
    return ReferenceLigand(Path("ligand.sdf"), corners + np.array(center), 3)


@given(st.tuples(number, number, number), st.tuples(side, side, side), st.floats(0, 1))
@settings(max_examples=50)
def test_holds_what_is_inside(
    center: tuple[float, ...], size: tuple[float, ...], share: float
) -> None:
    box = Box(center, size)  # type: ignore[arg-type]
    corner = np.array(center) + np.array(size) / 2
    inside = np.array(center) + share * 0.999 * np.array(size) / 2
    assert box.holds(inside[None]).all()
    assert not box.holds(corner[None] + 0.01).any()
    assert box.holds(corner[None] + 0.01, margin=0.02).all()


def test_box_around_a_ligand_follows_the_rule() -> None:
    box = Box.around(ligand_at(1.0, 2.0, 3.0, size=6.0))
    assert box.center == (1.0, 2.0, 3.0)
    assert box.size == (11.0, 11.0, 11.0)


@pytest.mark.parametrize("target", ["1h36", "3rfm", "1iep"])
def test_reference_boxes(shared: Path, target: str) -> None:
    folder = shared / "receptors"
    known = json.loads((folder / "vina_reference_scores.json").read_text())[target]
    box = Box.around(read_reference_ligand(folder / target / known["sdf"]))
    np.testing.assert_allclose(box.center, known["bbox_center"], atol=1e-3)
    np.testing.assert_allclose(box.size, known["bbox_size"], atol=1e-3)


@pytest.mark.parametrize(
    ("center", "size"),
    [
        ((0, 0), (10, 10, 10)),
        ((0, 0, float("nan")), (10, 10, 10)),
        ((0, 0, float("inf")), (10, 10, 10)),
        ((0, 0, 0), (10, -1, 10)),
        ((0, 0, 0), (10, 0, 10)),
        ((0, 0, 0), (10, 1000, 10)),
        (("a", "b", "c"), (10, 10, 10)),
        (5, (10, 10, 10)),
    ],
)
def test_numbers_that_make_no_box(center: object, size: object) -> None:
    with pytest.raises(DockingInputError, match="expected"):
        docking_box(RECEPTOR, center=center, size=size)  # type: ignore[arg-type]


def test_something_must_say_where() -> None:
    with pytest.raises(DockingInputError, match="--ligand"):
        docking_box(RECEPTOR)
    with pytest.raises(DockingInputError, match="one of them"):
        docking_box(RECEPTOR, center=(0, 0, 0))


def test_box_far_from_the_receptor() -> None:
    with pytest.raises(DockingInputError, match="far from the receptor: its nearest atom is 6"):
        docking_box(RECEPTOR, center=(90, 0, 0), size=(10, 10, 10))


def test_ligand_far_from_the_receptor() -> None:
    with pytest.raises(DockingInputError, match="same frame"):
        docking_box(RECEPTOR, ligand=ligand_at(200, 0, 0))


def test_ligand_that_is_still_in_the_receptor() -> None:
    ligand = ligand_at(1.0, 2.0, 3.0)
    with pytest.raises(DockingInputError, match="--drop NAME"):
        docking_box(np.concatenate([RECEPTOR, ligand.positions + 0.01]), ligand=ligand)


def test_ligand_outside_the_stated_box() -> None:
    with pytest.raises(DockingInputError, match="3 of 3 ligand atoms lie outside"):
        docking_box(RECEPTOR, center=(0, 0, 0), size=(8, 8, 8), ligand=ligand_at(14, 0, 0))


def test_stated_box_wins_over_the_ligand() -> None:
    box = docking_box(RECEPTOR, center=(1, 0, 0), size=(20, 20, 20), ligand=ligand_at(0, 0, 0))
    assert box == Box((1.0, 0.0, 0.0), (20.0, 20.0, 20.0))


def test_ligand_that_is_a_whole_chain() -> None:
    with pytest.raises(DockingInputError, match="more than a pocket"):
        docking_box(RECEPTOR, ligand=ligand_at(0, 0, 0, size=58.0))


FLAT = Chem.MolToMolBlock(Chem.MolFromSmiles("c1ccccc1CCO"))
SOUND = Chem.MolToMolBlock(conformer("c1ccccc1CCO"))


def with_coordinate(text: str) -> str:
    lines = SOUND.splitlines()
    lines[4] = f"{text:>10}" + lines[4][10:]
    return "\n".join(lines)


BROKEN = {
    "absent.sdf": (None, "no such file"),
    "empty.sdf": ("", "empty"),
    "words.sdf": ("hello\n" * 5, "not a readable SDF"),
    "cut.sdf": (SOUND[:200], "not a readable SDF|at least two atoms"),
    "none.sdf": ("\n\n\n  0  0  0  0  0  0  0  0  0  0999 V2000\nM  END\n", "at least two atoms"),
    "flat.sdf": (FLAT, "flat drawing"),
    "nan.sdf": (with_coordinate("nan"), "no finite coordinates|not a readable SDF"),
    "text.sdf": (with_coordinate("abc"), "not a readable SDF|finite"),
    "ligand.docx": ("PK", "expected a reference ligand as one of .sdf"),
    "ligand": (SOUND, "no suffix"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_ligands_are_named(tmp_path: Path, name: str) -> None:
    text, words = BROKEN[name]
    if text is not None:
        (tmp_path / name).write_text(text)
    with pytest.raises(DockingInputError, match=words) as caught:
        read_reference_ligand(tmp_path / name)
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_odd_chemistry_still_says_where(tmp_path: Path) -> None:
    """Query features, unknown valences and charges do not matter for a place."""
    query = SOUND.replace(" C   0", " A   0", 1).replace(" O   0", " L   0", 1)
    (tmp_path / "query.sdf").write_text(query)
    ligand = read_reference_ligand(tmp_path / "query.sdf")
    assert len(ligand.positions) >= 9


def test_formats_agree(tmp_path: Path) -> None:
    mol = conformer("c1ccccc1CCO")
    (tmp_path / "ligand.sdf").write_text(Chem.MolToMolBlock(mol) + "$$$$\n")
    (tmp_path / "ligand.pdb").write_text(Chem.MolToPDBBlock(mol))
    sdf = read_reference_ligand(tmp_path / "ligand.sdf")
    pdb = read_reference_ligand(tmp_path / "ligand.pdb")
    assert sdf.heavy_atoms == pdb.heavy_atoms == 9
    np.testing.assert_allclose(sdf.positions[:9], pdb.positions[:9], atol=2e-3)
    assert len(sdf.positions) == 19


@given(
    st.lists(
        st.tuples(st.integers(0, len(SOUND) - 1), st.characters(max_codepoint=126)),
        min_size=1,
        max_size=6,
    )
)
@settings(max_examples=100)
def test_damaged_ligands_never_do_worse_than_an_error(
    tmp_path_factory: pytest.TempPathFactory, changes: list[tuple[int, str]]
) -> None:
    text = list(SOUND)
    for position, character in changes:
        text[position] = character
    path = tmp_path_factory.mktemp("damaged") / "ligand.sdf"
    path.write_text("".join(text))
    with contextlib.suppress(DockingInputError):
        ligand = read_reference_ligand(path)
        assert np.isfinite(ligand.positions).all()


TWO_CHAINS = glycine(45, 0.0) + glycine(102, 6.0, serial=5) + glycine(45, 9.0, chain="B", serial=9)


def test_the_box_of_residues_is_their_place() -> None:
    atoms = residue_positions(Path("p.pdb"), TWO_CHAINS, ["A:45", "A:102"])
    assert atoms.shape == (8, 3)
    box = docking_box(atoms, residues=atoms)
    low, high = atoms.min(axis=0), atoms.max(axis=0)
    np.testing.assert_allclose(box.center, (low + high) / 2)
    np.testing.assert_allclose(box.size, high - low + PADDING)
    assert box.holds(atoms).all()
    (single,) = {tuple(row) for row in residue_positions(Path("p.pdb"), TWO_CHAINS, ["B:45"])[:1]}
    assert single == (9.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("residues", "message"),
    [
        ([], "at least one residue"),
        (["45"], "chain:number"),
        (["A:x"], "chain:number"),
        (["AB:45"], "chain:number"),
        (["A:46"], "chain A goes from 45 to 102"),
        (["C:45"], "its chains are A, B"),
    ],
)
def test_residues_that_are_not_there(residues: list[str], message: str) -> None:
    with pytest.raises(DockingInputError, match=message):
        residue_positions(Path("p.pdb"), TWO_CHAINS, residues)


@given(st.text(max_size=8))
def test_any_text_is_a_residue_or_refused(text: str) -> None:
    with contextlib.suppress(DockingInputError):
        assert len(residue_positions(Path("p.pdb"), TWO_CHAINS, [text]))


def test_a_box_is_defined_once() -> None:
    atoms = residue_positions(Path("p.pdb"), TWO_CHAINS, ["A:45"])
    with pytest.raises(DockingInputError, match="got both"):
        docking_box(atoms, residues=atoms, center=(0, 0, 0), size=(9, 9, 9))
    far = np.concatenate([atoms, atoms + 70.0])
    with pytest.raises(DockingInputError, match="line one pocket"):
        docking_box(far, residues=far)


def test_a_box_without_room_is_refused() -> None:
    box = Box((0, 0, 0), (4, 4, 4))  # (4 + 2 * 1.7)^3 / 10 Å^3
    box.require_room(40)
    with pytest.raises(DockingInputError, match="no room for 41 heavy atoms"):
        box.require_room(41)


@given(st.integers(1, 30))  # longer chains have no conformer within RDKit's attempts
@settings(max_examples=5)
def test_every_real_molecule_has_room_in_its_own_box(carbons: int) -> None:
    """Even without padding: a chain is as thin as molecules get."""
    mol = conformer("C" * carbons)
    extent = np.ptp(mol.GetConformer().GetPositions(), axis=0)
    Box((0, 0, 0), tuple(np.clip(extent, 0.1, LARGEST_SIDE))).require_room(carbons)
