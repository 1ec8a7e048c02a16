"""A trained TargetDiff model: how to load it, and how to put it into a pocket."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from ..device import device_of
from .checkpoint import read_checkpoint
from .config import TargetDiffConfig
from .errors import TargetDiffError
from .inference import PocketInference
from .network import TargetDiffNetwork
from .pocket import Pocket
from .schedule import Schedule
from .vocabulary import MODES, mode_with

#: Largest relative difference between a checkpoint's schedule and the one its options name.
SCHEDULE_TOLERANCE = 1e-4


@dataclass(frozen=True)
class TargetDiffModel:
    """A network in evaluation mode."""

    network: TargetDiffNetwork

    @property
    def config(self) -> TargetDiffConfig:
        """What the network is built from."""
        return self.network.config

    @property
    def device(self) -> torch.device:
        """Where its weights are."""
        return self.network.protein_atom_emb.weight.device

    @classmethod
    def from_checkpoint(
        cls, path: str | Path, *, device: str | torch.device = "cpu"
    ) -> TargetDiffModel:
        """Load a file as the authors publish it, or a folder as :meth:`save` writes it.

        Parameters
        ----------
        path
            A ``.pt`` file written by ``torch.save`` (``pretrained_diffusion.pt``), or a folder with
            ``config.json`` and ``model.safetensors``.
        device
            Where to compute.

        Raises
        ------
        TargetDiffError
            If the file cannot be read or is refused (:mod:`.checkpoint`), the configuration has
            options that are not supported, or weights are missing, unknown, of another shape or
            not finite.
        casbo_molecules.errors.DockingInputError
            If there is no such device.
        """
        path = Path(path)
        target = device_of(device)
        content = _read_folder(path) if path.is_dir() else read_checkpoint(path)
        state = content.get("model")
        if not isinstance(state, Mapping) or not all(
            isinstance(x, Tensor) for x in state.values()
        ):
            raise TargetDiffError(f"{path}: expected the weights under 'model', found none")
        try:
            config = _config(content.get("config"), state)
            network = _network(config, state)
        except TargetDiffError as error:
            raise TargetDiffError(f"{path}: {error}") from None
        return cls(network.requires_grad_(False).eval().to(target))

    @classmethod
    def untrained(cls, config: TargetDiffConfig, seed: int) -> TargetDiffModel:
        """Random weights, for tests and measurements of speed."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = TargetDiffNetwork(config)
        return cls(network.requires_grad_(False).eval())

    def save(self, folder: str | Path) -> Path:
        """Write ``config.json`` and ``model.safetensors``."""
        from safetensors.torch import save_file

        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        state = {name: tensor.contiguous() for name, tensor in self.network.state_dict().items()}
        save_file(state, folder / "model.safetensors")
        text = json.dumps(asdict(self.config), indent=2)
        (folder / "config.json").write_text(text + "\n", encoding="utf-8")
        return folder

    def double(self) -> TargetDiffModel:
        """A copy in float64."""
        network = TargetDiffModel.untrained(self.config, seed=0).network
        network.load_state_dict(self.network.state_dict())
        return TargetDiffModel(network.double().to(self.device).requires_grad_(False).eval())

    def inside(self, pocket: Pocket, block: int | None = None) -> PocketInference:
        """The network for ligands in one pocket; positions relative to ``pocket.center``."""
        weight = self.network.protein_atom_emb.weight
        positions = (pocket.positions - pocket.center).to(weight)
        return PocketInference(self.network, positions, pocket.features.to(weight), block)


def _read_folder(folder: Path) -> dict[str, Any]:
    """config.json and model.safetensors of a folder in the layout of a checkpoint."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        options = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        return {"config": options, "model": load_file(folder / "model.safetensors")}
    except OSError as error:
        raise TargetDiffError(
            f"{folder}: expected config.json and model.safetensors: {error}"
        ) from None
    except (SafetensorError, ValueError) as error:
        raise TargetDiffError(f"{folder}: cannot be read: {error}") from None


def _config(options: object, state: Mapping[str, Tensor]) -> TargetDiffConfig:
    """From the authors' configuration, or from ours, which is flat."""
    if not isinstance(options, Mapping):
        raise TargetDiffError("expected the training configuration under 'config', found none")
    model = options.get("model", options)
    if not isinstance(model, Mapping):
        raise TargetDiffError("expected the section 'model' of the configuration to be a mapping")
    embedding = state.get("ligand_atom_emb.weight")
    types = embedding.shape[1] if embedding is not None and embedding.ndim == 2 else 0
    mode = _stated_mode(options) or mode_with(types) or "add_aromatic"
    config = TargetDiffConfig.from_official(model, mode)
    if types and types != config.types:
        raise TargetDiffError(
            f"ligand_atom_mode {mode!r} has {config.types} atom types, the weights have {types}"
        )
    return config


def _stated_mode(options: Mapping[str, Any]) -> str | None:
    """ligand_atom_mode, wherever the configuration has it."""
    data = options.get("data")
    transform = data.get("transform") if isinstance(data, Mapping) else None
    for section in (options, transform):
        if isinstance(section, Mapping) and "ligand_atom_mode" in section:
            mode = section["ligand_atom_mode"]
            return mode if mode in MODES else str(mode)
    return None


def _network(config: TargetDiffConfig, state: Mapping[str, Tensor]) -> TargetDiffNetwork:
    """The network with these weights; nothing is allocated before they prove to fit."""
    prefix = "refine_net.base_block."
    layers = {name.removeprefix(prefix).split(".")[0] for name in state if name.startswith(prefix)}
    if len(layers) != config.num_layers:
        raise TargetDiffError(
            f"the configuration says num_layers {config.num_layers}, the weights have {len(layers)}"
        )
    with torch.device("meta"):
        network = TargetDiffNetwork(config)
    expected = network.state_dict()
    _require_none("lacks", sorted(expected.keys() - state.keys()))
    _require_none("has unknown", sorted(state.keys() - expected.keys()))
    _require_none(
        "does not fit its configuration in",
        [
            f"{name} (expected shape {tuple(tensor.shape)}, got {tuple(state[name].shape)})"
            for name, tensor in expected.items()
            if state[name].shape != tensor.shape
        ],
    )
    _require_none(
        "has numbers that are not finite in",
        [name for name in expected if not bool(state[name].isfinite().all())],
    )
    network.load_state_dict({name: state[name].float() for name in expected}, assign=True)
    _check_schedule(config, state)
    return network


def _check_schedule(config: TargetDiffConfig, state: Mapping[str, Tensor]) -> None:
    differing = [
        name
        for name, tensor in Schedule(config).tensors().items()
        if not torch.allclose(state[name].float(), tensor, rtol=SCHEDULE_TOLERANCE, atol=1e-6)
    ]
    _require_none("has another noise schedule than its configuration names:", differing)


def _require_none(what: str, names: list[str]) -> None:
    """Refuse a checkpoint with these names, the first few told."""
    if names:
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        raise TargetDiffError(f"the checkpoint {what} {', '.join(names[:3])}{more}")
