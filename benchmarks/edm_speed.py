"""Claim: EDM without lists of edges takes half the time at the sizes of drugs.

    python benchmarks/edm_speed.py --model qm9 --atoms 19 --molecules 8
    python benchmarks/edm_speed.py --model geom --atoms 44 --molecules 8

The released configurations with random weights, which cost the same as trained ones. "edge lists"
is the network as it is usually written: one molecule after the other, both atoms' features gathered
and joined for every edge. Both are timed in turns in this process, checked to agree, and compared
in seconds of processor time (of all threads) for one reverse step of one molecule. Then the
rollout itself makes N molecules in a few steps: seconds a step, and peak memory of the process.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.functional import linear, silu

from casbo_molecules.edm import EdmConfig, EdmModel, EdmRollout, Sampler
from casbo_molecules.edm.dataset import GEOM_DRUGS, QM9

CONFIGURATIONS = {
    "qm9": (EdmConfig(layers=9, include_charges=True), QM9),
    "geom": (EdmConfig(layers=4, include_charges=False), GEOM_DRUGS),
}


class Edges(NamedTuple):
    """Every pair of different atoms as two lists."""

    row: Tensor
    column: Tensor

    def gathered(self, h: Tensor, features: Tensor) -> Tensor:
        """[receiver, sender, features] for each edge."""
        return torch.cat([h[self.row], h[self.column], features], dim=1)

    def summed(self, values: Tensor, atoms: int) -> Tensor:
        """Values of edges added up at their receivers."""
        return values.new_zeros(atoms, values.shape[1]).index_add_(0, self.row, values)


def edgewise(weights: dict[str, Tensor], layers: int, state: Tensor, time: float) -> Tensor:
    """The predicted noise (n, 3 + C) of one molecule, edge by edge."""
    n = len(state)
    pairs = torch.cartesian_prod(torch.arange(n), torch.arange(n)).to(state.device)
    edges = Edges(*pairs[pairs[:, 0] != pairs[:, 1]].T)

    def layer(name: str, values: Tensor) -> Tensor:
        name = f"dynamics.egnn.{name}"
        return linear(values, weights[f"{name}.weight"], weights.get(f"{name}.bias"))

    x = state[:, :3]
    start = (x[edges.row] - x[edges.column]).square().sum(1, keepdim=True)
    h = layer("embedding", torch.cat([state[:, 3:], torch.full_like(x[:, :1], time)], dim=1))
    for index in range(layers):
        first, second = f"e_block_{index}.gcl_0", f"e_block_{index}.gcl_equiv.coord_mlp"
        offset = x[edges.row] - x[edges.column]
        squared = offset.square().sum(1, keepdim=True)
        features = torch.cat([squared, start], dim=1)
        message = silu(layer(f"{first}.edge_mlp.0", edges.gathered(h, features)))
        message = silu(layer(f"{first}.edge_mlp.2", message))
        message = message * layer(f"{first}.att_mlp.0", message).sigmoid()
        update = torch.cat([h, edges.summed(message, n)], dim=1)
        h = h + layer(f"{first}.node_mlp.2", silu(layer(f"{first}.node_mlp.0", update)))
        length = silu(layer(f"{second}.0", edges.gathered(h, features)))
        length = layer(f"{second}.4", silu(layer(f"{second}.2", length))).tanh() * 15
        unit = offset / ((squared + 1e-8).sqrt() + 1)
        x = x + edges.summed(unit * length, n)
    shift = x - state[:, :3]
    return torch.cat([shift - shift.mean(0), layer("embedding_out", h)[:, :-1]], dim=1)


def released(name: str, device: str) -> EdmModel:
    """A released configuration with random weights."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # torch's layers draw their weights from the global generator
        model = EdmModel(*CONFIGURATIONS[name]).requires_grad_(False).eval()
    for key, value in model.named_parameters():
        if key.endswith("coord_mlp.4.weight"):
            value.mul_(0.001)  # as upstream begins training: atoms hardly move
    return model.to(device)


def seconds(work: Callable[[], object]) -> float:
    """Processor time of all threads, or the clock's where a GPU works."""
    clock = time.perf_counter if torch.cuda.is_available() else time.process_time
    begun = clock()
    work()
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return clock() - begun


@torch.inference_mode()
def compare(model: EdmModel, atoms: int, molecules: int, repeats: int) -> tuple[float, float]:
    """The least seconds for a step of one molecule: edge lists, ours."""
    generator = torch.Generator().manual_seed(1)
    states = torch.randn(molecules, atoms, 3 + model.channels, generator=generator)
    states = states.to(model.buffer.device)
    weights = model.state_dict()
    batch = EdmRollout(model, atoms).microbatch

    def usual() -> Tensor:
        return torch.stack([edgewise(weights, model.config.layers, z, 0.5) for z in states])

    def ours() -> Tensor:
        return torch.cat([model.predict_noise(part, 0.5) for part in states.split(batch)])

    torch.testing.assert_close(ours(), usual(), rtol=1e-3, atol=1e-3)
    taken = [(seconds(usual), seconds(ours)) for _ in range(repeats)]
    slow, fast = (min(column) / molecules for column in zip(*taken, strict=True))
    return slow, fast


def main() -> None:
    """Parse the command line, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", choices=CONFIGURATIONS, default="qm9")
    parser.add_argument("--atoms", type=int, default=19)
    parser.add_argument("--molecules", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()

    model = released(options.model, options.device)
    size = f"{options.model}, {options.atoms} atoms, {options.device}"
    slow, fast = compare(model, options.atoms, options.molecules, options.repeats)
    print(f"{size}: edge lists {1e3 * slow:.1f} ms, ours {1e3 * fast:.1f} ms: {slow / fast:.2f} x")
    rollout = EdmRollout(model, options.atoms, sampler=Sampler(options.steps))
    noise = torch.randn(
        options.molecules, *rollout.shape, generator=torch.Generator().manual_seed(2)
    )
    taken = seconds(lambda: rollout.atoms_of(noise)) / (options.steps + 1)
    print(f"{taken:.3f} s a step for {options.molecules} molecules")
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10:.0f} MiB")


if __name__ == "__main__":
    main()
