"""Receptor files as databases have them: every residue that is not as it should be is named.

Each case is made from a stretch of a real receptor, as PDB and as mmCIF.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import molecule_samples  # noqa: F401 - skips without the extra
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

gemmi = pytest.importorskip("gemmi")

from casbo_molecules.errors import DockingInputError
from casbo_molecules.protein.gaps import gaps
from casbo_molecules.protein.residues import HEAVY_ATOMS, missing_atoms, parent
from casbo_molecules.protein.selection import AlternateChoice, Selection
from casbo_molecules.receptor import Preparation, Receptor, prepare_receptor

FIRST, LAST = (
    120,
    150,
)  # of the embedded receptor: two and a half turns of a helix and what follows
Prepare = Callable[..., Receptor]


@pytest.fixture
def stretch(target_files: tuple[Path, Path]) -> gemmi.Structure:
    """One chain of the embedded receptor's residues, without hydrogens, with the PDB's names."""
    structure = gemmi.read_pdb(str(target_files[0]))
    structure.remove_hydrogens()
    chain = structure[0][0]
    chain.name = "A"
    for index in reversed(range(len(chain))):
        residue = chain[index]
        if not FIRST <= residue.seqid.num <= LAST:
            del chain[index]
            continue
        residue.name = {"HSD": "HIS", "HSE": "HIS", "HSP": "HIS"}.get(residue.name, residue.name)
        for atom in residue:
            if residue.name == "ILE" and atom.name == "CD":
                atom.name = "CD1"
    for other in [chain.name for chain in structure[0]][1:]:
        structure[0].remove_chain(other)
    return structure


@pytest.fixture(params=[".pdb", ".cif"])
def prepare(
    request: pytest.FixtureRequest, stretch: gemmi.Structure, tmp_path: Path
) -> Iterator[Prepare]:
    """Prepare the stretch, as it is by then, from a file of either format."""

    def prepared(**options: object) -> Receptor:
        path = tmp_path / f"receptor{request.param}"
        if request.param == ".cif":
            stretch.setup_entities()
            path.write_text(stretch.make_mmcif_document().as_string())
        else:
            path.write_text(stretch.make_pdb_string(gemmi.PdbWriteOptions(minimal=True)))
        return prepare_receptor(path, Preparation(**{"hydrogens": "keep", **options}))

    return prepared


def residue_at(structure: gemmi.Structure, number: int) -> gemmi.Residue:
    return next(
        one for one in structure[0][0] if one.seqid.num == number and one.seqid.icode == " "
    )


def remove_atoms(residue: gemmi.Residue, *names: str) -> None:
    for name in names:
        residue.remove_atom(name, "\0")


def heavy(receptor: Receptor) -> dict[str, list[str]]:
    """Atom names by ``chain:number`` in the prepared file."""
    found: dict[str, list[str]] = {}
    for line in receptor.pdbqt.read_text().splitlines():
        if line.startswith(("ATOM", "HETATM")) and line[77:].strip() not in ("H", "HD"):
            where = f"{line[21].strip()}:{line[22:27].strip()}"
            found.setdefault(where, []).append(line[12:16].strip())
    return found


def named(structure: gemmi.Structure, name: str) -> gemmi.Residue:
    """The first residue of this kind."""
    return next(residue for residue in structure[0][0] if residue.name == name)


def ion(name: str, element: str, number: int, xyz: tuple[float, float, float]) -> gemmi.Residue:
    """A HETATM residue of one atom."""
    residue, atom = gemmi.Residue(), gemmi.Atom()
    residue.name, residue.seqid, residue.het_flag = name, gemmi.SeqId(str(number)), "H"
    atom.name, atom.element, atom.pos = (
        element.upper(),
        gemmi.Element(element),
        gemmi.Position(*xyz),
    )
    residue.add_atom(atom)
    return residue


def beside(structure: gemmi.Structure, distance: float = 3.5) -> tuple[float, float, float]:
    """A point beside the stretch's first atom, away from its centre."""
    positions = np.array([atom.atom.pos.tolist() for atom in structure[0].all()])
    away = positions[0] - positions.mean(axis=0)
    return tuple(positions[0] + distance * away / np.linalg.norm(away))


