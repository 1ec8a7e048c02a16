"""Image scores on this machine: CLIP, aesthetic heads, pixels, JPEG, and their combination."""

from __future__ import annotations

import io
import json
import math
import pickle
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from safetensors.torch import save_file
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import (
    AutoModel,
    BertConfig,
    BertModel,
    CLIPModel,
    PreTrainedTokenizerFast,
    SiglipConfig,
    SiglipModel,
)

import casbo
from casbo.errors import CandidateFailed, ScorerError
from casbo.objective import WeightedSum
from casbo.scorer import read_replies, scorer_direction
from casbo.testing import check_scorer
from casbo_images.errors import ImageError
from casbo_images.scores import (
    AestheticScore,
    Brightness,
    ClipEmbedding,
    ClipScore,
    Colour,
    CombinedScore,
    Contrast,
    JpegSize,
)
from casbo_images.scores import embedding as embedding_module
from casbo_images.scores.candidates import rgb

from .tiny_clip import MEAN, SIDE, STD, TOWER, WIDTH, save_clip, write_images_config

#: A long text is cut at 10 tokens.
TEXTS = ("a red cat", "blue", "a b c d e f g h i j k l m n o p")


def picture(seed: int, size: tuple[int, int] = (20, 14), mode: str = "RGB") -> Image.Image:
    width, height = size
    values = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(values).convert(mode)


PICTURES = [
    picture(1),
    picture(2, (14, 33)),
    picture(3, (1, 1)),
    picture(4, (5, 3)),  # three rows look like three channels
    picture(5, (16, 16), "L"),
    picture(6, (9, 9), "P"),
]


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_clip(tmp_path_factory.mktemp("clip"), seed=1)


@pytest.fixture(scope="module")
def siglip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A SigLIP with random weights, in transformers' format."""
    torch.manual_seed(2)
    folder = tmp_path_factory.mktemp("siglip")
    words = {"<pad>": 0, "<eos>": 1, "<unk>": 2, "a": 3, "red": 4, "cat": 5, "blue": 6}
    raw = Tokenizer(WordLevel(words, unk_token="<unk>"))
    raw.pre_tokenizer = Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=raw,
        pad_token="<pad>",
        eos_token="<eos>",
        unk_token="<unk>",
        model_input_names=["input_ids"],
    ).save_pretrained(folder)
    write_images_config(folder, "Siglip")
    SiglipModel(SiglipConfig(text_config=TOWER, vision_config=TOWER)).save_pretrained(folder)
    return folder


