"""A CLIP with a few thousand random weights, in transformers' format."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

SIDE, WIDTH = 16, 12
MEAN, STD = (0.48, 0.45, 0.41), (0.27, 0.26, 0.28)
TOWER = {
    "hidden_size": WIDTH,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "image_size": SIDE,
    "patch_size": 8,
    "vocab_size": 60,
    "max_position_embeddings": 10,
    "projection_dim": WIDTH,
    "projection_size": WIDTH,
    "bos_token_id": 0,
    "eos_token_id": 1,
    "pad_token_id": 1,
}


def write_images_config(folder: Path, kind: str) -> None:
    shared = {"image_mean": MEAN, "image_std": STD, "resample": 3}
    sizes = {
        "CLIP": {"size": {"shortest_edge": SIDE}, "crop_size": {"height": SIDE, "width": SIDE}},
        "Siglip": {"size": {"height": SIDE, "width": SIDE}},
    }[kind]
    config = {"image_processor_type": f"{kind}ImageProcessor", **shared, **sizes}
    (folder / "preprocessor_config.json").write_text(json.dumps(config))


def save_clip(folder: Path, seed: int) -> Path:
    """Write a CLIP whose weights are those of the seed; returns the folder."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    tokens = ["<|startoftext|>", "<|endoftext|>", *letters, *(c + "</w>" for c in letters)]
    vocab = {token: number for number, token in enumerate(tokens)}
    CLIPTokenizer(vocab=vocab, merges=[], model_max_length=10).save_pretrained(folder)
    write_images_config(folder, "CLIP")
    config = CLIPConfig(text_config=TOWER, vision_config=TOWER, projection_dim=WIDTH)
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        CLIPModel(config).save_pretrained(folder)
    return folder
