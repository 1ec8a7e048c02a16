"""An exported file, loaded into a fresh pipeline, draws what the live one drew."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from casbo_inversion import InversionError, LearnedToken, MeanToken, TokenInversion, load_token
from casbo_inversion.encoders import PromptEncoder
from casbo_inversion.rollout import TokenInversion as Rollout

from . import tiny

IMAGES = [tiny.picture(seed) for seed in range(2)]
KINDS = {
    "sd": tiny.stable_diffusion,
    "sdxl": tiny.stable_diffusion_xl,
    "sdxl, ends named 2": lambda: tiny.stable_diffusion_xl(eos=2),
}


def inversion_on(pipe: Any, **options: Any) -> Rollout:
    settings = {"init": MeanToken(), "steps": 2, "prompt": "a {} in the cab"}
    return TokenInversion(pipe, IMAGES, "<thing>", **settings | options)


def random_tokens(inversion: Rollout, count: int, seed: int = 0) -> list[LearnedToken]:
    generator = torch.Generator().manual_seed(seed)
    return inversion.tokens(torch.randn(count, inversion.shape[1], generator=generator))


def plain_pictures(pipe: Any, prompts: list[str], noise: torch.Tensor) -> list[np.ndarray]:
    """The pipeline's own pictures, two steps, one at a time."""
    return [
        np.asarray(
            pipe(
                prompt=prompt,
                latents=row[None],
                num_inference_steps=2,
                width=tiny.SIZE,
                height=tiny.SIZE,
            ).images[0],
            dtype=float,
        )
        for prompt, row in zip(prompts, noise, strict=True)
    ]


@pytest.mark.parametrize("vectors", [1, 3])
@pytest.mark.parametrize("build", KINDS.values(), ids=KINDS)
def test_an_exported_file_draws_the_same_picture_in_a_fresh_pipeline(
    build: Callable[[], Any], vectors: int, tmp_path: Path
) -> None:
    inversion = inversion_on(build(), vectors=vectors)
    (token, other) = random_tokens(inversion, 2)
    noise = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    prompts = ["a <thing> in the cab", "the <thing>"]
    live = inversion.maker.pictures([token, token], prompts, noise)
    unlike = inversion.maker.pictures([other, other], prompts, noise)
    path = token.save(tmp_path / "learned_embeds.safetensors")
    fresh = build()
    loaded = load_token(fresh, path)
    assert loaded.digest == token.digest
    for one, two, three in zip(plain_pictures(fresh, prompts, noise), live, unlike, strict=True):
        assert np.abs(one - np.asarray(two, dtype=float)).max() <= 1  # rounding of a colour
        assert np.abs(one - np.asarray(three, dtype=float)).max() > 1


def test_diffusers_reads_the_file_by_its_own_means(tmp_path: Path) -> None:
    token = random_tokens(inversion_on(tiny.stable_diffusion()), 1)[0]
    token.save(tmp_path / "learned_embeds.safetensors")
    pipe = tiny.stable_diffusion()
    pipe.load_textual_inversion(str(tmp_path))
    number = pipe.tokenizer.convert_tokens_to_ids("<thing>")
    learned = pipe.text_encoder.get_input_embeddings().weight[number]
    assert torch.equal(learned, token.vectors[0][0])


def test_the_file_for_two_encoders_has_the_documented_names(tmp_path: Path) -> None:
    from safetensors.torch import load_file

    token = random_tokens(inversion_on(tiny.stable_diffusion_xl(), vectors=2), 1)[0]
    tensors = load_file(token.save(tmp_path / "x.safetensors"))
    shapes = {name: tuple(rows.shape) for name, rows in tensors.items()}
    assert shapes == {"clip_l": (2, tiny.WIDTH), "clip_g": (2, 2 * tiny.WIDTH)}


@pytest.mark.parametrize("build", KINDS.values(), ids=KINDS)
def test_the_pipeline_is_left_as_it_was(build: Callable[[], Any]) -> None:
    pipe = build()
    names = [n for n in ("tokenizer", "tokenizer_2") if getattr(pipe, n, None) is not None]
    parts = {n: part for n, part in pipe.components.items() if hasattr(part, "state_dict")}
    before = {n: {k: v.clone() for k, v in p.state_dict().items()} for n, p in parts.items()}
    sizes = {name: len(getattr(pipe, name)) for name in names}
    scheduler = {k: str(v) for k, v in vars(pipe.scheduler).items()}
    config = dict(pipe.config)
    inversion = inversion_on(pipe)
    tokens = random_tokens(inversion, 2)
    inversion.objective(tokens)
    inversion.preview(tokens[0])
    assert {name: len(getattr(pipe, name)) for name in names} == sizes
    assert dict(pipe.config) == config
    for name, part in parts.items():
        after = part.state_dict()
        assert all(torch.equal(value, after[key]) for key, value in before[name].items())
        if hasattr(part, "get_input_embeddings"):
            table = part.get_input_embeddings()
            assert not table._forward_hooks
            assert not table._forward_pre_hooks
    assert {k: str(v) for k, v in vars(pipe.scheduler).items()} == scheduler


def test_every_row_reads_its_own_token_whatever_the_batch(pipe: Any) -> None:
    inversion = inversion_on(pipe, vectors=2)
    tokens = random_tokens(inversion, 3)
    (together,) = inversion.encoder.encode(["a <thing>"] * 3, tokens)
    for row, token in zip(together, tokens, strict=True):
        (alone,) = inversion.encoder.encode(["a <thing>"], [token])
        assert torch.allclose(row, alone[0], atol=1e-5)
    assert (together[0] - together[1]).abs().max() > 1e-3


@pytest.mark.parametrize(
    ("placeholder", "said"),
    [
        ("cab", "in its vocabulary"),
        ("<|endoftext|>", "in its vocabulary"),
        ("a thing", "one word"),
        ("", "one word"),
    ],
)
def test_a_placeholder_that_cannot_be_used(pipe: Any, placeholder: str, said: str) -> None:
    with pytest.raises(InversionError, match=said):
        PromptEncoder(pipe, placeholder)


def test_a_placeholder_that_was_loaded_before(tmp_path: Path) -> None:
    pipe = tiny.stable_diffusion()
    random_tokens(inversion_on(pipe), 1)[0].save(tmp_path / "learned_embeds.safetensors")
    pipe.load_textual_inversion(str(tmp_path))
    with pytest.raises(InversionError, match="in its vocabulary"):
        PromptEncoder(pipe, "<thing>")
    PromptEncoder(pipe, "<other>")


def test_a_pipeline_without_text_encoder() -> None:
    pipe = tiny.stable_diffusion()
    pipe.text_encoder = None
    with pytest.raises(InversionError, match="text encoder"):
        inversion_on(pipe)


def test_files_that_are_no_tokens(pipe: Any, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    broken, several = tmp_path / "broken.safetensors", tmp_path / "several.safetensors"
    broken.write_bytes(b"no tensors")
    save_file({"a": torch.zeros(2), "b": torch.zeros(2)}, several)
    for path in (broken, several, tmp_path / "missing.safetensors"):
        with pytest.raises(InversionError):
            load_token(pipe, path)
    token = random_tokens(inversion_on(tiny.stable_diffusion_xl()), 1)[0]
    with pytest.raises(InversionError, match="text encoders"):
        load_token(pipe, token.save(tmp_path / "xl.safetensors"))