def by_hand(image: Image.Image, *, crop: bool) -> torch.Tensor:
    """What CLIP's (cropped) and SigLIP's (stretched) preprocessing are, with Pillow and numpy."""
    size = (SIDE, SIDE)
    image = image.convert("RGB")
    if crop:
        short = min(image.size)
        size = tuple(int(side * SIDE / short) for side in image.size)
    values = np.asarray(image.resize(size, Image.Resampling.BICUBIC), dtype=np.float64) / 255
    top, left = ((side - SIDE) // 2 for side in values.shape[:2])
    values = (values[top : top + SIDE, left : left + SIDE] - MEAN) / STD
    return torch.tensor(values.transpose(2, 0, 1), dtype=torch.float32)[None]


def unit(output: torch.Tensor) -> torch.Tensor:
    vector = output if isinstance(output, torch.Tensor) else output.pooler_output
    return (vector / vector.norm()).detach()[0]


def test_clip_score_is_the_cosine_of_the_models_own_features(clip: Path) -> None:
    model = CLIPModel.from_pretrained(clip)
    for text in TEXTS:
        tokens = [0]  # start, a token per letter with others for the last of a word, end
        for word in text.split():
            tokens += [2 + ord(c) - ord("a") for c in word[:-1]] + [28 + ord(word[-1]) - ord("a")]
        cut = torch.tensor([[*tokens[:9], 1]])
        target = unit(model.get_text_features(input_ids=cut))
        expected = [
            float(unit(model.get_image_features(pixel_values=by_hand(p, crop=True))) @ target)
            for p in PICTURES
        ]
        assert ClipScore(text, clip)(PICTURES) == pytest.approx(expected, abs=2e-5)


def test_siglip_score_is_the_cosine_of_the_models_own_features(siglip: Path) -> None:
    model = SiglipModel.from_pretrained(siglip)
    # padded to the model's length, without a mask: that is how it was trained
    tokens = torch.tensor([[3, 4, 5] + [0] * 7])
    target = unit(model.get_text_features(input_ids=tokens))
    expected = [
        float(unit(model.get_image_features(pixel_values=by_hand(p, crop=False))) @ target)
        for p in PICTURES
    ]
    assert ClipScore("a red cat", siglip)(PICTURES) == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize("kind", ["clip", "siglip"])
def test_a_picture_is_like_itself(kind: str, request: pytest.FixtureRequest) -> None:
    model = request.getfixturevalue(kind)
    for target in PICTURES:
        scores = ClipScore(target, model)([target, *PICTURES])
        assert scores[0] == pytest.approx(1.0, abs=1e-5)
        assert max(scores) <= 1 + 1e-5


def test_vectors_have_length_one_and_a_row_each(clip: Path) -> None:
    embedding = ClipEmbedding(clip, batch=2)
    for vectors, count in (
        (embedding.images(PICTURES), len(PICTURES)),
        (embedding.texts(TEXTS), 3),
    ):
        assert vectors.shape == (count, WIDTH)
        assert torch.allclose(vectors.norm(dim=1), torch.ones(count), atol=1e-6)
    assert embedding.images([]).shape == embedding.texts([]).shape == (0, WIDTH)
    assert torch.equal(
        ClipScore("a", clip).image_features(PICTURES[:1]), embedding.images(PICTURES[:1])
    )


def test_a_path_is_a_picture_and_a_str_is_a_text(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    PICTURES[0].save(tmp_path / "cat.png")
    named, opened = ClipScore(tmp_path / "cat.png", clip), ClipScore(PICTURES[0], clip)
    assert named(PICTURES) == opened(PICTURES)
    assert named.describe() == opened.describe()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ImageError, match=r"pathlib\.Path"):
        ClipScore("cat.png", clip)
    assert ClipScore("dog.png", clip).describe()["target"] == {"text": "dog.png"}


def test_two_scores_on_one_model_load_it_once(clip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    embedding_module._model.cache_clear()
    loads: list[object] = []
    load = AutoModel.from_pretrained
    monkeypatch.setattr(
        AutoModel, "from_pretrained", lambda *a, **k: (loads.append(a), load(*a, **k))[1]
    )
    for target in ("red", "blue", PICTURES[0]):
        ClipScore(target, clip, batch=3).prepare()
    assert len(loads) == 1
    ClipScore("red", clip, dtype="bfloat16").prepare()
    assert len(loads) == 2


def test_tokenizer_and_image_processor_may_come_from_elsewhere(clip: Path, tmp_path: Path) -> None:
    """As for PickScore, whose repository holds weights only."""
    CLIPModel.from_pretrained(clip).save_pretrained(tmp_path)
    with pytest.raises(ImageError, match="image processor"):
        ClipScore("red", tmp_path).prepare()
    assert ClipScore("red", tmp_path, processor=clip)(PICTURES) == ClipScore("red", clip)(PICTURES)


def test_short_dtypes_score_nearly_the_same(clip: Path) -> None:
    exact, short = (ClipScore("red", clip, dtype=d)(PICTURES) for d in (None, torch.bfloat16))
    assert short == pytest.approx(exact, abs=0.05)


# --- what cannot be used ---------------------------------------------------------------------


def test_unusable_models_are_named_in_one_line(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bert = tmp_path / "bert"
    BertModel(
        BertConfig(
            hidden_size=8,
            num_hidden_layers=1,
            num_attention_heads=1,
            intermediate_size=8,
            vocab_size=9,
        )
    ).save_pretrained(bert)
    empty = tmp_path / "empty"
    empty.mkdir()
    partial = tmp_path / "partial"
    model = CLIPModel.from_pretrained(clip)
    weights = {k: v for k, v in model.state_dict().items() if "visual_projection" not in k}
    model.save_pretrained(partial, state_dict=weights)
    for folder, says in ((bert, "BertModel"), (empty, "empty"), (partial, "visual_projection")):
        with pytest.raises(ImageError, match=says) as caught:
            ClipScore("red", folder).prepare()
        assert "\n" not in str(caught.value)
        assert "save_pretrained" in str(caught.value)

    def unreachable(*_: object, **__: object) -> None:
        raise OSError("We couldn't connect to the hub\nCheck your connection")

    monkeypatch.setattr(AutoModel, "from_pretrained", unreachable)
    with pytest.raises(ImageError, match=r"some-org/some-clip.*couldn't connect"):
        ClipScore("red", "some-org/some-clip").prepare()


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda clip: ClipScore("", clip), "empty text"),
        (lambda clip: ClipScore(7, clip), "int"),
        (lambda clip: ClipScore(clip / "none.png", clip), "none.png"),
        (lambda clip: ClipScore(clip / "config.json", clip), "config.json"),
        (lambda clip: ClipScore("red", clip / "none"), "none"),
        (lambda clip: ClipScore("red", "./none"), "none"),
        (lambda clip: ClipScore("red", clip, batch=0), "batch"),
        (lambda clip: ClipScore("red", clip, dtype="int8"), "int8"),
        (lambda clip: ClipScore("red", clip, device="abacus"), "abacus"),
        (lambda clip: JpegSize(0), "quality"),
        (lambda clip: Colour("no colour"), "no colour"),
        (lambda clip: Colour((0, 0, 256)), "256"),
        (lambda clip: Colour((0, 0)), "three numbers"),
        (lambda clip: CombinedScore({}), "at least one"),
        (lambda clip: CombinedScore({"a.b": Brightness()}), "dots"),
        (lambda clip: CombinedScore({"a": 3}), "callable"),
    ],
)
def test_unusable_options_are_refused(
    make: Callable[[Path], object], says: str, clip: Path
) -> None:
    with pytest.raises(ImageError, match=says):
        make(clip)


