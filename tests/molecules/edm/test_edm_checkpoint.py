"""Folders as the official ones load strictly; whatever else stands in them is refused, unrun."""

from __future__ import annotations

import argparse
import builtins
import json
import os
import pickle
import zipfile
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path

import pytest
import torch
from edm_samples import ARGUMENTS, official_folder, safe_folder, small_model
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from casbo.errors import CasboError
from casbo_molecules.edm import Dataset, EdmConfig, EdmRollout, load_model
from casbo_molecules.edm.arguments import LARGEST_FILE, read_arguments
from casbo_molecules.edm.dataset import GEOM_DRUGS, QM9
from casbo_molecules.model import ModelError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return official_folder(tmp_path / "edm", small_model(), ARGUMENTS)


class Attack:
    """Unpickled without care, it creates a file."""

    def __init__(self, victim: Path) -> None:
        self.victim = victim

    def __reduce__(self) -> tuple:
        return os.system, (f"touch {self.victim}",)


class BuiltinAttack(Attack):
    def __reduce__(self) -> tuple:
        return builtins.eval, (f"open({str(self.victim)!r}, 'w')",)


def attacks(victim: Path) -> dict[str, bytes]:
    """Pickles that create the file when an ordinary unpickler reads them."""
    command = f"touch {victim}".encode()
    disguised = argparse.Namespace(**ARGUMENTS, extra=Attack(victim))
    return {
        "plain": pickle.dumps(Attack(victim)),
        "old protocol": pickle.dumps(Attack(victim), protocol=0),
        "builtin": pickle.dumps(BuiltinAttack(victim)),
        "in a namespace": pickle.dumps(disguised),
        "in a dictionary": pickle.dumps({"model": Attack(victim)}),
        "dotted name": b"\x80\x04\x8c\x08argparse\x8c\x0a_os.system\x93\x8c"
        + bytes([len(command)])
        + command
        + b"\x85R.",
        "inst": b"(S'" + command + b"'\nios\nsystem\n.",
        "obj": b"(cos\nsystem\nS'" + command + b"'\no.",
        "after the end": pickle.dumps(argparse.Namespace(**ARGUMENTS))
        + pickle.dumps(Attack(victim)),
    }


ATTACKS = sorted(attacks(Path("x")))


@pytest.mark.parametrize("kind", ATTACKS)
def test_hostile_arguments_are_refused_before_anything_runs(folder, tmp_path, kind) -> None:
    victim = tmp_path / "victim"
    content = attacks(victim)[kind]
    if kind != "after the end":  # the attack is a real one
        pickle.loads(content)
        assert victim.exists()
        victim.unlink()
    (folder / "args.pickle").write_bytes(content)
    with pytest.raises(ModelError, match=r"args\.pickle: expected a pickled argparse\.Namespace"):
        load_model(folder)
    assert not victim.exists()


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("hidden", [True, False])
def test_hostile_weights_are_refused_before_anything_runs(
    folder, tmp_path, zipped, hidden
) -> None:
    victim, path = tmp_path / "victim", folder / "generative_model_ema.npy"
    state: object = Attack(victim)
    if hidden:
        state = OrderedDict(small_model().state_dict(), extra=Attack(victim))
    torch.save(state, path, _use_new_zipfile_serialization=zipped)
    torch.load(path, weights_only=False)
    assert victim.exists()
    victim.unlink()
    with pytest.raises(
        ModelError, match=r"ema\.npy: expected a state dict.*nothing in it was run"
    ):
        load_model(folder)
    assert not victim.exists()


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
@pytest.mark.parametrize("kind", ATTACKS)
def test_bare_pickles_as_weights_are_refused(folder, tmp_path, kind) -> None:
    victim = tmp_path / "victim"
    (folder / "generative_model_ema.npy").write_bytes(attacks(victim)[kind])
    with pytest.raises(ModelError, match=r"ema\.npy: expected a state dict"):
        load_model(folder)
    assert not victim.exists()


def test_a_program_in_torch_s_archive_is_refused(folder, tmp_path) -> None:
    victim, path = tmp_path / "victim", folder / "generative_model_ema.npy"
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    (program,) = (name for name in entries if name.endswith("data.pkl"))
    entries[program] = pickle.dumps(Attack(victim), protocol=2)
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    with pytest.raises(ModelError, match="nothing in it was run"):
        load_model(folder)
    assert not victim.exists()


