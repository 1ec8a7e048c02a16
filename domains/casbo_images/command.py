"""``casbo images`` and ``casbo demo-images``: steer a text-to-image pipeline by scores of pictures."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from casbo.domains import Domain, Problem
from casbo.settings import stated

from .options import QUERIES, SEED, ImageOptions

if TYPE_CHECKING:
    from casbo.result import Result

DEMO_QUERIES, DEMO_FRESH, DEMO_SEED = 640, 64, 1


def register(app: typer.Typer) -> None:
    """Add this domain's commands."""
    app.command("images")(images)
    app.command("demo-images")(demo)


def rebuild(options: Mapping[str, Any]) -> Problem:
    """Build the problem of a run folder from the options in its config."""
    from .image_run import build
    from .quiet import quiet_libraries

    quiet_libraries()
    return build(ImageOptions.from_json(options))


domain = Domain(name="images", register=register, rebuild=rebuild)

Text = str | None
Number = float | None


def images(
    context: typer.Context,
    *,
    config: Annotated[
        Path | None, typer.Option(help="A TOML file of these settings; the command line wins.")
    ] = None,
    out: Annotated[Text, typer.Option(help="The run folder.")] = None,
    prompt: Annotated[Text, typer.Option(help="What the model is asked to draw.")] = None,
    model: Annotated[
        str, typer.Option(help="A diffusers pipeline: folder, hub id, or scenes (shipped).")
    ] = ImageOptions.model,
    score: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME[=WEIGHT]",
            help="clip (default), aesthetic, jpeg, brightness, contrast, colour, http, vlm, "
            "scenes; several add up.",
        ),
    ] = None,
    direction: Annotated[Text, typer.Option(help="maximize or minimize.")] = None,
    target: Annotated[Text, typer.Option(help="What the clip score looks for.")] = None,
    target_image: Annotated[Text, typer.Option(help="A picture to look for instead.")] = None,
    clip: Annotated[Text, typer.Option(help="CLIP or SigLIP: folder, hub id, scenes.")] = None,
    aesthetic_head: Annotated[Text, typer.Option(help="File of the predictor's head.")] = None,
    colour: Annotated[Text, typer.Option(metavar="R,G,B", help="0 to 255 each.")] = None,
    url: Annotated[
        Text,
        typer.Option(help="Of a scoring service, for http; $NAME is an environment variable."),
    ] = None,
    header: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME: VALUE", help="Sent to that service; $NAME likewise."),
    ] = None,
    question: Annotated[Text, typer.Option(help="What the vlm score asks.")] = None,
    vlm: Annotated[Text, typer.Option(help="The model that the vlm score asks.")] = None,
    vlm_url: Annotated[Text, typer.Option(help="Base URL of its service.")] = None,
    heldout: Annotated[Text, typer.Option(help="A score to report only.")] = None,
    heldout_clip: Annotated[Text, typer.Option(help="Model of a held-out clip score.")] = None,
    queries: Annotated[int, typer.Option(help="Scores to spend.")] = QUERIES,
    population: Annotated[int | None, typer.Option(help="Per iteration.")] = None,
    seed: Annotated[int, typer.Option(help="Determines the run.")] = SEED,
    workers: Annotated[int, typer.Option(help="Scoring processes.")] = 0,
    deadline: Annotated[Number, typer.Option(help="Seconds a score, with workers.")] = None,
    steps: Annotated[int, typer.Option(help="Denoising steps.")] = ImageOptions.steps,
    guidance_scale: Annotated[Number, typer.Option(help="The pipeline's by default.")] = None,
    negative_prompt: Annotated[Text, typer.Option(help="What not to draw.")] = None,
    scheduler: Annotated[
        Text,
        typer.Option(help="ddim, ddpm, euler_ancestral, dpm_sde, lcm, flow_grpo, flow_cps."),
    ] = None,
    height: Annotated[int | None, typer.Option(help="Pixels.")] = None,
    width: Annotated[int | None, typer.Option(help="Pixels.")] = None,
    microbatch: Annotated[
        int, typer.Option(help="Pictures made at a time.")
    ] = ImageOptions.microbatch,
    steered: Annotated[
        str, typer.Option(help="Noise that is steered: all, start, steps.")
    ] = ImageOptions.steered,
    dtype: Annotated[Text, typer.Option(help="float32, float16 or bfloat16.")] = None,
    device: Annotated[Text, typer.Option(help="cpu, cuda, cuda:1, mps.")] = None,
    offload: Annotated[
        str, typer.Option(help="none, model or sequential.")
    ] = ImageOptions.offload,
    image: Annotated[Text, typer.Option(help="A picture to start from.")] = None,
    mask: Annotated[Text, typer.Option(help="White where it is redrawn.")] = None,
    strength: Annotated[Number, typer.Option(help="How much is redrawn, 0 to 1.")] = None,
    space: Annotated[str, typer.Option(help="low_frequencies, per_step.")] = ImageOptions.space,
    coefficients: Annotated[int | None, typer.Option(help="Low frequencies a channel.")] = None,
    scale: Annotated[Number, typer.Option(help="Exploration along them at the start.")] = None,
) -> None:
    """Steer pictures; writes best.png, comparison.png, samples/ and report.html."""
    # parameters are read from the context, for only it knows which of them were stated
    from .image_run import steer_images
    from .options import read_settings
    from .quiet import quiet_libraries

    given = stated(context)
    if "colour" in given:
        given["colour"] = _triple(given["colour"])
    settings = read_settings(given, config)
    quiet_libraries()
    result = steer_images(settings.options, run=settings.out, progress=True, **settings.running)
    say_best(result)


def demo(
    *,
    out: Annotated[Path, typer.Option(help="Folder for the runs.")] = Path("runs/demo-images"),
    target: Annotated[
        Text, typer.Option(help="What to steer towards, in the words of the small world.")
    ] = None,
    queries: Annotated[int, typer.Option(min=1, help="Scores to learn from.")] = DEMO_QUERIES,
    fresh: Annotated[int, typer.Option(min=1, help="Fresh samples.")] = DEMO_FRESH,
    seed: Annotated[int, typer.Option(help="Determines the runs.")] = DEMO_SEED,
) -> None:
    """Steer the shipped model from "a shape" to a target, and compare with plain sampling."""
    from .demonstration import TARGETS, VAGUE_PROMPT, Plain, demonstrate, table
    from .quiet import quiet_libraries

    quiet_libraries()
    wanted = TARGETS[0] if target is None else target
    options = ImageOptions(prompt=VAGUE_PROMPT)
    typer.echo(f"plain sampling of {VAGUE_PROMPT!r}: {queries} pictures")
    plain = Plain(options, queries, seed)
    typer.echo(f"steering it to {wanted!r}: {queries} scores")
    shown = demonstrate(
        wanted, out, plain=plain, queries=queries, fresh=fresh, seed=seed, options=options
    )
    typer.echo(table([shown]))
    typer.echo(str(shown.picture))
    say_best(shown.result)


def say_best(result: Result) -> None:
    """The best scores and where everything is."""
    assert result.run is not None
    for rank, best in enumerate(result.bests(5), start=1):
        scores = "  ".join(f"{name} {value:.4g}" for name, value in sorted(best.scores.items()))
        typer.echo(f"{rank}. {scores}")
    for name in ("best.png", "comparison.png", "samples", "report.html"):
        typer.echo(str(result.run / name))


def _triple(text: str) -> list[int]:
    from .errors import ImageError

    try:
        numbers = [int(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != 3:
        raise ImageError(f"Expected --colour as three numbers, such as 255,200,0; got {text!r}.")
    return numbers
