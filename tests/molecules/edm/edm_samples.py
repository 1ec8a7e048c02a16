"""Small EDM models, folders as the official ones, and the network written edge by edge."""

from __future__ import annotations

import argparse
import json
import pickle
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import linear, silu

for package in ("rdkit", "openbabel"):
    pytest.importorskip(package, reason=f"{package} is part of casbo[molecules]")

from casbo_molecules.edm import EdmConfig, EdmModel
from casbo_molecules.edm.dataset import QM9, Dataset

ARGUMENTS: dict[str, Any] = {
    "model": "egnn_dynamics",
    "probabilistic_model": "diffusion",
    "dataset": "qm9",
    "remove_h": False,
    "nf": 16,
    "n_layers": 2,
    "inv_sublayers": 1,
    "attention": True,
    "tanh": True,
    "norm_constant": 1,
    "sin_embedding": False,
    "condition_time": True,
    "conditioning": [],
    "context_node_nf": 0,
    "include_charges": True,
    "normalize_factors": [1, 4, 10],
    "normalization_factor": 1,
    "diffusion_steps": 50,
    "diffusion_noise_schedule": "polynomial_2",
    "diffusion_noise_precision": 0.05,  # what an untrained model makes stays of a molecule's size
    "lr": 0.0001,
    "wandb_usr": None,
}


def small_model(dataset: Dataset = QM9, seed: int = 0, **changes: Any) -> EdmModel:
    """An untrained model in float32; every law tested with it is one of the code."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = EdmModel(EdmConfig.from_arguments(ARGUMENTS | changes), dataset)
    return model.requires_grad_(False).eval()


def official_folder(folder: Path, model: EdmModel, arguments: dict[str, Any]) -> Path:
    """A folder like the official ones: a pickled namespace and a saved state dict."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "args.pickle").write_bytes(pickle.dumps(argparse.Namespace(**arguments)))
    torch.save(model.state_dict(), folder / "generative_model_ema.npy")
    return folder


def safe_folder(folder: Path, model: EdmModel, arguments: dict[str, Any]) -> Path:
    """The same without pickles."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "args.json").write_text(json.dumps(arguments))
    save_file(model.state_dict(), folder / "generative_model_ema.safetensors")
    return folder


def noise_for(rollout: Any, count: int, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(count, *rollout.shape, generator=generator, dtype=torch.float64)


def edgewise(model: EdmModel, state: Tensor, time: float) -> Tensor:
    """The predicted noise of one molecule (n, 3 + C), with lists of edges, as the paper says it."""
    weights, config, n = model.state_dict(), model.config, len(state)
    row, column = torch.tensor([(i, j) for i in range(n) for j in range(n) if i != j]).T

    def layer(name: str, values: Tensor) -> Tensor:
        name = f"dynamics.egnn.{name}"
        return linear(values, weights[f"{name}.weight"], weights.get(f"{name}.bias"))

    def summed(values: Tensor) -> Tensor:
        total = values.new_zeros(n, values.shape[1]).index_add(0, row, values)
        return total / config.normalization_factor

    x, features = state[:, :3], state[:, 3:]
    start = (x[row] - x[column]).square().sum(1, keepdim=True)
    h = layer("embedding", torch.cat([features, torch.full_like(x[:, :1], time)], dim=1))
    for index in range(config.layers):
        block = f"e_block_{index}"
        offset = x[row] - x[column]
        squared = offset.square().sum(1, keepdim=True)
        edge = torch.cat([squared, start], dim=1)
        for sub in range(config.sublayers):
            pair = torch.cat([h[row], h[column], edge], dim=1)
            hidden = silu(layer(f"{block}.gcl_{sub}.edge_mlp.0", pair))
            message = silu(layer(f"{block}.gcl_{sub}.edge_mlp.2", hidden))
            message = message * layer(f"{block}.gcl_{sub}.att_mlp.0", message).sigmoid()
            both = torch.cat([h, summed(message)], dim=1)
            update = silu(layer(f"{block}.gcl_{sub}.node_mlp.0", both))
            h = h + layer(f"{block}.gcl_{sub}.node_mlp.2", update)
        pair = torch.cat([h[row], h[column], edge], dim=1)
        hidden = silu(layer(f"{block}.gcl_equiv.coord_mlp.0", pair))
        hidden = silu(layer(f"{block}.gcl_equiv.coord_mlp.2", hidden))
        length = layer(f"{block}.gcl_equiv.coord_mlp.4", hidden).tanh() * 15
        unit = offset / ((squared + 1e-8).sqrt() + config.norm_constant)
        x = x + summed(unit * length)
    shift = x - state[:, :3]
    return torch.cat([shift - shift.mean(0), layer("embedding_out", h)[:, :-1]], dim=1)


def ancestral(model: EdmModel, noise: Tensor) -> tuple[Tensor, Tensor]:
    """The full chain of the paper for one molecule, by its formulas: positions and element numbers.

    ``noise`` (T + 2, n, 3 + C): start, steps, final positions.
    """
    gamma, T = model.gamma.gamma.double(), model.config.diffusion_steps
    alpha, sigma = (-gamma).sigmoid().sqrt(), gamma.sigmoid().sqrt()

    def centre(values: Tensor) -> Tensor:
        x = values[:, :3]
        return torch.cat([x - x.mean(0), values[:, 3:]], dim=1)

    z = centre(noise[0])
    for t in range(T, 0, -1):
        s = t - 1
        ratio = alpha[t] / alpha[s]
        variance = sigma[t] ** 2 - ratio**2 * sigma[s] ** 2
        mean = z / ratio - variance / (ratio * sigma[t]) * edgewise(model, z, t / T)
        spread = variance.sqrt() * sigma[s] / sigma[t]
        z = centre(mean + spread * centre(noise[T - t + 1]))
    clean = (z - sigma[0] * edgewise(model, z, 0.0)) / alpha[0]
    x = clean[:, :3] + sigma[0] / alpha[0] * centre(noise[-1])[:, :3]
    return x, z[:, 3 : 3 + len(model.dataset.elements)].argmax(1)