def test_a_sound_stretch_needs_no_words(prepare: Prepare) -> None:
    assert prepare().notes == ()


def test_heavy_atoms_are_those_of_other_tables(target_files: tuple[Path, Path]) -> None:
    from rdkit import Chem

    structure = gemmi.read_pdb(str(target_files[0]))
    assert not [
        str(one) for one in structure[0][0] if missing_atoms(one)
    ]  # a simulated, whole one
    mol = Chem.MolFromSequence("ARNDCQEGHILKMFPSTWYV")
    found: dict[str, set[str]] = {}
    for atom in mol.GetAtoms():
        info = atom.GetPDBResidueInfo()
        found.setdefault(info.GetResidueName(), set()).add(info.GetName().strip())
    assert len(found) == 20
    for name, atoms in found.items():
        assert set(HEAVY_ATOMS[name]) == atoms - {"OXT"}


def test_heavy_atoms_are_meekos() -> None:
    import json

    import meeko

    path = Path(meeko.__file__).parent / "data" / "residue_chem_templates.json"
    templates = json.loads(path.read_text())["residue_templates"]
    for name, atoms in HEAVY_ATOMS.items():
        template = templates["HID" if name == "HIS" else name]
        known = {atom for atom in template["atom_name"] if not atom.startswith("H")}
        known = {atom for atom in known if not re.fullmatch(r"\d?H.*|O?P[12]?|OP[123]", atom)}
        assert set(atoms) == known, name


def test_missing_atoms_are_named_one_by_one(stretch: gemmi.Structure, prepare: Prepare) -> None:
    first, second = named(stretch, "LEU"), named(stretch, "TYR")
    remove_atoms(first, "CD1", "CD2")
    remove_atoms(second, "OH")
    places = [f"A:{one.seqid}" for one in (first, second)]
    (note,) = prepare().notes
    assert f"LEU {places[0]} lacks CD1 CD2" in note
    assert f"TYR {places[1]} lacks OH" in note
    assert "--incomplete" in note
    kept, dropped = heavy(prepare()), heavy(prepare(incomplete="drop"))
    assert set(places) <= set(kept)
    assert set(kept) - set(dropped) == set(places)
    assert [note.split(":")[0] for note in prepare(incomplete="drop").notes] == [
        "removed residues without all heavy atoms",
        "gaps in chains, left open",
    ]
    with pytest.raises(DockingInputError, match=f"LEU {places[0]} lacks CD1 CD2.*PDBFixer"):
        prepare(incomplete="refuse")


def test_gaps_are_named(stretch: gemmi.Structure, prepare: Prepare) -> None:
    chain = stretch[0][0]
    for index in reversed(range(len(chain))):
        if 130 <= chain[index].seqid.num < 136:
            del chain[index]
    (note,) = prepare().notes
    assert note.startswith("gaps in chains, left open: A:129 to A:136 (")


def test_insertion_codes_and_shuffled_residues_are_no_gaps(
    stretch: gemmi.Structure, prepare: Prepare
) -> None:
    chain = stretch[0][0]
    for number, code in ((131, "A"), (132, "B")):
        residue_at(stretch, number).seqid = gemmi.SeqId(130, code)
    assert prepare().notes == ()
    assert {"A:130", "A:130A", "A:130B"} <= set(heavy(prepare()))
    assert prepare().residue_positions(["A:130B"]).shape[1] == 3
    moved = chain[0].clone()
    del chain[0]
    chain.add_residue(moved)
    assert gaps(stretch[0]) == []


def modify(residue: gemmi.Residue, name: str, added: dict[str, str], **renamed: str) -> None:
    """Make a residue a modified one: HETATM, renamed atoms, others 1.5 Å away from the last."""
    residue.name, residue.het_flag = name, "H"
    for atom in residue:
        if atom.name in renamed:
            atom.name, symbol = renamed[atom.name], renamed[atom.name][:2].capitalize()
            atom.element = gemmi.Element(symbol)
    at = residue[len(residue) - 1].pos
    for step, (atom_name, element) in enumerate(added.items(), start=1):
        atom = gemmi.Atom()
        atom.name, atom.element = atom_name, gemmi.Element(element)
        atom.pos = gemmi.Position(at.x, at.y, at.z + 1.5 * step)
        residue.add_atom(atom)