def test_imports_need_no_extra_and_say_which_one_is_missing() -> None:
    code = (
        "import sys\n"
        "for name in ('PIL', 'transformers', 'httpx', 'stamina'): sys.modules[name] = None\n"
        "from casbo_images.scores import *\n"
        "from casbo.errors import MissingExtraError\n"
        "ClipEmbedding('org/clip')\n"
        "try: Brightness()([object()])\n"
        "except ImportError as error: print(type(error).__name__, error)\n"
    )
    outcome = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False
    )
    assert outcome.returncode == 0, outcome.stderr
    assert "casbo[images]" in outcome.stdout


# --- aesthetic heads -------------------------------------------------------------------------

LAION_SIZES, LAION_KEYS = (WIDTH, 10, 8, 6, 4, 1), (0, 2, 4, 6, 7)


def official_state(
    sizes: tuple[int, ...] = LAION_SIZES, keys: tuple[int, ...] = LAION_KEYS
) -> dict[str, torch.Tensor]:
    """The official predictor's layout, smaller: linears with dropouts between, no activations."""
    generator = torch.Generator().manual_seed(3)
    state = {}
    for key, before, after in zip(keys, sizes[:-1], sizes[1:], strict=True):
        state[f"layers.{key}.weight"] = torch.randn(after, before, generator=generator)
        state[f"layers.{key}.bias"] = torch.randn(after, generator=generator)
    return state


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("kind", ["mlp", "relu", "linear"])
def test_aesthetic_score_is_the_product_of_its_matrices(
    clip: Path, tmp_path: Path, kind: str, suffix: str
) -> None:
    state = official_state(keys=(0, 3, 6, 9, 11)) if kind == "relu" else official_state()
    if kind == "linear":
        one = official_state((WIDTH, 1), (0,))
        state = {name.removeprefix("layers.0."): tensor for name, tensor in one.items()}
    head = tmp_path / f"head{suffix}"
    (torch.save if suffix == ".pth" else save_file)(state, head)
    activation = "relu" if kind == "relu" else None
    score = AestheticScore(head, clip, activation=activation)
    expected = ClipEmbedding(clip).images(PICTURES).double().numpy()
    for number, name in enumerate(n for n in state if n.endswith("weight")):
        if number and activation:
            expected = np.maximum(expected, 0)
        bias = state[name.replace("weight", "bias")].double().numpy()
        expected = expected @ state[name].double().numpy().T + bias
    score.prepare()
    assert score(PICTURES) == pytest.approx(expected[:, 0].tolist(), abs=1e-6)
    assert score.describe()["head"]["file"] == head.name


