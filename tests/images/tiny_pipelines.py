"""diffusers pipelines with a few thousand random weights: every law here is one of the code.

Each builder returns a new pipeline with the same weights, for pictures of 16 x 16 pixels.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import diffusers
import torch
from diffusers import (
    AutoencoderKL,
    FlowMatchEulerDiscreteScheduler,
    FluxTransformer2DModel,
    PixArtTransformer2DModel,
    PNDMScheduler,
    SD3Transformer2DModel,
    UNet2DConditionModel,
)
from PIL import Image
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
)

SIZE = 16  # pixels
LATENT = 8  # the autoencoders halve both sides
WIDTH = 8  # of the text encoders


def picture(seed: int = 0, size: int = SIZE) -> Image.Image:
    """A picture of smooth random colours."""
    generator = torch.Generator().manual_seed(seed)
    colours = torch.rand(1, 3, 3, 3, generator=generator)
    colours = torch.nn.functional.interpolate(colours, size=(size, size), mode="bilinear")
    pixels = (255 * colours[0]).round().to(torch.uint8).permute(1, 2, 0)
    return Image.fromarray(pixels.numpy())


def mask(size: int = SIZE) -> Image.Image:
    """White, to be redrawn, in the right half."""
    drawn = Image.new("L", (size, size), 0)
    drawn.paste(255, (size // 2, 0, size, size))
    return drawn


def stable_diffusion(kind: str = "StableDiffusionPipeline", channels: int = 4) -> Any:
    """A Stable Diffusion 1 pipeline of the class named; inpainting models have 9 channels in."""
    return built(
        kind,
        scheduler=PNDMScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            skip_prk_steps=True,
            steps_offset=1,
        ),
        unet=lambda: unet(in_channels=channels, cross_attention_dim=WIDTH),
        vae=vae,
        text_encoder=lambda: text_encoder(CLIPTextModel),
        tokenizer=clip_tokenizer,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def stable_diffusion_xl(kind: str = "StableDiffusionXLPipeline") -> Any:
    """A Stable Diffusion XL pipeline: two text encoders, sizes among the conditions."""
    embedding = {"addition_embed_type": "text_time", "addition_time_embed_dim": 4}
    return built(
        kind,
        scheduler=diffusers.EulerDiscreteScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            timestep_spacing="leading",
            steps_offset=1,
        ),
        unet=lambda: unet(
            cross_attention_dim=2 * WIDTH,
            projection_class_embeddings_input_dim=WIDTH + 6 * 4,
            **embedding,
        ),
        vae=vae,
        text_encoder=lambda: text_encoder(CLIPTextModel),
        text_encoder_2=lambda: text_encoder(CLIPTextModelWithProjection),
        tokenizer=clip_tokenizer,
        tokenizer_2=clip_tokenizer,
        add_watermarker=False,
    )


def stable_diffusion_3(kind: str = "StableDiffusion3Pipeline") -> Any:
    """A Stable Diffusion 3 pipeline: flow matching, three text encoders."""
    return built(
        kind,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
        transformer=lambda: SD3Transformer2DModel(
            sample_size=LATENT,
            patch_size=1,
            in_channels=4,
            out_channels=4,
            num_layers=1,
            attention_head_dim=WIDTH,
            num_attention_heads=2,
            joint_attention_dim=4 * WIDTH,
            caption_projection_dim=2 * WIDTH,
            pooled_projection_dim=2 * WIDTH,
        ),
        vae=lambda: vae(shift_factor=0.1),
        text_encoder=lambda: text_encoder(CLIPTextModelWithProjection),
        text_encoder_2=lambda: text_encoder(CLIPTextModelWithProjection),
        text_encoder_3=lambda: t5_encoder(4 * WIDTH),
        tokenizer=clip_tokenizer,
        tokenizer_2=clip_tokenizer,
        tokenizer_3=t5_tokenizer,
    )


def flux(kind: str = "FluxPipeline") -> Any:
    """A Flux pipeline: flow matching on latents packed into tokens."""
    return built(
        kind,
        scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True),
        transformer=lambda: FluxTransformer2DModel(
            patch_size=1,
            in_channels=16,
            num_layers=1,
            num_single_layers=1,
            attention_head_dim=16,
            num_attention_heads=1,
            joint_attention_dim=WIDTH,
            pooled_projection_dim=WIDTH,
            axes_dims_rope=(4, 4, 8),
        ),
        vae=lambda: vae(shift_factor=0.1),
        text_encoder=lambda: text_encoder(CLIPTextModel),
        text_encoder_2=lambda: t5_encoder(WIDTH),
        tokenizer=clip_tokenizer,
        tokenizer_2=t5_tokenizer,
    )


def pixart(kind: str = "PixArtAlphaPipeline") -> Any:
    """A PixArt-alpha pipeline: a transformer that predicts noise and its variance."""
    return built(
        kind,
        scheduler=diffusers.DPMSolverMultistepScheduler(),
        transformer=lambda: PixArtTransformer2DModel(
            sample_size=LATENT,
            patch_size=2,
            in_channels=4,
            out_channels=8,
            num_layers=1,
            num_attention_heads=2,
            attention_head_dim=WIDTH,
            cross_attention_dim=2 * WIDTH,
            caption_channels=WIDTH,
            use_additional_conditions=False,
        ),
        vae=vae,
        text_encoder=lambda: t5_encoder(WIDTH),
        tokenizer=t5_tokenizer,
    )


def built(kind: str, **parts: Any) -> Any:
    """The diffusers pipeline of that class; parts that are functions are built, seeded each."""
    made = {}
    with torch.random.fork_rng():
        for name, part in parts.items():
            torch.manual_seed(sum(map(ord, name)))
            made[name] = part() if isinstance(part, Callable) else part
    pipe = getattr(diffusers, kind)(**made)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def unet(**options: Any) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=LATENT,
        block_out_channels=(4, 8),
        layers_per_block=1,
        norm_num_groups=2,
        attention_head_dim=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        **options,
    ).eval()


def vae(**options: Any) -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(4, 4),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=2,
        sample_size=SIZE,
        **options,
    ).eval()


def clip_tokenizer() -> CLIPTokenizer:
    """Letters, a few words of two, start and end."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    tokens = [*letters, *(letter + "</w>" for letter in letters), "ab</w>"]
    vocab = {token: number for number, token in enumerate([*tokens, *CLIP_ENDS])}
    return CLIPTokenizer(vocab=vocab, merges=[("a", "b</w>")], model_max_length=8)


CLIP_ENDS = ("<|startoftext|>", "<|endoftext|>")


def text_encoder(kind: type) -> Any:
    return kind(
        CLIPTextConfig(
            vocab_size=55,
            hidden_size=WIDTH,
            projection_dim=WIDTH,
            intermediate_size=WIDTH,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=8,
            bos_token_id=53,
            eos_token_id=54,
        )
    ).eval()


def t5_tokenizer() -> T5Tokenizer:
    pieces = ["<pad>", "</s>", "<unk>", "▁", *"abcdefghijklmnopqrstuvwxyz"]
    return T5Tokenizer(vocab=[(piece, -1.0) for piece in pieces], extra_ids=0, model_max_length=8)


def t5_encoder(width: int) -> T5EncoderModel:
    return T5EncoderModel(
        T5Config(
            vocab_size=30,
            d_model=width,
            d_kv=WIDTH // 2,
            d_ff=WIDTH,
            num_layers=1,
            num_heads=2,
        )
    ).eval()
