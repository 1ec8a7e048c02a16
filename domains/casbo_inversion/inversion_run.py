"""An inversion run: from options to pipeline and objective, from the result to files."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from casbo.errors import require
from casbo.objective import SingleComponent
from casbo.run_folder import RunFolder
from casbo.scorer import exception_message
from casbo.steering import Steering

from .denoising import DenoisingLoss
from .errors import InversionError
from .keeping import VALIDATION, Keeping, Learned, Validation, keep_token
from .options import InversionOptions
from .pictures import fitted, grid, png_bytes, read_pictures
from .rollout import PREVIEWS, TokenInversion
from .subspace import (
    COORDINATES,
    PUBLISHED_COORDINATES,
    MatrixSubspace,
    PcaSubspace,
    RandomSubspace,
    TokenSubspace,
)
from .token import FILE_NAME

if TYPE_CHECKING:
    from casbo.domains import Problem
    from casbo.objective import Objective
    from casbo.result import Result

    from .init import TokenStart
    from .objective import TokenObjective

KEPT = 4  # candidates with pictures in the report


def invert(
    inversion: TokenInversion,
    *,
    queries: int,
    run: str | Path | None = None,
    keeping: Keeping | None = None,
    optimizer: Callable[..., Any] | None = None,
    progress: bool | None = None,
    **options: Any,  # noqa: ANN401
) -> Learned:
    """Learn a token within a budget of score queries.

    Arguments:
        inversion: Pipeline, pictures, start, subspace and objective.
        queries: Candidates scored; one costs ``inversion.objective.forward_passes_per_query``.
        run: The run folder; with it the token and a grid of pictures are written there, and a
            second call goes on where the first stopped.
        keeping: Which token is kept.
        optimizer: `casbo_inversion.CmaOptimizer`, or None for casbo's own.
        progress, options: As for `casbo.steer`: ``population``, ``seed``, ...

    Raises:
        casbo.errors.CasboError: When settings do not fit together, the folder is another run's,
            or too much fails.
    """
    if options.get("buckets") is not None:
        raise InversionError(
            "Expected no buckets: tokens are no kinds of things to be told apart."
        )
    keeping = keeping or Keeping()
    adds_up = options.get("objective") or SingleComponent()
    watched = monitors(inversion, keeping, adds_up)
    options = {"keep": KEPT + keeping.elites, "monitors": watched, **options}
    with Steering(
        inversion,
        inversion.objective,
        queries=queries,
        run=run,
        progress=progress,
        optimizer=optimizer,
        **options,
    ) as steering:
        for _ in steering:
            pass
        result = steering.finish()
        learned = keep_token(result, steering.ledger, keeping, optimizer, adds_up)
    if run is not None:
        write_outputs(learned)
    return learned


def monitors(
    inversion: TokenInversion, keeping: Keeping, objective: Objective | None = None
) -> dict[str, Any]:
    """The validation of the mean, where it decides what is kept."""
    if keeping.keep == "last":
        return {}
    adds_up = objective or SingleComponent()
    return {VALIDATION: Validation(inversion.objective, adds_up, keeping.validate_every)}


def write_outputs(learned: Learned) -> list[Path]:
    """Write the token, a summary and a grid of pictures into the run folder.

    The rows of ``grid.png``: pictures learned from, pictures of the start, pictures of the token.
    """
    from casbo.atomic import write_atomically

    folder, inversion = learned.result.run, learned.result.rollout
    assert folder is not None
    assert isinstance(inversion, TokenInversion)
    given = [fitted(image, inversion.size) for image in inversion.images]
    rows = [(given * PREVIEWS)[:PREVIEWS]]
    rows += [
        inversion.maker.previews(token, PREVIEWS, inversion.prompt)
        for token in (inversion.start_token, learned.token)
    ]
    files = {
        "inversion.json": (json.dumps(learned.to_json(), indent=1) + "\n").encode(),
        "grid.png": png_bytes(grid([image for row in rows for image in row], PREVIEWS)),
    }
    for name, contents in files.items():
        write_atomically(folder / name, contents)
    return [learned.token.save(folder / FILE_NAME), *(folder / name for name in files)]


def finish(result: Result, keeping: Keeping, optimizer: Callable[..., Any] | None) -> Learned:
    """Keep a token of a finished run and write the outputs."""
    assert result.run is not None
    ledger = RunFolder.existing(result.run).open_ledger()
    try:
        learned = keep_token(result, ledger, keeping, optimizer)
    finally:
        ledger.close()
    write_outputs(learned)
    return learned


def build(options: InversionOptions) -> Problem:
    """Build the problem of a run.

    Raises:
        casbo.errors.CasboError: When a model, a picture or an option cannot be used.
    """
    from casbo.domains import Problem

    keeping, optimizer = keeping_of(options), optimizer_of(options)
    inversion = inversion_of(options)
    return Problem(
        rollout=inversion,
        scorer=inversion.objective,
        monitors=monitors(inversion, keeping),
        gallery=options.gallery,
        finish=partial(finish, keeping=keeping, optimizer=optimizer),
        optimizer=optimizer,
    )


def inversion_of(options: InversionOptions) -> TokenInversion:
    """Pipeline, pictures, start, subspace and objective of these options."""
    images = read_pictures(options.images)
    objective, init, subspace = objective_of(options), init_of(options), subspace_of(options)
    size = None if options.width is None else (options.width, options.height)
    if (options.width is None) != (options.height is None):
        raise InversionError("Expected width and height, both or neither, got one of them.")
    pipe = load_pipeline(options.model, options.dtype, options.device)
    return TokenInversion(
        pipe,
        images,
        options.placeholder,
        init=init,
        subspace=subspace,
        objective=objective,
        vectors=options.vectors,
        size=size,  # type: ignore[arg-type]
        steps=options.steps,
        guidance_scale=options.guidance_scale,
        prompt=options.prompt,
        microbatch=options.microbatch,
    )


def keeping_of(options: InversionOptions) -> Keeping:
    """What is kept: the last iteration's best for the published procedure."""
    keep = options.keep or ("last" if options.published else "validated")
    return Keeping(keep, options.validate_every, options.elites)  # type: ignore[arg-type]


