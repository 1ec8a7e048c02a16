"""An image run: from options to model and scores, and from the result to pictures."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Unpack

from .errors import ImageError
from .options import ImageOptions, Running
from .pictures import grid, png_bytes, read_image
from .scoring import diversity_model, heldout_score, scorer_and_objective
from .shipped import GUIDANCE, SCENES, pipeline_source

if TYPE_CHECKING:
    from casbo.domains import Problem
    from casbo.result import Result
    from casbo.spaces import Space
    from casbo.steering import Monitor

    from .rollout import DiffusersRollout

KEPT = 32  # pictures in the folder samples
COMPARED = 8  # pictures before and after steering in comparison.png
COMPARED_SEED = 1
HELDOUT = 4  # pictures of each iteration that a held-out score is asked about
SPACES = ("low_frequencies", "per_step")


def build(options: ImageOptions) -> Problem:
    """Build rollout, scores and monitors.

    Raises:
        casbo.errors.CasboError: When a model, a picture or an option cannot be used.
    """
    from casbo.domains import Problem

    scorer, objective = scorer_and_objective(options)
    heldout = heldout_score(options)
    monitors = image_monitors(options)
    rollout = image_rollout(options)
    return Problem(
        rollout=rollout,
        scorer=scorer,
        objective=objective,
        heldout=heldout,
        space=image_space(options, rollout),
        monitors=monitors,
        gallery=options.gallery,
        finish=partial(write_outputs, options=options),
    )


def image_monitors(options: ImageOptions) -> dict[str, Monitor]:
    """Diversity, where a CLIP is at hand; it is loaded here, so that what is wrong shows at once."""
    from .diversity import Diversity

    clip = diversity_model(options)
    if clip is None:
        return {}
    diversity = Diversity(clip, device=options.device)
    diversity.prepare()
    return {"diversity": diversity}


def image_rollout(options: ImageOptions) -> DiffusersRollout:
    """The pipeline of these options."""
    import torch

    from .rollout import DiffusersRollout

    place = options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    dtype = options.dtype or ("float16" if place.startswith("cuda") else "float32")
    if dtype not in {"float32", "float16", "bfloat16"}:
        raise ImageError(f"Expected dtype float32, float16 or bfloat16, got {dtype!r}.")
    return DiffusersRollout.from_pretrained(
        pipeline_source(options.model),
        options.prompt,
        dtype=getattr(torch, dtype),
        device=options.device,
        offload=options.offload,  # type: ignore[arg-type]  # checked there
        negative_prompt=options.negative_prompt,
        steps=options.steps,
        guidance_scale=guidance(options),
        scheduler=options.scheduler,
        scheduler_options=options.scheduler_options,
        height=options.height,
        width=options.width,
        microbatch=options.microbatch,
        steered=options.steered,  # type: ignore[arg-type]
        pipe_kwargs=_inputs(options),
    )


def guidance(options: ImageOptions) -> float | None:
    """The guidance scale: as stated, else what suits the shipped pipeline or the pipeline's own."""
    shipped = options.guidance_scale is None and options.model == SCENES
    return GUIDANCE if shipped else options.guidance_scale


def image_space(options: ImageOptions, rollout: DiffusersRollout) -> Space:
    """The control space of these options."""
    from casbo.spaces import PerStep

    from .spaces import SCALE, low_frequencies

    if options.space == "per_step":
        return PerStep()
    if options.space != "low_frequencies":
        raise ImageError(f"Expected space among {list(SPACES)}, got {options.space!r}.")
    return low_frequencies(
        rollout,
        options.coefficients,
        SCALE if options.scale is None else options.scale,
    )


def steer_images(
    options: ImageOptions, *, run: str, progress: bool | None = None, **running: Unpack[Running]
) -> Result:
    """Run, or go on with, the steering of these options and write its outputs.

    Arguments:
        options: What to steer.
        run: The run folder.
        progress: Show progress on stderr, as for `casbo.steer`.
        running: ``queries``, ``population``, ``seed``, ``workers`` and ``deadline``, likewise.

    Raises:
        casbo.errors.CasboError: When settings do not fit together, the folder is another run's,
            or too much fails.
    """
    from casbo.steering import steer

    from .command import domain

    problem = build(options)
    result = steer(
        problem.rollout,
        problem.scorer,
        run=run,
        **problem.steering_options(),
        direction=options.direction,
        score_steps=options.score_steps,
        heldout_count=min(HELDOUT, running.get("population") or HELDOUT),
        keep=KEPT,
        progress=progress,
        domain=domain.config(options.to_json()),
        **running,
    )
    write_outputs(result, options)
    return result


def write_outputs(result: Result, options: ImageOptions) -> None:
    """Write ``best.png`` and ``comparison.png`` (plain above, steered below, same seeds).

    Raises:
        casbo.errors.CasboError: When nothing was scored, or a file cannot be written.
    """
    from casbo.atomic import write_atomically
    from casbo.evaluation import plain_noise

    assert result.run is not None
    write_atomically(result.run / "best.png", png_bytes(result.best.sample))
    plain = result.rollout(plain_noise(COMPARED, result.rollout.shape, COMPARED_SEED)).samples
    steered = result.sample(COMPARED, seed=COMPARED_SEED)
    picture = grid([*plain, *steered], columns=COMPARED)
    write_atomically(result.run / "comparison.png", png_bytes(picture))


def _inputs(options: ImageOptions) -> dict[str, Any]:
    """Further inputs of the pipeline's call; what diffusers would pass over is refused here."""
    sizes = (options.height, options.width)
    if sizes != (None, None) and not all(size is not None and size > 0 for size in sizes):
        raise ImageError(f"Expected height and width in pixels, both or neither, got {sizes}.")
    if options.strength is not None and int(options.steps * options.strength) < 1:
        raise ImageError(
            f"Expected a strength that leaves at least one of {options.steps} steps, got "
            f"{options.strength}."
        )
    if options.mask is not None and options.image is None:
        raise ImageError("Expected an image for the mask to apply to, got a mask alone.")
    inputs: dict[str, Any] = {}
    if options.image is not None:
        inputs["image"] = read_image(options.image)
    if options.mask is not None:
        inputs["mask_image"] = read_image(options.mask)
    if options.strength is not None:
        inputs["strength"] = options.strength
    return inputs
