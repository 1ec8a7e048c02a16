"""Number for number what the authors' code gives."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file

from casbo_molecules.targetdiff import Pocket, Sampler, TargetDiffConfig, TargetDiffModel
from casbo_molecules.targetdiff.categorical import Kept, log_noised, log_one_hot, log_posterior
from casbo_molecules.targetdiff.graph import PocketNeighbours, nearest
from casbo_molecules.targetdiff.loss import diffusion_loss
from casbo_molecules.targetdiff.network import Batch, TargetDiffNetwork
from casbo_molecules.targetdiff.sampler import State, advance, start
from casbo_molecules.targetdiff.schedule import Schedule

TIMES, GRAPHS = (0, 250, 999), (0, 1)
CLOSE = {"atol": 2e-5, "rtol": 0.0}


def batch_at(inputs, time, dtype=torch.float32):
    return Batch(
        inputs["batch.protein_pos_centered"].to(dtype),
        inputs["batch.protein_feature"].to(dtype),
        inputs["batch.protein_batch"],
        inputs[f"t{time}.ligand_pos"].to(dtype),
        inputs[f"t{time}.ligand_type"],
        inputs["batch.ligand_batch"],
    )


def graph_pocket(inputs, graph):
    mine = inputs["batch.protein_batch"] == graph
    return Pocket(
        inputs["batch.protein_pos"][mine].double(), inputs["batch.protein_feature"][mine]
    )


def test_the_official_checkpoint_has_these_names_and_shapes(reference):
    expected = json.loads((reference / "official_keys.json").read_text())["keys"]
    state = TargetDiffNetwork(TargetDiffConfig()).state_dict()
    assert {name: list(tensor.shape) for name, tensor in state.items()} == {
        name: entry["shape"] for name, entry in expected.items()
    }


def test_schedules(reference):
    ours = Schedule(TargetDiffConfig()).tensors()
    theirs = load_file(reference / "schedule.safetensors")
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        torch.testing.assert_close(ours[name], tensor, rtol=1e-6, atol=1e-7)


def test_full_sampler_is_the_ancestral_chain(reference):
    """With S = T and eta = 1 every step has the posterior's coefficients."""
    theirs = load_file(reference / "schedule.safetensors")
    steps = Sampler(steps=1000, eta=1.0).schedule(Schedule(TargetDiffConfig()))
    assert [step.time for step in steps] == list(range(999, -1, -1))
    for name, values in {
        "posterior_mean_c0_coef": [step.clean for step in steps],
        "posterior_mean_ct_coef": [step.kept for step in steps],
    }.items():
        torch.testing.assert_close(
            torch.tensor(values).flip(0), theirs[name], rtol=1e-6, atol=1e-8
        )
    spread = torch.tensor([step.spread for step in steps]).flip(0)
    torch.testing.assert_close(
        spread[1:], (0.5 * theirs["posterior_logvar"][1:]).exp(), rtol=1e-6, atol=0
    )
    assert spread[0] == 0
    between = torch.tensor([step.between.log_kept for step in steps]).flip(0)
    torch.testing.assert_close(between, theirs["log_alphas_v"], rtol=1e-4, atol=1e-7)
    redrawn = torch.tensor([step.between.log_redrawn for step in steps]).flip(0)
    torch.testing.assert_close(redrawn, theirs["log_one_minus_alphas_v"], rtol=1e-5, atol=2e-5)


@pytest.mark.parametrize("time", TIMES)
def test_plain_network(small, inputs, outputs, time):
    with torch.no_grad():
        found = small.network(batch_at(inputs, time))
    names = ("pred_ligand_pos", "pred_ligand_v", "final_ligand_h")
    for tensor, name in zip(found, names, strict=True):
        torch.testing.assert_close(tensor, outputs[f"t{time}.{name}"], **CLOSE)


@pytest.mark.parametrize("time", TIMES)
def test_plain_network_in_double_precision(small, inputs, outputs, time):
    with torch.no_grad():
        found = small.double().network(batch_at(inputs, time, torch.float64))
    for tensor, name in zip(found[:2], ("pred_ligand_pos", "pred_ligand_v"), strict=True):
        torch.testing.assert_close(tensor, outputs[f"t{time}.f64.{name}"], atol=1e-8, rtol=0)


@pytest.mark.parametrize("time", TIMES)
@pytest.mark.parametrize("graph", GRAPHS)
def test_fast_network(small, inputs, outputs, time, graph):
    network = small.inside(graph_pocket(inputs, graph))
    mine = inputs["batch.ligand_batch"] == graph
    found = network(
        inputs[f"t{time}.ligand_pos"][mine][None], inputs[f"t{time}.ligand_type"][mine][None]
    )
    names = ("pred_ligand_pos", "pred_ligand_v", "final_ligand_h")
    for tensor, name in zip(found, names, strict=True):
        torch.testing.assert_close(tensor[0], outputs[f"t{time}.{name}"][mine], **CLOSE)