PHOSPHATE = {"P": "P", "O1P": "O", "O2P": "O", "O3P": "O"}


@pytest.mark.parametrize(
    ("standard", "name", "added", "renamed"),
    [
        ("MET", "MSE", {}, {"SD": "SE"}),
        ("SER", "SEP", PHOSPHATE, {}),
        ("THR", "TPO", PHOSPHATE, {}),
        ("TYR", "PTR", PHOSPHATE, {}),
        ("CYS", "CSO", {"OD": "O"}, {}),
        ("LYS", "KCX", {"CX": "C", "OQ1": "O", "OQ2": "O"}, {}),
    ],
)
def test_modified_residues(stretch, prepare, standard, name, added, renamed) -> None:
    residue = named_or_made(stretch, standard)
    before = sorted(atom.name for atom in residue)
    where = f"A:{residue.seqid}"
    modify(residue, name, added, **renamed)
    assert parent(name) == standard
    (kept,) = prepare().notes
    assert kept.startswith(f"kept modified residues: {name} {where} (--modified standard")
    assert set(heavy(prepare())[where]) >= set(added)
    (changed,) = prepare(modified="standard").notes
    assert changed.startswith(f"changed modified residues: {name} {where} to {standard} (")
    assert sorted(heavy(prepare(modified="standard"))[where]) == before
    dropped = prepare(modified="drop")
    assert f"removed modified residues: {name} {where} (--modified drop)" in dropped.notes
    assert where not in heavy(dropped)


def named_or_made(structure: gemmi.Structure, name: str) -> gemmi.Residue:
    """The first residue of this kind; where there is none, an isoleucine becomes one."""
    for residue in structure[0][0]:
        if residue.name == name:
            return residue
    residue = named(structure, "ILE")
    names = iter(HEAVY_ATOMS[name][4:])
    side = [atom for atom in residue if atom.name not in ("N", "CA", "C", "O")]
    for atom in side:
        atom.name = next(names, "")
        atom.element = gemmi.Element(atom.name[:1] or "C")
    remove_atoms(residue, *["" for atom in side if not atom.name])
    residue.name = name
    modify(residue, name, {rest: rest[0] for rest in names})
    residue.het_flag = "A"
    return residue


def test_a_modified_residue_that_no_removal_mends_stays(stretch, prepare) -> None:
    residue = named(stretch, "ALA")
    residue.name, residue.het_flag = "PCA", "H"  # pyroglutamate lacks two oxygens of glutamate
    note = prepare(modified="standard").notes[0]
    assert f"no removal of atoms makes standard: PCA A:{residue.seqid}" in note


def test_a_modified_residue_of_any_name_stays_where_it_is_bonded(stretch, prepare) -> None:
    residue = named(stretch, "ALA")
    residue.name, residue.het_flag = "ZZ9", "H"
    assert prepare().notes[0].startswith(f"kept modified residues: ZZ9 A:{residue.seqid} (")


def test_a_hydrogen_goes_with_its_atom(stretch, prepare) -> None:
    residue = named_or_made(stretch, "SER")
    modify(residue, "SEP", {**PHOSPHATE, "HOP3": "H"})
    receptor = prepare(modified="standard")
    assert "HOP3" not in receptor.pdbqt.read_text()


def test_metals_and_cofactors(stretch: gemmi.Structure, prepare: Prepare) -> None:
    chain = stretch[0][0]
    place = beside(stretch)
    chain.add_residue(ion("ZN", "Zn", 301, place))
    chain.add_residue(ion("MG", "Mg", 302, tuple(np.add(place, (0, 0, 9)))))
    chain.add_residue(ion("EOH", "C", 303, tuple(np.add(place, (0, 9, 0)))))
    notes = prepare().notes
    assert notes[0].startswith("removed metals: ZN A:301, MG A:302 (--keep NAME or")
    assert notes[1].startswith("removed hetero groups: EOH A:303 (--keep NAME or")
    assert "A:301" in heavy(prepare(keep=("ZN",)))
    kept = heavy(prepare(keep=("A:302",)))
    assert "A:302" in kept
    assert "A:301" not in kept