def optimizer_of(options: InversionOptions) -> Callable[..., Any] | None:
    """pycma, or None for casbo's own."""
    name = options.optimizer or ("cma" if options.published else "casbo")
    if name == "cma":
        from .cma_optimizer import CmaOptimizer

        require("cma", "inversion")
        return CmaOptimizer
    if name != "casbo":
        raise InversionError(f"Expected optimizer among casbo and cma, got {name!r}.")
    return None


def init_of(options: InversionOptions) -> TokenStart:
    """Where the token starts."""
    from .init import Attention, start_of
    from .vocabulary import read_vocabulary

    if options.init != "attention" or options.clip is None:
        return start_of(options.init)
    words = None if options.vocabulary is None else read_vocabulary(options.vocabulary)
    return Attention(
        options.clip,
        None if words is None else tuple(words),
        temperature=None if options.published else options.temperature,
        match_norm=not options.published,
        template=options.word_template,
        device=options.device,
    )


def subspace_of(options: InversionOptions) -> TokenSubspace | None:
    """The subspace; None for the default."""
    name, m = options.subspace, options.coordinates
    if options.published and name == "pca":
        return PcaSubspace(PUBLISHED_COORDINATES if m is None else m, published=True)
    if name == "pca":
        return None if (m, options.scale) == (None, None) else PcaSubspace(**_stated(options))
    if name == "random":
        return RandomSubspace(**_stated(options), seed=0)
    path = Path(name)
    if path.suffix != ".npy":
        raise InversionError(
            f"Expected subspace among pca, random and a .npy file with a matrix, got {name!r}."
        )
    return MatrixSubspace(_read_matrix(path))


def _stated(options: InversionOptions) -> dict[str, Any]:
    scale = PcaSubspace.scale if options.scale is None else options.scale
    m = COORDINATES if options.coordinates is None else options.coordinates
    return {"coordinates": m, "scale": scale}


def _read_matrix(path: Path) -> Any:  # noqa: ANN401
    import numpy as np
    import torch

    try:
        return torch.from_numpy(np.load(path, allow_pickle=False).astype(np.float64))
    except (OSError, ValueError, TypeError) as error:
        raise InversionError(
            f"Expected a matrix saved by numpy in {path}, reading it failed ({error})."
        ) from error


def objective_of(options: InversionOptions) -> TokenObjective:
    """The objective of these options."""
    from .generation import ClipImageSimilarity
    from .templates import TEMPLATES

    common: Any = options.common or ("none" if options.published else "iteration")
    if options.objective == "denoising":
        return DenoisingLoss(
            timesteps=options.timesteps,
            pictures=options.pictures_per_timestep,
            common=common,
            templates=options.templates or TEMPLATES,
            validation=options.validation,
            microbatch=options.microbatch,
        )
    if options.objective != "clip":
        raise InversionError(
            f"Expected objective among denoising and clip, got {options.objective!r}."
        )
    if options.clip is None:
        raise InversionError("Expected a CLIP model for the clip objective: give clip.")
    return ClipImageSimilarity(
        options.clip, prompt=options.prompt, common=common, device=options.device
    )


def load_pipeline(model: str, dtype: str | None = None, device: str | None = None) -> Any:  # noqa: ANN401
    """A pipeline from a folder or a hub id.

    Raises:
        InversionError: When it cannot be loaded, or the device or dtype is none.
    """
    import torch

    diffusers = require("diffusers", "inversion")
    place = device or ("cuda" if torch.cuda.is_available() else "cpu")
    kind = dtype or ("float16" if place.startswith("cuda") else "float32")
    if kind not in {"float32", "float16", "bfloat16"}:
        raise InversionError(f"Expected dtype float32, float16 or bfloat16, got {kind!r}.")
    try:
        torch.empty(0, device=place)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).partition("\n")[0]
        raise InversionError(
            f"Expected a device of this machine, got {device!r} ({reason})."
        ) from None
    try:
        with warnings.catch_warnings():  # renamed between the releases that we support
            warnings.filterwarnings("ignore", message=".*torch_dtype.*")
            pipe = diffusers.DiffusionPipeline.from_pretrained(
                model, torch_dtype=getattr(torch, kind)
            )
        return pipe.to(place)
    except Exception as error:
        raise InversionError(
            f"Expected a diffusers pipeline in {model!r}: a folder with model_index.json or the id "
            f"of one on the hub. Loading it failed ({exception_message(error):.300})."
        ) from error
