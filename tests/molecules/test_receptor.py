"""Receptor preparation: what stays, what goes, and how damaged files are named."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from molecule_samples import atom_line, glycine

from casbo_molecules.errors import DockingInputError
from casbo_molecules.receptor import Preparation, Receptor, prepare_receptor

PROTEIN = glycine(1, 0.0) + glycine(2, 5.0, serial=5) + glycine(3, 10.0, serial=9)
APART = "gaps in chains, left open: A:1 to A:2, A:2 to A:3"


def write(folder: Path, text: str, name: str = "receptor.pdb") -> Path:
    path = folder / name
    path.write_text(text)
    return path


def prepared(folder: Path, text: str, **options: object) -> Receptor:
    return prepare_receptor(write(folder, text), Preparation(**options))


def residues(receptor: Receptor) -> set[str]:
    lines = receptor.pdbqt.read_text().splitlines()
    return {line[17:20].strip() for line in lines if line.startswith(("ATOM", "HETATM"))}


def test_heavy_atoms_stay_where_they_are_and_hydrogens_come(tmp_path: Path) -> None:
    receptor = prepared(tmp_path, PROTEIN)
    positions = receptor.positions()
    for line in PROTEIN.splitlines():
        xyz = [float(line[start : start + 8]) for start in (30, 38, 46)]
        assert np.abs(positions - xyz).max(axis=1).min() < 1e-3
    assert len(positions) > 12
    gaps, added = receptor.notes
    assert gaps.startswith(APART)
    assert added == "added hydrogens at pH 7.4"


def test_waters_and_hetero_groups_go(tmp_path: Path) -> None:
    text = (
        PROTEIN
        + atom_line(20, "O", "HOH", 101, (0, 0, 5), record="HETATM")
        + atom_line(21, "OW", "SOL", 102, (0, 0, 8), element="O")
        + atom_line(22, "ZN", "ZN", 103, (3, 3, 5), record="HETATM", element="ZN")
        + atom_line(23, "C1", "LIG", 104, (6, 6, 5), record="HETATM")
    )
    receptor = prepared(tmp_path, text)
    assert residues(receptor) == {"GLY"}
    assert receptor.notes[:3] == (
        "removed 2 waters (--keep NAME or --keep A:301 leaves them in)",
        "removed metals: ZN A:103 (--keep NAME or --keep A:301 leaves them in)",
        "removed hetero groups: LIG A:104 (--keep NAME or --keep A:301 leaves them in)",
    )


def test_named_hetero_groups_stay(tmp_path: Path) -> None:
    text = PROTEIN + atom_line(22, "ZN", "ZN", 103, (3, 3, 5), record="HETATM", element="ZN")
    assert residues(prepared(tmp_path, text, keep=("ZN",))) == {"GLY", "ZN"}


def test_modified_amino_acids_stay(tmp_path: Path) -> None:
    modified = glycine(4, 15.0, serial=13).replace("GLY", "MSE").replace("ATOM  ", "HETATM")
    assert residues(prepared(tmp_path, PROTEIN + modified)) == {"GLY", "MSE"}


def test_strangers_written_as_atoms_stay_and_are_mentioned(tmp_path: Path) -> None:
    text = PROTEIN + atom_line(23, "C1", "XXL", 104, (6, 6, 5))
    receptor = prepared(tmp_path, text)
    assert residues(receptor) == {"GLY", "XXL"}
    assert any("XXL" in note and "--drop" in note for note in receptor.notes)
    assert residues(prepared(tmp_path, text, drop=("XXL",))) == {"GLY"}


def test_chains(tmp_path: Path) -> None:
    text = PROTEIN + glycine(1, 30.0, chain="B", serial=13)
    whole, half = prepared(tmp_path, text), prepared(tmp_path, text, chains=("A",))
    assert half.positions()[:, 0].max() < 20 < whole.positions()[:, 0].max()
    with pytest.raises(DockingInputError, match=r"no chain C; its chains are A, B"):
        prepared(tmp_path, text, chains=("C",))


@pytest.mark.parametrize(("first", "second"), [(0.3, 0.7), (0.7, 0.3)])
def test_most_occupied_alternate_stays(tmp_path: Path, first: float, second: float) -> None:
    text = (
        PROTEIN
        + atom_line(20, "N", "ALA", 9, (0, 0, 20), altloc="A", occupancy=first)
        + atom_line(21, "N", "ALA", 9, (0, 0, 30), altloc="B", occupancy=second)
    )
    receptor = prepared(tmp_path, text, hydrogens="keep")
    heights = receptor.positions()[:, 2]
    assert heights.max() == (20.0 if first > second else 30.0)
    assert len(heights) == 13
    assert any("alternate" in note and "ALA A:9" in note for note in receptor.notes)


def test_most_occupied_of_two_residues_in_one_place_stays(tmp_path: Path) -> None:
    text = (
        PROTEIN
        + atom_line(20, "N", "SER", 9, (0, 0, 20), altloc="A", occupancy=0.4)
        + atom_line(21, "CA", "SER", 9, (1, 0, 20), altloc="A", occupancy=0.4)
        + atom_line(22, "N", "PRO", 9, (0, 0, 21), altloc="B", occupancy=0.6)
        + atom_line(23, "CA", "PRO", 9, (1, 0, 21), altloc="B", occupancy=0.6)
    )
    receptor = prepared(tmp_path, text, hydrogens="keep")
    assert residues(receptor) == {"GLY", "PRO"}
    assert receptor.positions()[:, 2].max() == 21.0


def test_hydrogens_of_the_file_stay_unless_replaced(tmp_path: Path) -> None:
    own = (0.5, -0.9, 0.1)
    text = PROTEIN + atom_line(30, "H", "GLY", 1, own)
    kept = prepared(tmp_path, text)
    assert np.abs(kept.positions() - own).max(axis=1).min() < 1e-3
    assert [note[: len(APART)] for note in kept.notes] == [APART]
    replaced = prepared(tmp_path, text, hydrogens="add")
    assert np.abs(replaced.positions() - own).max(axis=1).min() > 1e-2


def test_first_model_is_taken(tmp_path: Path) -> None:
    text = f"MODEL        1\n{PROTEIN}ENDMDL\nMODEL        2\n{glycine(1, 50.0)}ENDMDL\n"
    receptor = prepared(tmp_path, text)
    assert receptor.positions()[:, 0].max() < 20
    assert "used the first of 2 models" in receptor.notes


def test_mmcif_gives_what_pdb_gives(tmp_path: Path) -> None:
    import gemmi

    structure = gemmi.read_pdb_string(PROTEIN)
    structure.setup_entities()
    cif = write(tmp_path, structure.make_mmcif_document().as_string(), "receptor.cif")
    from_cif, from_pdb = prepare_receptor(cif), prepared(tmp_path, PROTEIN)
    np.testing.assert_allclose(from_cif.positions(), from_pdb.positions(), atol=1e-3)


def test_pdbqt_is_used_as_it_is(tmp_path: Path) -> None:
    made = prepared(tmp_path, PROTEIN).pdbqt
    receptor = prepare_receptor(made)
    assert receptor.pdbqt == made
    assert [note[: len(APART)] for note in receptor.notes] == [APART]


def test_preparation_is_done_once_and_again_when_something_changed(tmp_path: Path) -> None:
    first = prepared(tmp_path, PROTEIN)
    stamp = first.pdbqt.stat().st_mtime_ns
    assert prepared(tmp_path, PROTEIN) == first
    assert first.pdbqt.stat().st_mtime_ns == stamp
    assert prepared(tmp_path, PROTEIN, ph=3.0).pdbqt != first.pdbqt
    assert prepared(tmp_path, PROTEIN + glycine(4, 15.0)).pdbqt != first.pdbqt
    assert not list(first.pdbqt.parent.glob("*.part"))


def test_unwritable_cache_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(write(tmp_path, "a file", "taken")))
    with pytest.raises(DockingInputError, match="XDG_CACHE_HOME"):
        prepared(tmp_path, PROTEIN)


ONE_ATOM = atom_line(1, "N", "GLY", 1, (0, 0, 0))
LIGAND_PDBQT = "ROOT\n" + ONE_ATOM[:66] + "    +0.000 N \nENDROOT\nTORSDOF 0\n"
BROKEN = {
    "empty.pdb": ("", "is empty"),
    "binary.pdb": ("\0\0\0ATOM", "empty or damaged"),
    "no-atoms.pdb": ("HEADER    NOTHING\nEND\n", "no atoms"),
    "only-hydrogen.pdb": (atom_line(1, "H", "GLY", 1, (0, 0, 0)), "no receptor atoms"),
    "only-water.pdb": (
        atom_line(1, "O", "HOH", 1, (0, 0, 0), record="HETATM"),
        "no receptor atoms .removed 1 water ",
    ),
    "nan.pdb": (PROTEIN + ONE_ATOM.replace("   0.000", "     nan", 1), "line 13: atom N GLY A"),
    "infinite.pdb": (ONE_ATOM.replace("   0.000", "     inf", 1), "line 1: atom N GLY A"),
    "words.pdb": (ONE_ATOM.replace("   0.000", "  x.000 ", 1), "line 1: .*columns 31-54"),
    "cut.pdb": (PROTEIN[:-50], "line 12"),
    "element.pdb": (
        PROTEIN + atom_line(40, "XX", "UNK", 9, (0, 0, 9), element="X"),
        "atom XX of UNK A:9 has an unknown element",
    ),
    "text.cif": ("data_\nloop_\n_atom_site.id\n", "not a readable structure file|no atoms"),
    "nothing.cif": ("data_x\n_a.b c\n", "no atoms"),
    "notes.cif": ("hello world\n", "not a readable structure file"),
    "ligand.pdbqt": (LIGAND_PDBQT, "line 1: ROOT belongs to a ligand"),
    "type.pdbqt": (ONE_ATOM[:66] + "    +0.000 Xx\n", "line 1: .*type 'Xx'"),
    "nan.pdbqt": (ONE_ATOM[:30] + "     nan     nan     nan  1.00  0.00    +0.000 N \n", "line 1"),
    "none.pdbqt": ("REMARK nothing\n", "no atoms"),
    "protein.docx": ("PK", "expected a receptor as one of .pdb"),
    "protein": (PROTEIN, "no suffix"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_files_are_named(tmp_path: Path, name: str) -> None:
    text, words = BROKEN[name]
    with pytest.raises(DockingInputError, match=words) as caught:
        prepare_receptor(write(tmp_path, text, name))
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(DockingInputError, match="no such file"):
        prepare_receptor(tmp_path / "absent.pdb")
    folder = tmp_path / "folder.pdb"
    folder.mkdir()
    with pytest.raises(DockingInputError, match="cannot be read"):
        prepare_receptor(folder)


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "receptor.pdb"
    path.write_bytes(b"\x1f\x8b\x08\xff\xfe")
    with pytest.raises(DockingInputError, match="binary"):
        prepare_receptor(path)


@pytest.mark.parametrize("options", [{"hydrogens": "maybe"}, {"ph": float("nan")}, {"ph": 15.0}])
def test_unknown_options(options: dict[str, object]) -> None:
    with pytest.raises(DockingInputError, match="expected"):
        Preparation(**options)  # type: ignore[arg-type]


@given(st.data())
@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_damaged_bytes_never_do_worse_than_an_error(tmp_path: Path, data: st.DataObject) -> None:
    text = list(PROTEIN + atom_line(22, "ZN", "ZN", 9, (3, 3, 5), record="HETATM", element="ZN"))
    for _ in range(data.draw(st.integers(1, 6))):
        position = data.draw(st.integers(0, len(text) - 1))
        text[position] = data.draw(st.characters(min_codepoint=9, max_codepoint=126))
    suffix = data.draw(st.sampled_from([".pdb", ".pdbqt"]))
    with contextlib.suppress(DockingInputError):
        receptor = prepare_receptor(write(tmp_path, "".join(text), f"damaged{suffix}"))
        assert np.isfinite(receptor.positions()).all()


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("1h36", "1h36_A_rec_1h36_r88_lig_tt_docked_0_pocket10.pdb"),
        ("3rfm", "3rfm.pdb"),
        ("1iep", "1iep_receptorH.pdb"),
    ],
)
def test_prepared_as_the_reference_receptors(shared: Path, target: str, name: str) -> None:
    folder = shared / "receptors" / target
    made = prepare_receptor(folder / name).pdbqt.read_text()
    reference = (folder / f"{target}_receptor_obabel.pdbqt").read_text()

    def atoms(text: str) -> list[str]:
        lines = [line for line in text.splitlines() if line.startswith("ATOM")]
        return sorted(line[30:54] + line[77:].strip() for line in lines)

    assert atoms(made) == atoms(reference)