def test_a_metal_that_vina_does_not_know_is_named(stretch, prepare) -> None:
    stretch[0][0].add_residue(ion("PT", "Pt", 301, beside(stretch)))
    assert "PT A:301" in prepare().notes[0]
    with pytest.raises(DockingInputError, match=r"PT A:301 is Pt, which Vina has no.*--drop PT"):
        prepare(keep=("PT",))


def test_one_water_can_stay(stretch: gemmi.Structure, prepare: Prepare) -> None:
    place = beside(stretch)
    for number in (401, 402):
        stretch[0][0].add_residue(ion("HOH", "O", number, tuple(np.add(place, number))))
    assert prepare().notes[0].startswith("removed 2 waters (--keep")
    kept = heavy(prepare(keep=("A:402",)))
    assert "A:402" in kept
    assert "A:401" not in kept


def test_a_free_amino_acid_is_a_ligand(stretch: gemmi.Structure, prepare: Prepare) -> None:
    """Glutamate in its receptor is written as HETATM, and bonded to nothing."""
    free = named(stretch, "PHE").clone()
    for atom in list(free):  # two locations are not two residues
        free.add_atom(atom)
        atom.altloc, free[len(free) - 1].altloc = "A", "B"
    free.seqid, free.het_flag = gemmi.SeqId("500"), "H"
    for atom in free:
        atom.pos = gemmi.Position(atom.pos.x, atom.pos.y, atom.pos.z + 60)
    stretch[0][0].add_residue(free)
    assert prepare().notes[0].startswith("removed hetero groups: PHE A:500 (")
    assert "A:500" in heavy(prepare(keep=("A:500",)))


def split(residue: gemmi.Residue, name: str, occupancies: tuple[float, float]) -> list[float]:
    """Give an atom two locations A and B, 0.8 Å apart; their z in Å."""
    atom = residue.find_atom(name, "*")
    other = atom.clone()
    atom.altloc, atom.occ = "A", occupancies[0]
    other.altloc, other.occ = "B", occupancies[1]
    other.pos = gemmi.Position(atom.pos.x, atom.pos.y, atom.pos.z + 0.8)
    heights = [atom.pos.z, other.pos.z]
    residue.add_atom(other)
    return heights


def test_alternate_locations_by_residue(stretch: gemmi.Structure, prepare: Prepare) -> None:
    """A location is kept whole, though one of its atoms is less occupied than the other's."""
    residue = named(stretch, "LEU")
    where = f"A:{residue.seqid}"
    firsts = [
        split(residue, name, occupancies)
        for name, occupancies in (("CG", (0.5, 0.5)), ("CD1", (0.7, 0.3)), ("CD2", (0.4, 0.6)))
    ]

    def kept(**options: object) -> list[bool]:
        receptor = prepare(**options)
        heights = receptor.residue_positions([where])[:, 2]
        assert len(heights) == 8
        assert f"LEU {where}=" in receptor.notes[0]
        return [bool(np.abs(heights - z[1]).min() < 2e-3) for z in firsts]

    assert kept() == [False] * 3
    assert kept(altloc=("B",)) == [True] * 3
    assert kept(altloc=("A", f"{where}=B")) == [True] * 3
    with pytest.raises(
        DockingInputError, match=f"LEU {where} has no alternate location C; it has"
    ):
        prepare(altloc=(f"{where}=C",))
    with pytest.raises(DockingInputError, match="no residue A:999 for --altloc"):
        prepare(altloc=("A:999=B",))


@pytest.mark.parametrize("option", ["keep", "drop"])
def test_what_is_not_there_cannot_be_kept_or_dropped(stretch, prepare, option) -> None:
    stretch[0][0].add_residue(ion("ZN", "Zn", 301, beside(stretch)))
    with pytest.raises(DockingInputError, match=rf"no residue MG for --{option}; .* has ZN"):
        prepare(**{option: ("MG",)})


