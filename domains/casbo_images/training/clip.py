"""Train a small CLIP of the scenes.

    python -m casbo_images.training.clip --autoencoder build/vae --out build/clip

Writes a `CLIPModel` with its processor in transformers' format, weights in half precision. A
caption goes with every picture of its batch that has all it states, not with its own alone: vague
captions fit many. Half of the pictures come as the autoencoder gives them back, and every batch
holds broken pictures that no caption goes with.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

from casbo import training

from ..scenes.caption import ATTRIBUTES, Description
from ..scenes.scene import PIXELS, Scene
from . import loop
from .broken import broken, reconstructed
from .dataset import Pictures, batch_rows
from .tokenizer import new_tokenizer

WIDTH, LAYERS, PATCH, PROJECTION = 128, 4, 8, 64
LARGEST_LOGIT_SCALE = 4.6  # ln 100, as in CLIP
BROKEN_SHARE = 0.25  # broken pictures in a batch, for each of its pictures
BROKEN_PICTURES = 10_000  # made once, to draw from


def new_clip(tokenizer: CLIPTokenizer) -> CLIPModel:
    """An untrained CLIP for pictures of the scenes."""
    shared = {
        "hidden_size": WIDTH,
        "intermediate_size": 4 * WIDTH,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": 4,
        "projection_dim": PROJECTION,
    }
    text = {
        **shared,
        "vocab_size": len(tokenizer),
        "max_position_embeddings": tokenizer.model_max_length,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
    }
    vision = {**shared, "image_size": PIXELS, "patch_size": PATCH}
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=PROJECTION))


def fits(descriptions: Sequence[Description], scenes: Sequence[Scene]) -> Tensor:
    """Which captions allow which pictures, as 0 and 1 with shape (captions, pictures)."""
    numbers: dict[object, int] = {}
    stated, present = (
        torch.tensor(
            [[_number(numbers, name, getattr(row, name)) for name in ATTRIBUTES] for row in rows]
        )
        for rows in (descriptions, scenes)
    )
    open_or_equal = (stated[:, None] == -1) | (stated[:, None] == present[None])
    return open_or_equal.all(-1).float()


def _number(numbers: dict[object, int], name: str, value: object) -> int:
    """A number for each value of an attribute, -1 for none."""
    return -1 if value is None else numbers.setdefault((name, value), len(numbers))


@dataclass(frozen=True)
class ContrastiveLoss:
    """Cross entropy both ways, every fitting pair counted as right, for the batch of a step.

    Arguments:
        reconstructed, broken: Bytes (N, 3, H, W) and (M, 3, H, W), as `training.broken` makes them.
    """

    clip: nn.Module
    tokenizer: CLIPTokenizer
    pictures: Pictures
    reconstructed: Tensor
    broken: Tensor
    batch: int
    seed: int
    device: str

    def __call__(self, step: int) -> Tensor:
        """The loss of a step's own batch."""
        rows, random = batch_rows(len(self.pictures.scenes), self.batch, self.seed, step)
        descriptions = self.pictures.descriptions(rows, random)
        tokens = self.tokenizer(
            [d.text() for d in descriptions], padding="longest", return_tensors="pt"
        )
        similarity = self.clip(
            input_ids=tokens.input_ids.to(self.device),
            attention_mask=tokens.attention_mask.to(self.device),
            pixel_values=self.images(rows, random).to(self.device),
        ).logits_per_text
        scenes = [self.pictures.scenes[row] for row in rows.tolist()]
        right = fits(descriptions, scenes).to(self.device)
        whole = nn.functional.pad(right, (0, similarity.shape[1] - len(rows)))
        of_pictures = similarity[:, : len(rows)].T  # a broken picture has no caption to find
        return 0.5 * (_cross_entropy(similarity, whole) + _cross_entropy(of_pictures, right.T))

    def images(self, rows: Tensor, random: np.random.Generator) -> Tensor:
        """The pictures of a batch, half of them as reconstructed, and broken ones behind them."""
        redrawn = torch.from_numpy(random.random(len(rows)) < 0.5)[:, None, None, None]
        count = min(len(self.broken), round(BROKEN_SHARE * len(rows)))
        chosen = random.choice(len(self.broken), count)
        pixels = torch.where(redrawn, self.reconstructed[rows], self.pictures.pixels[rows])
        return torch.cat([pixels, self.broken[torch.from_numpy(chosen)]]).float() / 127.5 - 1


def _cross_entropy(logits: Tensor, right: Tensor) -> Tensor:
    target = right / right.sum(-1, keepdim=True)
    return -(target * logits.log_softmax(-1)).sum(-1).mean()


class BoundedClip(nn.Module):
    """A CLIP whose logit scale is kept within bounds, as its authors do."""

    def __init__(self, clip: CLIPModel) -> None:
        super().__init__()
        self.clip = clip

    def forward(self, **inputs: Tensor) -> object:
        """CLIP's own output."""
        with torch.no_grad():
            self.clip.logit_scale.clamp_(0, LARGEST_LOGIT_SCALE)
        return self.clip(**inputs)


def main() -> None:
    """Parse the command line and train."""
    parser = loop.arguments(__doc__.splitlines()[0], steps=3000, batch=128, rate=1e-3)
    parser.add_argument("--autoencoder", type=Path, required=True)
    options, schedule = loop.begin(parser)
    pictures, tokenizer = Pictures.drawn(options.scenes), new_tokenizer()
    vae = AutoencoderKL.from_pretrained(options.autoencoder).to(options.device).eval()
    vae = vae.to(memory_format=torch.channels_last)
    again = reconstructed(vae, pictures)
    wrong = broken(vae, pictures, BROKEN_PICTURES, options.seed)
    model = BoundedClip(new_clip(tokenizer)).to(options.device)
    loss = ContrastiveLoss(
        model, tokenizer, pictures, again, wrong, options.batch, options.seed, options.device
    )
    training.train(model, loss, schedule, options.out, partial(_save, options.out))


def _save(folder: Path, model: nn.Module) -> None:
    """Write model and processor, the weights in half precision."""
    from transformers import CLIPImageProcessorPil, CLIPProcessor

    assert isinstance(model, BoundedClip)
    copy.deepcopy(model.clip).half().save_pretrained(folder)
    half = [0.5, 0.5, 0.5]
    images = CLIPImageProcessorPil(
        size={"shortest_edge": PIXELS},
        crop_size={"height": PIXELS, "width": PIXELS},
        image_mean=half,
        image_std=half,
    )
    CLIPProcessor(images, new_tokenizer()).save_pretrained(folder)


if __name__ == "__main__":
    main()