def test_a_head_of_ten_layers_and_more_keeps_their_order(clip: Path, tmp_path: Path) -> None:
    state = official_state((WIDTH, *range(20, 8, -1), 1), tuple(range(13)))
    save_file(state, tmp_path / "deep.safetensors")
    AestheticScore(tmp_path / "deep.safetensors", clip).prepare()  # sizes fit in one order only


@pytest.mark.parametrize(
    ("state", "says"),
    [
        (official_state(keys=(0, 3, 6, 9, 11)), "activation='relu'"),
        (official_state((WIDTH, 4, 2), (0, 2)), "one number"),
        ({"a.0.weight": torch.ones(4, WIDTH), "a.1.weight": torch.ones(1, 5)}, "fit each other"),
        ({"weight": torch.ones(1, WIDTH), "bias": torch.ones(3)}, "fit each other"),
        ({"bias": torch.ones(1)}, "no weight"),
        ({}, "no weight"),
        ({"weight": torch.ones(1, WIDTH), "running_mean": torch.ones(3)}, "running_mean"),
        ({"norm.weight": torch.ones(WIDTH)}, "norm.weight"),
        ({"weight": [1.0, 2.0]}, "state dict"),
        ([1.0], "state dict"),
    ],
)
def test_heads_that_do_not_fit_are_refused(
    clip: Path, tmp_path: Path, state: object, says: str
) -> None:
    torch.save(state, tmp_path / "head.pth")
    with pytest.raises(ImageError, match=says):
        AestheticScore(tmp_path / "head.pth", clip)


def test_a_head_of_another_model_is_refused(clip: Path, tmp_path: Path) -> None:
    torch.save({"weight": torch.ones(1, 768), "bias": torch.ones(1)}, tmp_path / "l14.pth")
    score = AestheticScore(tmp_path / "l14.pth", clip)
    for call in (score.prepare, lambda: score(PICTURES)):
        with pytest.raises(ImageError, match=r"768 features.* 12.*clip-vit-large-patch14"):
            call()