def test_graph(inputs, outputs):
    """The edges of both graphs, found plainly and around the pockets, are the authors'."""
    theirs = outputs["t250.graph.edge_index"].long()
    positions, number = outputs["t250.graph.pos"], outputs["t250.graph.batch"].long()
    wanted = set(map(tuple, theirs.T.tolist()))
    assert set(zip(*(x.tolist() for x in nearest(positions, number, 32)), strict=True)) == wanted
    ligand = outputs["t250.graph.mask_ligand"].bool()
    found = set()
    for graph in GRAPHS:
        first = int((number < graph).sum())
        mine = number == graph
        pocket = PocketNeighbours.of(positions[mine & ~ligand], 32)
        around = pocket.around(positions[mine & ligand][None])
        found |= {
            (source + first, target + first)
            for target, row in enumerate(around.sources.tolist())
            for source in row
        }
    assert found == wanted


@pytest.mark.parametrize("time", TIMES)
def test_posteriors(inputs, outputs, time):
    schedule = Schedule(TargetDiffConfig())
    step = Sampler(steps=1000).schedule(schedule)[999 - time]
    mean = step.clean * outputs[f"t{time}.pred_ligand_pos"] + (
        step.kept * inputs[f"t{time}.ligand_pos"]
    )
    torch.testing.assert_close(mean, outputs[f"t{time}.posterior_mean_pos"], **CLOSE)
    log_v0 = outputs[f"t{time}.pred_ligand_v"].log_softmax(-1)
    found = log_posterior(log_v0, inputs[f"t{time}.ligand_type"], step.until, step.between)
    torch.testing.assert_close(found, outputs[f"t{time}.log_posterior_v"], **CLOSE)
    clean = log_one_hot(inputs["batch.ligand_type_clean"], 13)
    noised = log_noised(clean, Kept.of(float(schedule.log_alphas_cumprod_v[time])))
    torch.testing.assert_close(noised, outputs[f"t{time}.log_q_vt_given_v0"], **CLOSE)


@pytest.mark.parametrize("graph", GRAPHS)
def test_first_steps_of_sampling(small, inputs, outputs, graph):
    """The authors' uniform numbers, as normal quantiles, draw the authors' types."""
    pocket = graph_pocket(inputs, graph)
    network, mine = small.inside(pocket), inputs["batch.ligand_batch"] == graph

    def given(name):
        return inputs[f"sample_first5.{name}"][..., mine, :]

    def normal(uniform):
        return torch.special.ndtri(uniform.double())

    offset = pocket.center.float()
    theirs = inputs["batch.offset"][graph]  # summed in float32, so off by some 1e-5 Å
    torch.testing.assert_close(offset, theirs, rtol=0, atol=1e-4)
    state = start((given("init_ligand_pos") - offset)[None], normal(given("init_uniform_v"))[None])
    assert torch.equal(state.types[0], inputs["sample_first5.init_ligand_type"][mine])
    steps = Sampler(steps=1000).schedule(Schedule(small.config))
    for index in range(5):
        prediction = network(*state)
        predicted = outputs["sample_first5.pred_x0_centered"][index][mine] + theirs
        torch.testing.assert_close(prediction.positions[0] + offset, predicted, **CLOSE)
        noise = (given("pos_noise")[index][None], normal(given("uniform_v")[index])[None])
        state = advance(state, prediction.positions, prediction.logits, steps[index], noise)
        after = outputs["sample_first5.pos_traj"][index][mine]
        torch.testing.assert_close(state.positions[0] + offset, after, **CLOSE)
        assert torch.equal(state.types[0], outputs["sample_first5.v_traj"][index][mine])
    assert isinstance(state, State)


def test_every_layout_loads_the_same_weights(small, reference, tmp_path):
    """The authors' file, and a folder that was written from it."""
    official = TargetDiffModel.from_checkpoint(reference / "small_checkpoint_official_layout.pt")
    again = TargetDiffModel.from_checkpoint(official.save(tmp_path / "model"))
    assert official.config == again.config == small.config
    for name, tensor in small.network.state_dict().items():
        assert torch.equal(official.network.state_dict()[name], tensor), name
        assert torch.equal(again.network.state_dict()[name], tensor), name


@pytest.mark.parametrize("time", TIMES)
def test_training_loss(small, inputs, outputs, time):
    clean = replace(
        batch_at(inputs, time),
        ligand_positions=inputs["batch.ligand_pos_clean_centered"],
        ligand_types=inputs["batch.ligand_type_clean"],
    )
    given = {
        name: inputs[f"loss_t{time}.{name}"] for name in ("time_step", "pos_eps", "uniform_v")
    }
    noise = given["pos_eps"], torch.special.ndtri(given["uniform_v"].double())
    with torch.no_grad():
        found = diffusion_loss(small.network, clean, given["time_step"], noise)
    for value, name in zip(found, ("loss", "loss_pos", "loss_v"), strict=True):
        theirs = outputs[f"loss_t{time}.{name}"][0]
        torch.testing.assert_close(value.to(theirs), theirs, rtol=1e-4, atol=2e-5)