def test_protonation_follows_the_ph(stretch: gemmi.Structure, prepare: Prepare) -> None:
    """At pH 2 acids have a proton that they lack at 7.4; at 12 amines lack theirs."""
    counts = {ph: len(prepare(hydrogens="auto", ph=ph).positions()) for ph in (2.0, 7.4, 12.0)}
    names = [residue.name for residue in stretch[0][0]]
    acids = sum(names.count(name) for name in ("ASP", "GLU"))
    assert acids + names.count("LYS") > 0
    assert counts[2.0] - counts[7.4] >= acids
    assert counts[12.0] <= counts[7.4]


def test_a_pdbqt_is_looked_at_too(stretch: gemmi.Structure, prepare: Prepare) -> None:
    residue = named(stretch, "LEU")
    remove_atoms(residue, "CD1")
    stretch[0][0].add_residue(ion("ZN", "Zn", 301, beside(stretch)))
    made = prepare(keep=("ZN",)).pdbqt
    notes = prepare_receptor(made).notes
    assert any(f"LEU A:{residue.seqid} lacks CD1" in note for note in notes)
    assert any("hetero groups ZN A:301" in note for note in notes)


def test_an_entry_of_the_database(target_files: tuple[Path, Path]) -> None:
    """A crystal structure as deposited, which comes with ProLIF."""
    data = target_files[0].parents[1]
    notes = prepare_receptor(data / "implicitHbond" / "receptor.pdb").notes
    assert notes[0].startswith("removed 1 water (")
    assert "MET A:1 lacks CG SD CE, LYS A:2 lacks CG CD CE NZ, VAL A:5 lacks CG1 CG2," in notes[1]
    assert notes[2].startswith("gaps in chains, left open: A:46 to A:48, A:55 to A:57 (")
    phosphothreonine = data / "molecule_standardizer" / "tpo.pdb"
    options = Preparation(modified="standard")
    assert (
        "changed modified residues: TPO :2 to THR"
        in prepare_receptor(phosphothreonine, options).notes[0]
    )


@pytest.mark.parametrize(
    ("target", "name"), [("3rfm", "3rfm.pdb"), ("1iep", "1iep_receptorH.pdb")]
)
def test_shared_receptors_in_both_formats(shared, tmp_path, target, name) -> None:
    """The same residues, gaps and atoms, whichever format the file has."""
    path = shared / "receptors" / target / name
    structure = gemmi.read_structure(str(path))
    structure.setup_entities()
    cif = tmp_path / "receptor.cif"
    cif.write_text(structure.make_mmcif_document().as_string())
    made = [prepare_receptor(one) for one in (path, cif)]
    assert made[0].notes == made[1].notes
    assert heavy(made[0]) == heavy(made[1])
    if target == "3rfm":
        assert "gaps in chains, left open: A:149 to A:158" in made[0].notes[1]


@given(st.text(max_size=12))
def test_any_text_selects_or_is_refused(text: str) -> None:
    for parse in (lambda: Selection((text,)), lambda: AlternateChoice.parse((text,))):
        with contextlib.suppress(DockingInputError):
            parse()


@given(
    st.text("ABZ", max_size=2), st.integers(-999, 9999), st.sampled_from(["", "A", "b"]), st.data()
)
def test_places_are_understood(chain: str, number: int, code: str, data: st.DataObject) -> None:
    place = f"{chain}:{number}{code}"
    letter = data.draw(st.sampled_from("ABC1"))
    assert AlternateChoice.parse((f"{place}=X", letter)).of(place) == "X"
    assert AlternateChoice.parse((letter,)).of(place) == letter
    one = gemmi.Chain(chain), gemmi.Residue()
    one[1].name, one[1].seqid = "ZN", gemmi.SeqId(number, code or " ")
    assert one in Selection((place,))
    assert one in Selection(("ZN",))
    assert one not in Selection((f"{chain}x:{number}{code}", "MG"))


@pytest.mark.parametrize("options", [{"modified": "mutate"}, {"incomplete": "add"}])
def test_unknown_choices(options: dict[str, str]) -> None:
    with pytest.raises(DockingInputError, match=r"expected --.* as keep"):
        Preparation(**options)
