"""Claim: without gradients a new word is learned nearly as well as with them, at equal forward passes.

    python benchmarks/inversion.py --out build/inversion          # runs what is missing
    python benchmarks/inversion.py --out build/inversion --tables # prints what is there
    python benchmarks/inversion.py --out build/inversion --figure build/inversion.png # its pictures
    python benchmarks/inversion.py --out build/inversion --memory # peak memory, in processes of their own

On the small text-to-image world of casbo_images, for concepts that no single word names (or, with
``--concepts unnamed``, that no words name), four pictures each: the published procedure (pycma,
population 20, sigma 1, unscaled PCA with the mean, fresh noise for every candidate, nearly uniform
start, best of the last iteration), ours, textual inversion by gradients (a step counted as three
forwards), and the start. One JSON line for each concept, seed and method in
``results.jsonl``; what is there is not run again. ``grids/`` holds pictures: six plain, six in contexts.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import json_lines
import numpy as np
import torch
from inversion_figure import draw
from inversion_gradient import invert_by_gradients
from inversion_world import ALL, CONTEXTS, GROUPS, PLAIN, TEMPLATES, Concept, placed

from casbo_images.scenes.caption import vocabulary
from casbo_images.shipped import GUIDANCE, SHIPPED_CLIP, SHIPPED_PIPELINE
from casbo_inversion import (
    Attention,
    CmaOptimizer,
    DenoisingLoss,
    ImageSimilarity,
    LearnedToken,
    PcaSubspace,
    TokenInversion,
    invert,
)
from casbo_inversion.inversion_run import load_pipeline
from casbo_inversion.keeping import Keeping
from casbo_inversion.objective import normal
from casbo_inversion.pictures import grid, png_bytes

METHODS = ("start", "published", "ours", "gradient")
#: What tells the runs of a file apart, and what a line of it is.
KEYS, RUN = ("concept", "seed", "method", "budget", "vectors"), "a run of this benchmark"
FIGURES = ("loss", "clip_i", "agreement", "placed", "agreement_in_context")
PUBLISHED_TIMESTEPS, PUBLISHED_POPULATION = 5, 20
#: Settings of ours that the command line may change.
OURS = {
    "coordinates": int,
    "scale": float,
    "timesteps": int,
    "population": int,
    "sigma_floor": float,
    "microbatch": int,
}
EVALUATION_SEED = 1000


@dataclass(frozen=True)
class Setup:
    """What all methods share.

    Arguments:
        pipe: The text-to-image model.
        clip: The folder of the CLIP.
        forwards: The budget in forward passes.
        pictures: Pictures made for every measurement.
        steps: Denoising steps of a picture.
        vectors: V, of the token, for every method.
        coordinates, scale, timesteps, population, sigma_floor: Settings of ours.
        microbatch: Forward passes at a time.
    """

    pipe: Any
    clip: str
    forwards: int
    pictures: int
    steps: int
    vectors: int = 3
    coordinates: int = 64
    scale: float = PcaSubspace.scale
    timesteps: int = 4
    population: int = 32
    sigma_floor: float = 0.0
    microbatch: int = 32

    def inversion(
        self,
        concept: Concept,
        objective: DenoisingLoss,
        *,
        published: bool = False,
        subspace: PcaSubspace | None = None,
    ) -> TokenInversion:
        """The inversion of a concept."""
        init = Attention(
            self.clip,
            tuple(vocabulary()),
            temperature=None if published else 0.01,
            match_norm=not published,
            template=PLAIN,
        )
        return TokenInversion(
            self.pipe,
            concept.training,
            init=init,
            objective=objective,
            steps=self.steps,
            guidance_scale=GUIDANCE,
            prompt=PLAIN,
            microbatch=self.microbatch,
            subspace=subspace,
            vectors=self.vectors,
        )


def learn(setup: Setup, concept: Concept, method: str, seed: int, rate: float) -> dict[str, Any]:
    """The token of one method, and what it cost."""
    learner: Callable[..., tuple[LearnedToken, int]] = {
        "start": _start,
        "published": _published,
        "ours": _ours,
        "gradient": _gradient,
    }[method]
    begun = time.perf_counter()
    token, passes = learner(setup, concept, seed, rate)
    return {"token": token, "passes": passes, "seconds": time.perf_counter() - begun}


def _start(setup: Setup, concept: Concept, seed: int, rate: float) -> tuple[LearnedToken, int]:
    del seed, rate
    return setup.inversion(concept, DenoisingLoss(templates=TEMPLATES)).start_token, 0


def _ours(setup: Setup, concept: Concept, seed: int, rate: float) -> tuple[LearnedToken, int]:
    del rate
    inversion = setup.inversion(
        concept,
        DenoisingLoss(
            timesteps=setup.timesteps,
            templates=TEMPLATES,
            seed=seed,
            microbatch=setup.microbatch,
        ),
        subspace=PcaSubspace(setup.coordinates, setup.scale),
    )
    learned = invert(
        inversion,
        queries=setup.population * affordable(setup, inversion),
        population=setup.population,
        seed=seed,
        progress=False,
        sigma_floor=setup.sigma_floor,
    )
    return learned.token, learned.forward_passes


def affordable(setup: Setup, inversion: TokenInversion) -> int:
    """Iterations that the budget pays for, scores relative to the start and validations included."""
    scorer, every = inversion.objective, Keeping().validate_every
    iterations = 1
    while True:
        more = iterations + 1
        passes = more * (setup.population + 1) * scorer.forward_passes_per_query
        # the start, the best mean and the last one are validated at the end
        passes += (3 - (-more // every)) * scorer.forward_passes_per_validation
        if passes > setup.forwards:
            return iterations
        iterations = more


def _published(setup: Setup, concept: Concept, seed: int, rate: float) -> tuple[LearnedToken, int]:
    del rate
    loss = DenoisingLoss(
        timesteps=PUBLISHED_TIMESTEPS, common="none", templates=TEMPLATES, seed=seed
    )
    width = setup.pipe.text_encoder.config.hidden_size
    inversion = setup.inversion(
        concept, loss, published=True, subspace=PcaSubspace(min(256, width), published=True)
    )
    learned = invert(
        inversion,
        queries=max(setup.forwards // PUBLISHED_TIMESTEPS, PUBLISHED_POPULATION),
        population=PUBLISHED_POPULATION,
        seed=seed,
        keeping=Keeping("last"),
        optimizer=CmaOptimizer,
        progress=False,
    )
    return learned.token, learned.result.history[-1].queries * PUBLISHED_TIMESTEPS


def _gradient(setup: Setup, concept: Concept, seed: int, rate: float) -> tuple[LearnedToken, int]:
    inversion = setup.inversion(concept, DenoisingLoss(templates=TEMPLATES))
    token = invert_by_gradients(inversion, forwards=setup.forwards, seed=seed, rate=rate)
    return token, setup.forwards


def measure(setup: Setup, concept: Concept, token: LearnedToken) -> tuple[dict[str, float], Any]:
    """The figures of a token, and its pictures; the same random numbers for every token."""
    inversion = setup.inversion(concept, DenoisingLoss(templates=TEMPLATES))
    held_out = Concept(concept.name, concept.attributes, concept.held_out, concept.training)
    loss = setup.inversion(
        held_out, DenoisingLoss(templates=TEMPLATES, validation=256, seed=EVALUATION_SEED)
    )
    maker = inversion.maker
    plain = maker.previews(token, setup.pictures, PLAIN, seed=EVALUATION_SEED)
    positions = [list(CONTEXTS)[n % len(CONTEXTS)] for n in range(setup.pictures)]
    prompts = [inversion.encoder.prompt(CONTEXTS[place]) for place in positions]
    noise = normal(np.random.default_rng(EVALUATION_SEED + 1), setup.pictures, *maker.latent_shape)
    contexts = maker.pictures([token] * setup.pictures, prompts, noise)
    figures = {
        "loss": loss.objective([token.at(None)])[0],
        "clip_i": float(np.mean(ImageSimilarity(setup.clip, concept.held_out)(plain))),
        "agreement": concept.agreement(plain),
        "placed": placed(contexts, positions),
        "agreement_in_context": concept.agreement(contexts),
        "norm": float(token.joined.norm()),
    }
    return figures, [*plain[:6], *contexts[:6]]


def run(options: argparse.Namespace, setup: Setup) -> None:
    """Run what is missing and append a line for each."""
    results = options.out / "results.jsonl"
    grids = options.out / "grids"
    grids.mkdir(parents=True, exist_ok=True)
    done = {tuple(row[key] for key in KEYS) for row in json_lines.read(results, set(KEYS), RUN)}
    for seed in range(options.first_seed, options.first_seed + options.seeds):
        for name in options.concepts:
            concept = Concept.drawn(name, seed)
            for method in options.methods:
                if (name, seed, method, setup.forwards, setup.vectors) in done:
                    continue
                found = learn(setup, concept, method, seed, options.rate)
                figures, pictures = measure(setup, concept, found["token"])
                row = {"concept": name, "seed": seed, "method": method, "budget": setup.forwards}
                row |= {
                    "vectors": setup.vectors,
                    "passes": found["passes"],
                    "seconds": round(found["seconds"], 1),
                    **figures,
                }
                stem = f"{name.replace(' ', '-')}-{seed}"
                given = [*concept.training, *concept.held_out][:12]
                (grids / f"{stem}-given.png").write_bytes(png_bytes(grid(given, 12)))
                (grids / f"{stem}-{method}.png").write_bytes(png_bytes(grid(pictures, 12)))
                json_lines.append(results, row)
                print(json.dumps(row), flush=True)


def tables(rows: Sequence[dict[str, Any]]) -> str:
    """Means over concepts and seeds, CLIP-I concept by concept, and the two ratios of the claim."""
    lines = ["| method | runs | " + " | ".join(FIGURES) + " |", "|---" * (2 + len(FIGURES)) + "|"]
    for method in METHODS:
        own = [row for row in rows if row["method"] == method]
        if own:
            means = " | ".join(_with_error([row[figure] for row in own]) for figure in FIGURES)
            lines.append(f"| {method} | {len(own)} | {means} |")
    gains = clip_gains(rows)
    lines += ["", "CLIP-I above the start:", "", "| concept | " + " | ".join(METHODS[1:]) + " |"]
    lines.append("|---" * len(METHODS) + "|")
    for concept in sorted({name for name, _ in gains}):
        own = [gain for (name, _), gain in gains.items() if name == concept]
        cells = [_with_error([g[m] for g in own if m in g]) for m in METHODS[1:]]
        lines.append(f"| {concept} | " + " | ".join(cells) + " |")
    whole = [gain for gain in gains.values() if set(METHODS[1:]) <= set(gain)]
    if whole:
        ours, gradient, published = (
            float(np.mean([gain[m] for gain in whole])) for m in ("ours", "gradient", "published")
        )
        lines += ["", f"ours / gradient: {ours / gradient:.0%}", ""]
        if published > 0:
            lines.append(f"ours / published: {ours / published:.1f}")
        else:
            lines.append(
                f"the published procedure gains nothing ({published:+.3f}); ours {ours:+.3f}"
            )
    return "\n".join(lines)


def clip_gains(rows: Sequence[dict[str, Any]]) -> dict[tuple[str, int], dict[str, float]]:
    """For every concept and seed, what each method's CLIP-I is above the start's."""
    found: dict[tuple[str, int], dict[str, float]] = {}
    for row in rows:
        found.setdefault((row["concept"], row["seed"]), {})[row["method"]] = row["clip_i"]
    return {
        key: {m: value - values["start"] for m, value in values.items() if m != "start"}
        for key, values in found.items()
        if "start" in values
    }


def _with_error(values: Sequence[float]) -> str:
    if not values:
        return "-"
    if len(values) == 1:
        return f"{values[0]:.3f}"
    return f"{np.mean(values):.3f} ±{np.std(values, ddof=1) / len(values) ** 0.5:.3f}"


def memory(options: argparse.Namespace) -> None:
    """Peak memory of each method, a short run of it in a process of its own."""
    for method in ("start", "ours", "gradient"):
        command = [sys.executable, __file__, "--peak", method, "--forwards", "400"]
        command += ["--model", options.model, "--clip", options.clip, "--device", options.device]
        command += ["--vectors", str(options.vectors), "--concepts", options.concepts[0]]
        # as many rows at a time as the gradient method's batch
        command += ["--threads", str(options.threads), "--microbatch", "4"]
        outcome = subprocess.run(command, capture_output=True, text=True, check=True)
        print(outcome.stdout.strip(), flush=True)


def peak(options: argparse.Namespace, setup: Setup) -> None:
    """Learn one token and say how much memory the process took."""
    concept = Concept.drawn(options.concepts[0], options.first_seed)
    learn(setup, concept, options.peak, 0, options.rate)
    row = {
        "method": options.peak,
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }
    if options.device.startswith("cuda"):
        row["peak_gpu_mib"] = round(torch.cuda.max_memory_allocated() / 2**20)
    print(json.dumps(row))


def main() -> None:
    """Parse the command line and do what is asked."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("build/inversion"))
    parser.add_argument("--model", default=str(SHIPPED_PIPELINE))
    parser.add_argument("--clip", default=str(SHIPPED_CLIP))
    parser.add_argument("--concepts", nargs="+", choices=(*GROUPS, *ALL), default=["combinations"])
    parser.add_argument("--methods", nargs="+", choices=METHODS, default=list(METHODS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=0)
    parser.add_argument("--forwards", type=int, default=8000, help="forward passes of a method")
    parser.add_argument("--pictures", type=int, default=32, help="made for every measurement")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rate", type=float, default=5e-3, help="of the gradient method")
    parser.add_argument("--vectors", type=int, default=3, help="of the token, for every method")
    for name, kind in OURS.items():
        default = getattr(Setup, name)
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, type=kind, default=default, help=f"of ours: {default}")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--tables", action="store_true", help="print results and stop")
    parser.add_argument("--figure", type=Path, help="draw pictures of the first seed and stop")
    parser.add_argument("--memory", action="store_true", help="measure peak memory and stop")
    parser.add_argument("--peak", choices=METHODS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.concepts = [name for given in options.concepts for name in GROUPS.get(given, (given,))]
    torch.set_num_threads(options.threads)
    if options.figure:
        shown = ("start", "published", "ours", "gradient")
        draw(options.figure, options.out / "grids", options.concepts, options.first_seed, shown)
        return
    if options.tables:
        rows = json_lines.read(options.out / "results.jsonl", set(KEYS), RUN)
        print(tables(list(rows)))
        return
    if options.memory:
        memory(options)
        return
    pipe = load_pipeline(options.model, "float32", options.device)
    ours = {name: getattr(options, name) for name in OURS}
    setup = Setup(
        pipe,
        options.clip,
        options.forwards,
        options.pictures,
        options.steps,
        options.vectors,
        **ours,
    )
    if options.peak:
        peak(options, setup)
        return
    run(options, setup)


if __name__ == "__main__":
    main()
