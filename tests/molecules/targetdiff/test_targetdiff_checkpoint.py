"""Checkpoints: what is refused, and that nothing of a hostile file ever runs."""

from __future__ import annotations

import contextlib
import io
import os
import pickle
import pickletools
import tempfile
import zipfile
from collections import OrderedDict
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from targetdiff_samples import TINY

from casbo_molecules.errors import DockingInputError
from casbo_molecules.targetdiff import TargetDiffConfig, TargetDiffError, TargetDiffModel
from casbo_molecules.targetdiff.checkpoint import read_checkpoint
from casbo_molecules.targetdiff.config import FIXED


def options(**changes):
    free = {name: getattr(TINY, name) for name in TINY.__dataclass_fields__}
    mode = free.pop("ligand_atom_mode")
    model = {**FIXED, **free, **changes}
    return {"model": model, "data": {"transform": {"ligand_atom_mode": mode}}}


def written(path: Path, state, config=None) -> Path:
    torch.save({"config": config or options(), "model": OrderedDict(state)}, path)
    return path


@pytest.fixture
def state(tiny):
    return dict(tiny.network.state_dict())


class Payload:
    """Calls something when it is unpickled in the usual way."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


def hostile(canary: Path) -> dict[str, object]:
    """Objects that leave a file behind when they are loaded by an ordinary unpickler."""
    touch = f"open({str(canary)!r}, 'w').close()"
    return {
        "os.system": Payload(os.system, f"touch {canary}"),
        "exec": Payload(exec, touch),
        "eval": Payload(eval, touch),
        "inside the config": {"config": {"model": Payload(exec, touch)}, "model": {}},
        "inside the weights": {"config": options(), "model": {"a": Payload(exec, touch)}},
        "as a key": {"config": options(), "model": OrderedDict([(Payload(exec, touch), 1)])},
        "getattr": Payload(getattr, Payload(__import__, "os"), "system"),
        "torch.load": Payload(torch.load, str(canary)),
        "torch.hub": Payload(torch.hub.load, "someone/something", "model"),
        "importlib": Payload(__import__, "antigravity"),
        "open": Payload(open, str(canary), "w"),
        "other storages": {"config": options(), "model": {"a": torch.zeros(2, dtype=torch.int64)}},
        "a module": torch.nn.Linear(1, 1),
    }


@pytest.mark.parametrize("case", hostile(Path("canary")))
@pytest.mark.parametrize("protocol", [2, 4])
def test_hostile_files_are_refused_before_anything_runs(tmp_path, case, protocol):
    canary = tmp_path / "canary"
    path = tmp_path / "hostile.pt"
    torch.save(hostile(canary)[case], path, pickle_protocol=protocol)
    with pytest.raises(TargetDiffError, match="refused"):
        TargetDiffModel.from_checkpoint(path)
    assert not canary.exists()


def archive(path: Path, pickled: bytes, **members: bytes) -> Path:
    with zipfile.ZipFile(path, "w") as target:
        target.writestr("model/data.pkl", pickled)
        for name, content in members.items():
            target.writestr(f"model/{name}", content)
    return path


def allowed_call(opcodes: bytes) -> bytes:
    """A hand-written pickle."""
    return b"\x80\x02" + opcodes + b"."


HAND_WRITTEN = {
    "a name inside an allowed one": allowed_call(b"ccollections\nOrderedDict.__init__\n"),
    "dotted by protocol 4": b"\x80\x04\x8c\x0bcollections\x8c\x14OrderedDict.__class__\x93.",
    "a module that re-exports": allowed_call(b"ctorch.serialization\nos\n"),
    "a private helper": allowed_call(b"ctorch._utils\n_rebuild_parameter\n"),
    "a tensor from no numbers": allowed_call(
        b"ctorch._utils\n_rebuild_tensor_v2\n(K\x00K\x00))\x89}tR"
    ),
    "extension registry": allowed_call(b"\x82\x01"),
    "unknown opcode": allowed_call(b"\xff"),
    "no end": b"\x80\x02}",
    "not a dict": pickle.dumps([1, 2], protocol=2),
    "nothing": b"",
}


@pytest.mark.parametrize("case", HAND_WRITTEN)
def test_hand_written_pickles_are_refused(tmp_path, case):
    with pytest.raises(TargetDiffError):
        read_checkpoint(archive(tmp_path / "x.pt", HAND_WRITTEN[case]))


def test_the_reference_file_needs_just_the_four_names(reference):
    with zipfile.ZipFile(reference / "small_checkpoint_official_layout.pt") as official:
        (name,) = [name for name in official.namelist() if name.endswith("data.pkl")]
        names = {
            argument
            for code, argument, _ in pickletools.genops(official.read(name))
            if code.name == "GLOBAL"
        }
    assert names == {
        "easydict EasyDict",
        "collections OrderedDict",
        "torch._utils _rebuild_tensor_v2",
        "torch FloatStorage",
    }


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_torchscript_and_other_files_are_refused(tmp_path):
    scripted = tmp_path / "scripted.pt"
    program = torch.jit.trace(torch.nn.Linear(2, 2), torch.zeros(1, 2))
    torch.jit.save(program, scripted)
    plain = tmp_path / "plain.pt"
    plain.write_bytes(pickle.dumps({"config": {}, "model": {}}))
    old = tmp_path / "old.pt"
    torch.save({"config": {}}, old, _use_new_zipfile_serialization=False)
    compressed = tmp_path / "compressed.pt"
    with zipfile.ZipFile(compressed, "w", zipfile.ZIP_DEFLATED) as target:
        target.writestr("model/data.pkl", pickle.dumps({"config": {}}))
    for path in (scripted, plain, old, compressed, tmp_path, tmp_path / "absent.pt"):
        with pytest.raises(TargetDiffError, match=path.name):
            TargetDiffModel.from_checkpoint(path)


@settings(max_examples=60)
@given(st.data())
def test_damaged_files_give_an_error_or_the_weights(tiny, data):
    """Cut anywhere, or with a byte changed: never a traceback of another kind."""
    buffer = io.BytesIO()
    torch.save({"config": options(), "model": tiny.network.state_dict()}, buffer)
    raw = bytearray(buffer.getvalue())
    if data.draw(st.booleans()):
        raw = raw[: data.draw(st.integers(0, len(raw) - 1))]
    else:
        raw[data.draw(st.integers(0, 20_000))] ^= data.draw(st.integers(1, 255))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "damaged.pt"
        path.write_bytes(raw)
        with contextlib.suppress(TargetDiffError):
            assert TargetDiffModel.from_checkpoint(path).config.types == TINY.types


def test_it_loads_what_it_should(tmp_path, tiny, state):
    model = TargetDiffModel.from_checkpoint(written(tmp_path / "good.pt", state))
    assert model.config == TINY
    assert not any(weight.requires_grad for weight in model.network.parameters())
    for name, tensor in tiny.network.state_dict().items():
        assert torch.equal(model.network.state_dict()[name], tensor)


def test_missing_unknown_and_misshapen_weights_are_named(tmp_path, state):
    def refused(changes, words):
        changed = {**state, **changes}
        changed = {name: tensor for name, tensor in changed.items() if tensor is not None}
        with pytest.raises(TargetDiffError, match=words):
            TargetDiffModel.from_checkpoint(written(tmp_path / "bad.pt", changed))

    refused({"v_inference.0.bias": None}, "lacks v_inference.0.bias")
    refused({"betas": None}, "lacks betas")
    refused({"surprise": torch.zeros(1)}, "unknown surprise")
    refused({"v_inference.0.bias": torch.zeros(5)}, r"v_inference.0.bias \(expected shape \(8,\)")
    refused({"v_inference.0.bias": torch.full((8,), torch.nan)}, "not finite in v_inference.0")
    refused({"betas": 2 * state["betas"]}, "another noise schedule .* betas")
    refused({"ligand_atom_emb.weight": torch.zeros(7, 8)}, "'add_aromatic' has 13 atom types")


@pytest.mark.parametrize("name", FIXED)
def test_options_that_are_not_supported_are_named(tmp_path, state, name):
    config = options(**{name: "something else"})
    with pytest.raises(TargetDiffError, match=f"not supported: {name}: 'something else'"):
        TargetDiffModel.from_checkpoint(written(tmp_path / "bad.pt", state, config))


@pytest.mark.parametrize(
    ("config", "words"),
    [
        (options(num_layers=10**9), "num_layers 1000000000, the weights have 3"),
        (options(n_heads=3), "multiple of n_heads"),
        (options(knn=0), "knn as a positive integer"),
        (options(hidden_dim="8"), "hidden_dim as a positive integer"),
        ({"model": {}}, "lacks hidden_dim"),
        ({"model": 3}, "to be a mapping"),
        ("text", "training configuration"),
        ({**options(), "data": {"transform": {"ligand_atom_mode": "odd"}}}, "got 'odd'"),
    ],
)
def test_configurations_that_do_not_fit_are_refused(tmp_path, state, config, words):
    with pytest.raises(TargetDiffError, match=words):
        TargetDiffModel.from_checkpoint(written(tmp_path / "bad.pt", state, config))


def test_unknown_devices_are_refused(tmp_path, state):
    path = written(tmp_path / "good.pt", state)
    with pytest.raises(DockingInputError, match="expected a device"):
        TargetDiffModel.from_checkpoint(path, device="abacus")


def test_folders_without_their_files_are_refused(tmp_path, tiny):
    folder = tiny.save(tmp_path / "model")
    (folder / "config.json").write_text("{")
    with pytest.raises(TargetDiffError, match="cannot be read"):
        TargetDiffModel.from_checkpoint(folder)
    (folder / "config.json").unlink()
    with pytest.raises(TargetDiffError, match=r"expected config\.json"):
        TargetDiffModel.from_checkpoint(folder)


def test_all_atom_modes_have_a_network():
    for mode, types in {"basic": 8, "add_aromatic": 13, "full": 23}.items():
        assert TargetDiffConfig(ligand_atom_mode=mode).types == types
