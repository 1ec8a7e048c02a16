"""Pipelines and a CLIP with a few thousand random weights: every law here is one of the code."""

from __future__ import annotations

import json
from pathlib import Path
from types import FunctionType
from typing import Any

import diffusers
import torch
from PIL import Image
from transformers import (
    CLIPConfig,
    CLIPModel,
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
)

SIZE, LATENT, WIDTH = 16, 8, 8
ENDS = ("<|startoftext|>", "<|endoftext|>")
LETTERS = "abcdefghijklmnopqrstuvwxyz"
WORDS = ("cab", "bad")


def picture(seed: int = 0, size: int = SIZE) -> Image.Image:
    """A picture of smooth random colours."""
    generator = torch.Generator().manual_seed(seed)
    colours = torch.rand(1, 3, 3, 3, generator=generator)
    colours = torch.nn.functional.interpolate(colours, size=(size, size), mode="bilinear")
    pixels = (255 * colours[0]).round().to(torch.uint8).permute(1, 2, 0)
    return Image.fromarray(pixels.numpy())


def tokenizer(length: int = 40) -> CLIPTokenizer:
    """Letters, two words of three letters, start and end."""
    merges = [("a", "b</w>"), ("c", "ab</w>"), ("a", "d</w>"), ("b", "ad</w>")]
    joined = ["ab</w>", "cab</w>", "ad</w>", "bad</w>"]
    tokens = [*LETTERS, *(letter + "</w>" for letter in LETTERS), *joined, *ENDS]
    vocab = {token: number for number, token in enumerate(tokens)}
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=length)


def text_encoder(kind: type, width: int = WIDTH, eos: int | None = None) -> Any:
    words = tokenizer()
    return kind(
        CLIPTextConfig(
            vocab_size=len(words),
            hidden_size=width,
            projection_dim=width,
            intermediate_size=width,
            num_hidden_layers=2,
            num_attention_heads=2,
            max_position_embeddings=40,
            bos_token_id=words.bos_token_id,
            eos_token_id=words.eos_token_id if eos is None else eos,
        )
    ).eval()


def unet(**options: Any) -> Any:
    """A network whose pictures depend on the prompt more than they do at random."""
    network = diffusers.UNet2DConditionModel(
        sample_size=LATENT,
        block_out_channels=(4, 8),
        layers_per_block=1,
        norm_num_groups=2,
        attention_head_dim=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        **options,
    )
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if "attn2.to_v" in name or "attn2.to_out.0.weight" in name:
                weight.mul_(5)
    return network.eval()


def vae() -> Any:
    return diffusers.AutoencoderKL(
        block_out_channels=(4, 4),
        down_block_types=("DownEncoderBlock2D",) * 2,
        up_block_types=("UpDecoderBlock2D",) * 2,
        latent_channels=4,
        norm_num_groups=2,
        sample_size=SIZE,
    ).eval()


def built(kind: str, **parts: Any) -> Any:
    """The diffusers pipeline of that class; parts that are functions are built, seeded each."""
    made = {}
    with torch.random.fork_rng():
        for name, part in parts.items():
            torch.manual_seed(sum(map(ord, name)))
            made[name] = part() if isinstance(part, FunctionType) else part
    pipe = getattr(diffusers, kind)(**made)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def louder(encoder: Any) -> Any:
    """An encoder whose words differ more than they do at random: pictures then depend on them."""
    with torch.no_grad():
        encoder.get_input_embeddings().weight.mul_(30)
    return encoder


def stable_diffusion(prediction_type: str = "epsilon") -> Any:
    """A Stable Diffusion 1 pipeline."""
    return built(
        "StableDiffusionPipeline",
        scheduler=diffusers.DDIMScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            clip_sample=False,
            set_alpha_to_one=False,
            steps_offset=1,
            prediction_type=prediction_type,
        ),
        unet=lambda: unet(cross_attention_dim=WIDTH),
        vae=vae,
        text_encoder=lambda: louder(text_encoder(CLIPTextModel)),
        tokenizer=tokenizer,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def stable_diffusion_xl(eos: int | None = None) -> Any:
    """A Stable Diffusion XL pipeline; eos=2 is the configuration that its encoders really have."""
    wide = 2 * WIDTH
    return built(
        "StableDiffusionXLPipeline",
        scheduler=diffusers.EulerDiscreteScheduler(
            beta_start=0.00085,
            beta_end=0.012,
            beta_schedule="scaled_linear",
            timestep_spacing="leading",
            steps_offset=1,
        ),
        unet=lambda: unet(
            cross_attention_dim=WIDTH + wide,
            projection_class_embeddings_input_dim=wide + 6 * 4,
            addition_embed_type="text_time",
            addition_time_embed_dim=4,
        ),
        vae=vae,
        text_encoder=lambda: louder(text_encoder(CLIPTextModel, eos=eos)),
        text_encoder_2=lambda: louder(text_encoder(CLIPTextModelWithProjection, wide, eos)),
        tokenizer=tokenizer,
        tokenizer_2=tokenizer,
        add_watermarker=False,
    )


def mute() -> Any:
    """A pipeline that reads no prompts."""
    return built(
        "DDPMPipeline",
        scheduler=diffusers.DDPMScheduler(),
        unet=lambda: diffusers.UNet2DModel(
            sample_size=LATENT,
            block_out_channels=(4,),
            layers_per_block=1,
            norm_num_groups=2,
            down_block_types=("DownBlock2D",),
            up_block_types=("UpBlock2D",),
        ),
    )


def save_clip(folder: Path, seed: int = 1) -> Path:
    """Write a CLIP in transformers' format; returns the folder."""
    tower = {
        "hidden_size": WIDTH,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "image_size": SIZE,
        "patch_size": 8,
        "vocab_size": len(tokenizer()),
        "max_position_embeddings": 40,
        "projection_dim": WIDTH,
        "bos_token_id": 56,
        "eos_token_id": 57,
        "pad_token_id": 57,
    }
    tokenizer().save_pretrained(folder)
    images = {
        "image_processor_type": "CLIPImageProcessor",
        "size": {"shortest_edge": SIZE},
        "crop_size": {"height": SIZE, "width": SIZE},
    }
    (folder / "preprocessor_config.json").write_text(json.dumps(images))
    config = CLIPConfig(text_config=tower, vision_config=tower, projection_dim=WIDTH)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        CLIPModel(config).save_pretrained(folder)
    return folder
