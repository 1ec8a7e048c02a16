"""``casbo invert``: learn a word from a few pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from casbo.domains import Domain, Problem

from .options import QUERIES, SEED, InversionOptions

if TYPE_CHECKING:
    from casbo.result import Result

    from .keeping import Learned

#: Candidates of an iteration, of the published procedure.
PUBLISHED_POPULATION = 20


def register(app: typer.Typer) -> None:
    """Add this domain's command."""
    app.command("invert")(invert)


def rebuild(options: Mapping[str, Any]) -> Problem:
    """Build the problem of a run folder from the options in its config."""
    from .inversion_run import build
    from .quiet import quiet_libraries

    quiet_libraries()
    return build(InversionOptions.from_json(options))


domain = Domain(name="inversion", register=register, rebuild=rebuild)

Text = str | None
Number = float | None
Whole = int | None
Default = InversionOptions


def invert(
    *,
    model: Annotated[str, typer.Option(help="A Stable Diffusion pipeline: folder or hub id.")],
    images: Annotated[str, typer.Option(help="A folder of 3 to 10 pictures.")],
    out: Annotated[Path, typer.Option(help="The run folder.")],
    placeholder: Annotated[str, typer.Option(help="The new word.")] = Default.placeholder,
    queries: Annotated[int, typer.Option(min=1, help="Candidates to score.")] = QUERIES,
    population: Annotated[Whole, typer.Option(help="Candidates of an iteration.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Determines the run.")] = SEED,
    published: Annotated[
        bool, typer.Option("--published", help="The published procedure; see the documentation.")
    ] = False,
    init: Annotated[
        str, typer.Option(help="attention (needs --clip), mean, or a word to start from.")
    ] = Default.init,
    clip: Annotated[Text, typer.Option(help="A CLIP: folder or hub id.")] = None,
    vocabulary: Annotated[
        Text, typer.Option(help="File of words to start from; the tokenizer's by default.")
    ] = None,
    temperature: Annotated[float, typer.Option(help="Of attention.")] = Default.temperature,
    word_template: Annotated[
        str, typer.Option(help="What CLIP reads for a word {}.")
    ] = Default.word_template,
    subspace: Annotated[
        str, typer.Option(help="pca, random, or a .npy file with a matrix.")
    ] = Default.subspace,
    coordinates: Annotated[Whole, typer.Option(help="Coordinates of a vector; 64.")] = None,
    scale: Annotated[Number, typer.Option(help="How far the search starts out.")] = None,
    vectors: Annotated[int, typer.Option(help="Vectors of the token.")] = Default.vectors,
    objective: Annotated[str, typer.Option(help="denoising or clip.")] = Default.objective,
    common: Annotated[
        Text, typer.Option(help="What shares random numbers: iteration, run, none.")
    ] = None,
    timesteps: Annotated[int, typer.Option(help="Timesteps of a query.")] = Default.timesteps,
    pictures_per_timestep: Annotated[
        int, typer.Option(help="Pictures each timestep is tried on.")
    ] = Default.pictures_per_timestep,
    template: Annotated[
        list[str] | None, typer.Option(help="Prompt of the denoising loss with {}; several.")
    ] = None,
    validation: Annotated[
        int, typer.Option(help="Forward passes of a validation.")
    ] = Default.validation,
    optimizer: Annotated[Text, typer.Option(help="casbo or cma.")] = None,
    keep: Annotated[Text, typer.Option(help="validated or last.")] = None,
    validate_every: Annotated[
        int, typer.Option(help="Iterations between validations.")
    ] = Default.validate_every,
    elites: Annotated[
        int, typer.Option(help="Best candidates that are validated as well.")
    ] = Default.elites,
    prompt: Annotated[str, typer.Option(help="Of pictures made, with {}.")] = Default.prompt,
    steps: Annotated[int, typer.Option(help="Denoising steps.")] = Default.steps,
    guidance_scale: Annotated[Number, typer.Option(help="The pipeline's by default.")] = None,
    width: Annotated[Whole, typer.Option(help="Pixels.")] = None,
    height: Annotated[Whole, typer.Option(help="Pixels.")] = None,
    microbatch: Annotated[
        int, typer.Option(min=1, help="Forward passes at a time.")
    ] = Default.microbatch,
    dtype: Annotated[Text, typer.Option(help="float32, float16 or bfloat16.")] = None,
    device: Annotated[Text, typer.Option(help="cpu, cuda, cuda:1, mps.")] = None,
    gallery: Annotated[
        int, typer.Option(min=0, help="Candidates an iteration whose pictures are made.")
    ] = Default.gallery,
) -> None:
    """Learn a word from pictures; writes learned_embeds.safetensors, grid.png and report.html."""
    stated = dict(locals())
    running = {name: stated.pop(name) for name in ("out", "queries", "population", "seed")}
    options = InversionOptions(**stated | {"templates": tuple(stated.pop("template") or ())})
    learned = run(options.with_full_paths(), **running)
    say(learned)


def run(
    options: InversionOptions, *, out: Path, queries: int, population: int | None, seed: int
) -> Learned:
    """Run, or go on with, the inversion of these options.

    Raises:
        casbo.errors.CasboError: When something given cannot be used.
    """
    from .inversion_run import inversion_of, invert, keeping_of, optimizer_of
    from .quiet import quiet_libraries

    quiet_libraries()
    keeping, optimizer = keeping_of(options), optimizer_of(options)
    inversion = inversion_of(options)
    for line in start_lines(inversion.words):
        typer.echo(line)
    size = PUBLISHED_POPULATION if options.published and population is None else population
    return invert(
        inversion,
        queries=queries,
        run=out,
        keeping=keeping,
        optimizer=optimizer,
        population=size,
        seed=seed,
        gallery=options.gallery,
        domain=domain.config(options.to_json()),
        progress=True,
    )


def start_lines(words: tuple[tuple[str, float], ...]) -> list[str]:
    """The words a token starts from, for people."""
    if not words:
        return ["starts from the mean of all words"]
    return ["starts from " + ", ".join(f"{word} {weight:.2f}" for word, weight in words)]


def say(learned: Learned) -> None:
    """What was kept and where it is."""
    result: Result = learned.result
    for origin, score in learned.validation.items():
        typer.echo(f"validation {score:.5g}  {origin}")
    typer.echo(f"kept: {learned.origin}; {learned.forward_passes} forward passes")
    assert result.run is not None
    for name in ("learned_embeds.safetensors", "grid.png", "report.html"):
        typer.echo(str(result.run / name))