class Bomb:
    """Unpickled, it writes a file."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[object, tuple[object, ...]]:
        return Path.write_text, (self.canary, "ran")


def test_a_head_that_would_run_code_is_refused_before_it_does(clip: Path, tmp_path: Path) -> None:
    canary = tmp_path / "canary"
    torch.save({"weight": Bomb(canary)}, tmp_path / "zipped.pth")
    torch.save(
        {"weight": Bomb(canary)}, tmp_path / "old.pth", _use_new_zipfile_serialization=False
    )
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Bomb(canary)))
    (tmp_path / "plain.safetensors").write_bytes(pickle.dumps(Bomb(canary)))
    for path in sorted([*tmp_path.glob("*.pth"), *tmp_path.glob("*.safetensors")]):
        with pytest.raises(ImageError, match="Nothing in it was run"):
            AestheticScore(path, clip)
    assert not canary.exists()
    pickle.loads((tmp_path / "plain.pth").read_bytes())
    assert canary.exists(), "the bomb itself does not work"
    for broken in (b"", b"PK\x03\x04 cut short"):
        (tmp_path / "broken.pth").write_bytes(broken)
        with pytest.raises(ImageError, match=r"broken\.pth"):
            AestheticScore(tmp_path / "broken.pth", clip)
    with pytest.raises(ImageError, match=r"missing\.pth"):
        AestheticScore(tmp_path / "missing.pth", clip)


# --- pixels and JPEG -------------------------------------------------------------------------


def test_jpeg_size_is_pillows(tmp_path: Path) -> None:
    for quality in (20, 95):
        sizes = []
        for number, image in enumerate(PICTURES):
            path = tmp_path / f"{number}.jpg"
            image.convert("RGB").save(path, quality=quality)
            sizes.append(path.stat().st_size / 1000)
        assert JpegSize(quality)(PICTURES) == sizes
    assert scorer_direction(JpegSize(), None) == "minimize"
    assert scorer_direction(JpegSize(direction="maximize"), None) == "maximize"


def test_noise_takes_more_bytes_than_one_colour() -> None:
    flat, noisy = JpegSize()([Image.new("RGB", (64, 64), "teal"), picture(1, (64, 64))])
    assert flat < noisy


def test_pixel_scores_of_known_pictures() -> None:
    black, white, red = (Image.new("RGB", (4, 6), name) for name in ("black", "white", "red"))
    half = Image.new("RGB", (4, 6), "black")
    half.paste(white.crop((0, 0, 2, 6)))
    assert Brightness()([black, white, red, half]) == pytest.approx([0, 1, 0.299, 0.5])
    assert Contrast()([black, white, red, half]) == pytest.approx([0, 0, 0, 0.5], abs=1e-12)
    assert Colour("red")([red, black]) == pytest.approx([1, 1 - 3**-0.5])
    assert Colour((0, 0, 0))([black, white, half]) == pytest.approx([1, 0, 0.5])
    assert Colour("#ff0000").describe() == Colour((255, 0, 0)).describe()


MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "YCbCr", "HSV", "I", "F", "I;16")


@settings(max_examples=50)
@given(
    seed=st.integers(0, 2**32 - 1),
    size=st.tuples(st.integers(1, 24), st.integers(1, 24)),
    mode=st.sampled_from(MODES),
)
def test_every_mode_and_size_is_scored_as_its_rgb(
    clip: Path, seed: int, size: tuple[int, int], mode: str
) -> None:
    image = Image.new(mode, size) if mode == "I;16" else picture(seed, size, mode)
    same = rgb(image)
    assert same.mode == "RGB"
    assert same.size == size
    for score in (Brightness(), Contrast(), Colour("red"), JpegSize(), ClipScore("red", clip)):
        assert score([image]) == score([same])
        assert math.isfinite(score([image])[0])


def test_what_is_transparent_is_white() -> None:
    clear = Image.new("RGBA", (3, 3), (255, 0, 0, 0))
    indexed = Image.new("P", (3, 3))
    indexed.info["transparency"] = 0
    assert Brightness()([clear, indexed]) == pytest.approx([1, 1])


def test_reading_leaves_the_candidate_as_it_is() -> None:
    image = picture(1, mode="RGBA")
    image.info["note"] = "kept"
    before = (image.mode, image.tobytes(), dict(image.info))
    rgb(image).paste("red", (0, 0, 5, 5))
    assert (image.mode, image.tobytes(), dict(image.info)) == before


# --- laws of every scorer --------------------------------------------------------------------


@pytest.fixture(scope="module")
def scorers(
    clip: Path, siglip: Path, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, object]:
    head = tmp_path_factory.mktemp("head") / "head.pth"
    torch.save(official_state(), head)
    return {
        "text": ClipScore("a red cat", clip, batch=2),
        "image": ClipScore(PICTURES[1], siglip, batch=4),
        "aesthetic": AestheticScore(head, clip, batch=3),
        "jpeg": JpegSize(),
        "brightness": Brightness(),
        "contrast": Contrast(),
        "colour": Colour("teal"),
        "combined": CombinedScore(
            {"clip": ClipScore("blue", clip), "jpeg": JpegSize()}, direction="maximize"
        ),
    }


NAMES = ("text", "image", "aesthetic", "jpeg", "brightness", "contrast", "colour", "combined")


def cut_short() -> Image.Image:
    """A picture whose file ends too early; Pillow finds out when it is first read."""
    stream = io.BytesIO()
    picture(1, (64, 64)).save(stream, format="PNG")
    return Image.open(io.BytesIO(stream.getvalue()[:-2000]))


def table(scorer: object, samples: list[object]) -> list[dict[str, float]]:
    return [dict(reply.components) for reply in read_replies(scorer(samples), len(samples))]


@pytest.mark.parametrize("name", NAMES)
def test_the_contract_of_scorers(name: str, scorers: dict[str, object]) -> None:
    samples = [*PICTURES, "no picture", cut_short(), None]
    report = check_scorer(scorers[name], samples)
    assert report.repeatable
    assert report.picklable
    assert report.failed == 3
    messages = [reply.message for reply in read_replies(scorers[name](samples), len(samples))]
    assert messages[:6] == [None] * 6
    assert "expected a PIL image, got str" in messages[6]
    assert "cannot be read" in messages[7]
    assert read_replies(scorers[name]([]), 0) == []


@pytest.mark.parametrize("name", NAMES)
def test_scores_depend_neither_on_the_batch_nor_on_the_order(
    name: str, scorers: dict[str, object]
) -> None:
    scorer = scorers[name]
    together = table(scorer, PICTURES)
    alone = [table(scorer, [image])[0] for image in PICTURES]
    for one, other in zip(together, alone, strict=True):
        assert one == pytest.approx(other, rel=1e-5, abs=1e-6)
    order = [3, 0, 5, 1, 4, 2]
    shuffled = table(scorer, [PICTURES[i] for i in order])
    for place, index in enumerate(order):
        assert shuffled[place] == pytest.approx(together[index], rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_scorers_travel_to_workers_before_and_after_they_are_prepared(
    name: str, scorers: dict[str, object]
) -> None:
    scorer = pickle.loads(pickle.dumps(scorers[name]))
    getattr(scorer, "prepare", lambda: None)()
    expected = table(scorer, PICTURES)
    sent = pickle.dumps(scorer)
    assert len(sent) < 10_000  # no model travels along
    assert table(pickle.loads(sent), PICTURES) == expected


@pytest.mark.parametrize("name", NAMES)
def test_descriptions_are_json_and_tell_scorers_apart(
    name: str, scorers: dict[str, object]
) -> None:
    described = json.dumps(scorers[name].describe())
    assert scorers[name].describe() == pickle.loads(pickle.dumps(scorers[name])).describe()
    others = [json.dumps(other.describe()) for key, other in scorers.items() if key != name]
    assert described not in others


def test_a_description_changes_with_target_model_and_head(clip: Path, tmp_path: Path) -> None:
    retrained = tmp_path / clip.name
    torch.manual_seed(9)
    CLIPModel(CLIPModel.from_pretrained(clip).config).save_pretrained(retrained)
    scores = [
        ClipScore("red", clip),
        ClipScore("blue", clip),
        ClipScore(PICTURES[0], clip),
        ClipScore(PICTURES[1], clip),
        ClipScore("red", retrained),
        ClipScore("red", clip, dtype="float16"),
        ClipScore("red", "org/clip"),
        ClipScore("red", "org/clip", processor="org/other"),
    ]
    assert len({json.dumps(score.describe()) for score in scores}) == len(scores)
    same = ClipScore("red", clip, batch=3, device="cpu").describe()
    assert same == scores[0].describe()  # where and in which batches it runs changes nothing


# --- combined scores -------------------------------------------------------------------------


class Moody:
    """Two components; raises for a wide picture."""

    components = ("mood", "size")
    direction = "maximize"

    def __call__(self, samples: list[Image.Image]) -> dict[str, np.ndarray]:
        if any(sample.width > 19 for sample in samples):
            raise CandidateFailed("too wide")
        sizes = np.array([float(sample.width) for sample in samples])
        return {"mood": -sizes, "size": sizes}


def test_components_are_named_after_their_scores() -> None:
    narrow = PICTURES[1:]
    combined = CombinedScore({"moody": Moody(), "light": Brightness()})
    reply = combined(narrow)
    assert list(reply) == ["moody.mood", "moody.size", "light"]
    assert list(reply["moody.size"]) == [sample.width for sample in narrow]
    assert reply["light"] == Brightness()(narrow)
    nested = CombinedScore({"all": combined, "jpeg": JpegSize()})(narrow)
    assert list(nested) == ["all.moody.mood", "all.moody.size", "all.light", "jpeg"]


def test_a_failure_fails_its_component_only() -> None:
    combined = CombinedScore({"moody": Moody(), "light": Brightness()})
    replies = read_replies(combined(PICTURES), len(PICTURES))
    assert math.isnan(replies[0].components["moody.mood"])
    assert "too wide" in replies[0].message
    assert replies[0].components["light"] == Brightness()(PICTURES)[0]
    for reply, sample in zip(replies[1:], PICTURES[1:], strict=True):
        assert reply.message is None
        assert reply.components["moody.size"] == sample.width
    (alone,) = read_replies(combined(PICTURES[:1]), 1)
    assert alone.components.keys() == replies[0].components.keys()


def test_other_errors_and_wrong_counts_are_not_hidden() -> None:
    def broken(samples: list[Image.Image]) -> list[float]:
        raise KeyError("a bug")

    with pytest.raises(KeyError):
        CombinedScore({"broken": broken})(PICTURES)
    with pytest.raises(ScorerError, match="few"):
        read_replies(CombinedScore({"few": lambda samples: [1.0]})(PICTURES), len(PICTURES))


def test_the_direction_is_shared_or_has_to_be_stated() -> None:
    light, jpeg = Brightness(), JpegSize()
    assert CombinedScore({"a": light, "b": Contrast()}).direction == "maximize"
    mixed = CombinedScore({"light": light, "jpeg": jpeg})
    with pytest.raises(ImageError, match=r"jpeg.*minimize"):
        scorer_direction(mixed, None)
    assert scorer_direction(mixed, "maximize") == "maximize"
    stated = CombinedScore({"light": light, "jpeg": jpeg}, direction="minimize")
    assert scorer_direction(pickle.loads(pickle.dumps(stated)), None) == "minimize"


class Shades(casbo.Rollout):
    """Two steps of noise -> a grey picture whose brightness is their sum."""

    shape = (2, 1)

    def __call__(
        self, noise: torch.Tensor, *, predict: tuple[int, ...] = ()
    ) -> casbo.Trajectories:
        greys = (128 + 50 * noise.sum((1, 2))).clamp(0, 255).round().int().tolist()
        return casbo.Trajectories([Image.new("RGB", (8, 8), (g, g, g)) for g in greys])


def test_steering_by_two_weighted_scores() -> None:
    score = CombinedScore({"light": Brightness(), "jpeg": JpegSize()})
    result = casbo.steer(
        Shades(),
        score,
        objective=WeightedSum({"light": 1.0, "jpeg": -0.01}),
        direction="maximize",
        queries=160,
        population=16,
        seed=1,
    )
    more = Brightness()(result.sample(16, seed=2))
    assert np.mean(more) > 0.7  # 0.5 without steering