def test_arguments_cannot_ask_for_memory(folder) -> None:
    """The number of a note (here 2^32 - 2) is how much memory an unpickler lays out."""
    (folder / "args.pickle").write_bytes(b"\x80\x02}r\xfe\xff\xff\xff.")
    with pytest.raises(ModelError, match="numbering is damaged"):
        load_model(folder)
    (folder / "args.pickle").write_bytes(b"\x00" * (LARGEST_FILE + 1))
    with pytest.raises(ModelError, match="more than 1048576 bytes"):
        load_model(folder)


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.data())
def test_damaged_arguments_give_one_kind_of_error(tmp_path, data) -> None:
    content = bytearray(pickle.dumps(argparse.Namespace(**ARGUMENTS)))
    place = data.draw(st.integers(0, len(content) - 1))
    content[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=4))
    path = tmp_path / "args.pickle"
    path.write_bytes(content)
    with suppress(ModelError):
        assert isinstance(read_arguments(path), dict)


@settings(max_examples=60)
@given(st.sampled_from(sorted(ARGUMENTS)), st.none() | st.integers() | st.floats() | st.text())
def test_strange_arguments_give_one_kind_of_error(name, value) -> None:
    with suppress(ModelError):
        assert EdmConfig.from_arguments({**ARGUMENTS, name: value}).width >= 1


@settings(max_examples=60)
@given(
    st.dictionaries(
        st.sampled_from(["name", "atom_decoder", "n_nodes", "atom_types"]),
        st.none()
        | st.integers()
        | st.lists(st.sampled_from(["H", "C", "Xx"]) | st.integers())
        | st.dictionaries(st.text(max_size=3) | st.sampled_from(["1", "9"]), st.integers()),
    )
)
def test_strange_data_sets_give_one_kind_of_error(value) -> None:
    with suppress(ModelError):
        assert Dataset.from_json(value).smallest >= 1


def test_both_kinds_of_folder_give_the_model_saved(folder, tmp_path) -> None:
    model = small_model()
    for place in (folder, safe_folder(tmp_path / "safe", model, ARGUMENTS)):
        loaded = load_model(place)
        assert loaded.config == model.config
        assert loaded.dataset == QM9
        expected = model.state_dict()
        assert loaded.state_dict().keys() == expected.keys()
        for name, value in loaded.state_dict().items():
            assert torch.equal(value, expected[name])
    assert loaded.digest() == model.digest() != small_model(seed=1).digest()


def test_safe_files_beside_the_others_are_the_ones_read(folder) -> None:
    safe_folder(folder, small_model(seed=5), ARGUMENTS)
    (folder / "args.pickle").write_bytes(b"no pickle")
    assert load_model(folder).digest() == small_model(seed=5).digest()


def test_loading_draws_nothing_from_the_global_generator(folder) -> None:
    before = torch.random.get_rng_state()
    load_model(folder)
    assert torch.equal(before, torch.random.get_rng_state())


