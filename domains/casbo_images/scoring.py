"""From options to scorer and objective: scores by name, alone or weighted."""

from __future__ import annotations

import math
import os
import string
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .errors import ImageError
from .options import ImageOptions
from .pictures import read_image
from .shipped import SCENES, clip_source

if TYPE_CHECKING:
    from casbo.objective import Objective
    from casbo.scorer import Scorer

#: The CLIP of Stable Diffusion 1.5, for pipelines that are not the shipped one.
USUAL_CLIP = "openai/clip-vit-large-patch14"
#: Which component is steered of a score that has several.
STEERED = {"scenes": "agreement"}


def scorer_and_objective(options: ImageOptions) -> tuple[Scorer, Objective | None]:
    """What is asked of pictures, and how several answers add up.

    Scores with weights add up to what is maximized, unless ``direction`` says otherwise.

    Raises:
        ImageError: When a score is unknown, or lacks something it needs.
    """
    from casbo.objective import WeightedSum

    from .scores import CombinedScore

    weights = read_weights(options.score)
    scorers = {name: named_score(name, options) for name in weights}
    if len(scorers) == 1 and "=" not in options.score[0]:
        ((name, scorer),) = scorers.items()
        return scorer, WeightedSum({STEERED[name]: 1.0}) if name in STEERED else None
    terms = {
        f"{name}.{STEERED[name]}" if name in STEERED else name: weight
        for name, weight in weights.items()
    }
    direction: Any = options.direction or "maximize"  # checked there
    return CombinedScore(scorers, direction=direction), WeightedSum(terms)


def heldout_score(options: ImageOptions) -> Scorer | None:
    """The score that is reported and never steered, or None."""
    name = options.heldout
    if name is None and options.model == SCENES and options.target is not None:
        name = "scenes"
    if name is None:
        return None
    if name == "clip":
        model = _heldout_clip(options)
        if "clip" in read_weights(options.score) and model == clip_model(options):
            raise ImageError(
                "Expected another clip model for the held-out clip score: give heldout_clip, or "
                "it would report what is steered."
            )
        return _clip(options, model)
    return named_score(name, options)


def diversity_model(options: ImageOptions) -> str | None:
    """The CLIP that measures how different pictures are: one that is at hand anyway, or None."""
    at_hand = options.clip is not None or options.model == SCENES
    asked = {"clip", "aesthetic"} & set(read_weights(options.score))
    if at_hand or asked or options.heldout == "aesthetic":
        return clip_model(options)
    return _heldout_clip(options) if options.heldout == "clip" else None


def clip_model(options: ImageOptions) -> str:
    """The CLIP that these options mean."""
    if options.clip is not None:
        return clip_source(options.clip)
    return clip_source(SCENES) if options.model == SCENES else USUAL_CLIP


def _heldout_clip(options: ImageOptions) -> str:
    own = options.heldout_clip
    return clip_model(options) if own is None else clip_source(own)


def read_weights(texts: Sequence[str]) -> dict[str, float]:
    """{"clip": 1.0, "jpeg": -0.02} from ("clip", "jpeg=-0.02").

    Raises:
        ImageError: When there is none, one is named twice, or a weight is no number.
    """
    weights: dict[str, float] = {}
    for text in texts:
        name, equals, weight = text.partition("=")
        try:
            number = float(weight) if equals else 1.0
        except ValueError:
            number = math.nan
        if not math.isfinite(number) or name in weights:
            raise ImageError(
                f"Expected scores as NAME or NAME=WEIGHT, each once, got {text!r} in {texts}."
            )
        weights[name] = number
    if not weights:
        raise ImageError(f"Expected at least one score of {', '.join(SCORES)}, got none.")
    return weights


def named_score(name: str, options: ImageOptions) -> Scorer:
    """The score of that name.

    Raises:
        ImageError: When there is none, or an option that it needs is missing.
    """
    if name not in SCORES:
        raise ImageError(f"Expected a score of {', '.join(SCORES)}, got {name!r}.")
    return SCORES[name](options)


def _clip(options: ImageOptions, model: str | None = None) -> Scorer:
    from .scores import ClipScore

    text, picture = options.target, options.target_image
    if (text is None) == (picture is None):
        raise ImageError(
            "Expected what the clip score compares pictures with: a target text or a target "
            "picture, and not both."
        )
    target: Any = text if picture is None else read_image(picture)
    return ClipScore(target, model=model or clip_model(options), device=options.device)


def _aesthetic(options: ImageOptions) -> Scorer:
    from .scores import AestheticScore

    head = _needed(options.aesthetic_head, "aesthetic", "aesthetic_head")
    return AestheticScore(head, model=clip_model(options), device=options.device)


def _plain(name: str) -> Callable[[ImageOptions], Scorer]:
    def make(options: ImageOptions) -> Scorer:
        from . import scores

        del options
        return getattr(scores, name)()  # type: ignore[no-any-return]

    return make


def _colour(options: ImageOptions) -> Scorer:
    from .scores import Colour

    return Colour(_needed(options.colour, "colour", "colour"))


def _http(options: ImageOptions) -> Scorer:
    from .scores import HttpScore

    url = _needed(options.url, "http", "url")
    try:
        address = string.Template(url).substitute(os.environ)
    except (KeyError, ValueError):
        raise ImageError(
            "Expected every $NAME in the url of the http score to be an environment variable that "
            "is set, and $$ for a dollar sign."
        ) from None
    return HttpScore(address, headers=dict(_header(text) for text in options.header))


def _header(text: str) -> tuple[str, str]:
    """A header's name and value, from "NAME: VALUE"."""
    name, colon, value = text.partition(":")
    if not (colon and name.strip() and value.strip()):
        raise ImageError(
            "Expected every header of the http score as 'NAME: VALUE', such as 'Authorization: "
            f"Bearer $NAME' with NAME an environment variable; one of {len(text)} letters is not."
        )
    return name.strip(), value.strip()


def _vlm(options: ImageOptions) -> Scorer:
    from .scores import VlmScore

    question = _needed(options.question, "vlm", "question")
    model = _needed(options.vlm, "vlm", "vlm")
    where = {} if options.vlm_url is None else {"base_url": options.vlm_url}
    return VlmScore(question, model, **where)


def _scenes(options: ImageOptions) -> Scorer:
    from .scenes.score import SceneScore

    return SceneScore(_needed(options.target, "scenes", "target"))


def _needed(value: Any, score: str, option: str) -> Any:  # noqa: ANN401
    if value is None:
        raise ImageError(f"Expected {option} for the {score} score, got none.")
    return value


SCORES: Mapping[str, Callable[[ImageOptions], Scorer]] = {
    "clip": _clip,
    "aesthetic": _aesthetic,
    "jpeg": _plain("JpegSize"),
    "brightness": _plain("Brightness"),
    "contrast": _plain("Contrast"),
    "colour": _colour,
    "http": _http,
    "vlm": _vlm,
    "scenes": _scenes,
}