def test_another_data_set_comes_with_its_description(tmp_path) -> None:
    arguments = {**ARGUMENTS, "dataset": "mine", "include_charges": False}
    mine = Dataset("mine", ("C", "O"), {5: 2, 7: 1})
    folder = safe_folder(tmp_path, small_model(mine, include_charges=False), arguments)
    with pytest.raises(ModelError, match=r"expected dataset_info\.json .* dataset 'mine'"):
        load_model(folder)
    info = {"name": "mine", "atom_decoder": ["C", "O"], "n_nodes": {"5": 2, "7": 1}}
    (folder / "dataset_info.json").write_text(json.dumps(info))
    assert load_model(folder).dataset == mine
    assert EdmRollout.from_checkpoint(folder, atoms=7, steps=3).shape == (5, 7 * 5)


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("context_node_nf", 3, "unconditional"),
        ("conditioning", ["alpha"], "unconditional"),
        ("probabilistic_model", "flow", "expected probabilistic_model = 'diffusion'"),
        ("diffusion_noise_schedule", "learned", "'polynomial_2'.*got 'learned'"),
        ("nf", 10**9, "nf .* positive whole number"),
        ("n_layers", True, "n_layers .* positive whole number"),
        ("normalize_factors", [1, 4], "three numbers"),
        ("include_charges", None, "true or false"),
        ("nf", 17, "edge_mlp|shape"),
        ("n_layers", 3, "missing .*e_block_2"),
        ("n_layers", 1, "others .*e_block_1"),
        ("diffusion_steps", 40, r"gamma.gamma with shape \(41,\)"),
        ("dataset", "geom", "with shape"),
        ("remove_h", True, "remove_h True"),
    ],
)
def test_arguments_of_another_model(tmp_path, name, value, message) -> None:
    folder = safe_folder(tmp_path, small_model(), {**ARGUMENTS, name: value})
    with pytest.raises(ModelError, match=message):
        load_model(folder)


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda s: s.pop("buffer"), "1 missing .buffer. and 0 others .none."),
        (lambda s: s.update({"module.x": torch.zeros(1)}), "1 others .module.x."),
        (lambda s: s.update(buffer=torch.zeros(1, dtype=torch.int64)), "floating-point"),
        (lambda s: s["buffer"].fill_(float("nan")), "finite numbers in buffer"),
        (lambda s: s["gamma.gamma"].fill_(1.0), "gamma.gamma to rise"),
        (lambda s: s.update(buffer=torch.zeros(1).expand(2**40)), "buffer with shape"),
    ],
)
def test_weights_of_another_model(folder, damage, message) -> None:
    state = {name: value.clone() for name, value in small_model().state_dict().items()}
    damage(state)
    torch.save(state, folder / "generative_model_ema.npy")
    with pytest.raises(ModelError, match=message):
        load_model(folder)


@pytest.mark.parametrize("state", [[1, 2], {"buffer": 3}, torch.zeros(3)])
def test_weights_that_are_no_state_dict(folder, state) -> None:
    torch.save(state, folder / "generative_model_ema.npy")
    with pytest.raises(ModelError, match="expected a state dict"):
        load_model(folder)


@pytest.mark.parametrize("keep", [0, 1, 50, 2000])
def test_cut_off_files(folder, keep) -> None:
    path = folder / "generative_model_ema.npy"
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ModelError, match="cannot be read as one"):
        load_model(folder)


def test_what_is_missing_is_named(tmp_path, folder) -> None:
    with pytest.raises(ModelError, match="no such folder"):
        load_model(tmp_path / "nowhere")
    (folder / "generative_model_ema.npy").unlink()
    with pytest.raises(ModelError, match=r"generative_model_ema\.npy .* no such file"):
        load_model(folder)
    assert issubclass(ModelError, CasboError)


@pytest.mark.parametrize("content", ["", "[]", "{", "[" * 100_000])
def test_arguments_that_are_no_json_object(folder, content) -> None:
    (folder / "args.json").write_text(content)
    with pytest.raises(ModelError, match=r"args\.json: expected"):
        load_model(folder)


def test_sizes_are_drawn_as_frequent_as_they_are() -> None:
    drawn = torch.tensor(GEOM_DRUGS.draw_sizes(20_000, seed=3)).double()
    counts = torch.tensor(list(GEOM_DRUGS.sizes.values())).double()
    sizes = torch.tensor(list(GEOM_DRUGS.sizes)).double()
    mean = (sizes * counts).sum() / counts.sum()
    spread = ((sizes - mean) ** 2 * counts).sum().div(counts.sum()).sqrt()
    assert abs(drawn.mean() - mean) < 4 * spread / 20_000**0.5
    assert QM9.draw_sizes(5, seed=1) == QM9.draw_sizes(5, seed=1) != QM9.draw_sizes(5, seed=2)
    with pytest.raises(ModelError, match="seed of at least 0"):
        QM9.draw_sizes(1, seed=-1)


def test_hydrogens_are_added_by_the_average() -> None:
    assert QM9.with_hydrogens(9) == 18
    assert GEOM_DRUGS.with_hydrogens(25) == 45
    assert QM9.with_hydrogens(40) == QM9.largest == 29
    with pytest.raises(ModelError, match="state the number of all atoms"):
        Dataset("mine", ("C",), {3: 1}).with_hydrogens(3)
