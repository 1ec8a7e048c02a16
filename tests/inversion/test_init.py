"""Where tokens start: attention against one computed by hand, words, norms, vocabularies."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from casbo_inversion import Attention, InversionError, MeanToken, Word
from casbo_inversion.clip import Clip
from casbo_inversion.encoders import text_parts
from casbo_inversion.init import attention, start_of, weighted_start
from casbo_inversion.vocabulary import (
    checked_words,
    read_vocabulary,
    tokenizer_words,
    word_embedding,
)

from . import tiny


def test_attention_is_the_one_computed_by_hand() -> None:
    images = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
    texts = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.8, 0.6]])
    cosines = [[1.0, 0.0, 0.8], [0.6, 0.8, 0.96]]
    for temperature in (None, 0.1, 1.0):
        tau = temperature or 1.0
        rows = [[math.exp(c / tau) for c in row] for row in cosines]
        shares = [[e / sum(row) for e in row] for row in rows]
        wanted = [(a + b) / 2 for a, b in zip(*shares, strict=True)]
        found = attention(images, texts, temperature)
        assert found.tolist() == pytest.approx(wanted, rel=1e-6)


@given(st.floats(0.001, 10), st.integers(1, 5), st.integers(1, 30))
def test_weights_sum_to_one(temperature: float, images: int, words: int) -> None:
    generator = torch.Generator().manual_seed(images * 100 + words)
    unit = [
        torch.nn.functional.normalize(torch.randn(n, 4, generator=generator), dim=-1)
        for n in (images, words)
    ]
    weights = attention(unit[0], unit[1], temperature)
    assert float(weights.sum()) == pytest.approx(1)
    assert float(weights.min()) >= 0


def test_the_start_is_the_weighted_sum_of_words_at_their_norm(pipe: Any) -> None:
    (part,) = text_parts(pipe)
    vocab = part.tokenizer.get_vocab()
    cab, b, bad = (part.table[vocab[token]] for token in ("cab</w>", "b</w>", "bad</w>"))
    weights = torch.tensor([0.25, 0.75], dtype=torch.float64)
    # "bad b" is two tokens: the mean of them stands for it
    free = weighted_start(["cab", "bad b"], weights, [part], [part.table], match_norm=False)
    mixed = 0.25 * cab + 0.75 * (bad + b) / 2
    assert torch.allclose(free.vectors[0], mixed)
    matched = weighted_start(["cab", "bad b"], weights, [part], [part.table], match_norm=True)
    norm = 0.25 * cab.norm() + 0.75 * ((bad + b) / 2).norm()
    assert torch.allclose(matched.vectors[0], mixed * norm / mixed.norm())
    assert matched.words == (("bad b", 0.75), ("cab", 0.25))


def test_words_and_the_mean(pipe_xl: Any) -> None:
    parts = text_parts(pipe_xl)
    tables = [part.table for part in parts]
    start = Word("cab").start([], parts, tables)
    assert [len(rows) for rows in start.vectors] == [tiny.WIDTH, 2 * tiny.WIDTH]
    assert torch.equal(start.vectors[1], tables[1][parts[1].tokenizer.get_vocab()["cab</w>"]])
    for rows, table in zip(MeanToken().start([], parts, tables).vectors, tables, strict=True):
        assert float(rows.norm()) == pytest.approx(float(table.norm(dim=-1).mean()))
        cosine = torch.nn.functional.cosine_similarity(rows, table.mean(0), dim=0)
        assert float(cosine) == pytest.approx(1)


def test_attention_reads_pictures_with_clip(pipe: Any, clip: Path) -> None:
    parts, images = text_parts(pipe), [tiny.picture(seed) for seed in range(2)]
    tables = [part.table for part in parts]
    start = Attention(str(clip), temperature=0.5).start(images, parts, tables)
    model = Clip(clip)
    weights = attention(model.images(images), model.texts(["cab", "bad"]), 0.5)
    assert dict(start.words) == pytest.approx(
        dict(zip(("cab", "bad"), weights.tolist(), strict=True))
    )
    published = Attention(str(clip), temperature=None, match_norm=False)
    near = dict(published.start(images, parts, tables).words)
    assert max(near.values()) < 0.75  # nearly uniform
    chosen = Attention(str(clip), ("b", "c", "d")).start(images, parts, tables)
    assert {word for word, _ in chosen.words} <= {"b", "c", "d"}


def test_whole_words_of_the_tokenizer(pipe: Any) -> None:
    assert tokenizer_words(pipe.tokenizer) == ["cab", "bad"]


def test_bad_vocabularies(pipe: Any, tmp_path: Path) -> None:
    (part,) = text_parts(pipe)
    empty, words = tmp_path / "empty.txt", tmp_path / "words.txt"
    empty.write_text("\n \n")
    words.write_text("cab\nbad\n\ncab\n")
    assert read_vocabulary(words) == ["cab", "bad"]
    for path in (empty, tmp_path / "missing.txt", tmp_path):
        with pytest.raises(InversionError):
            read_vocabulary(path)
    with pytest.raises(InversionError):
        checked_words([])
    with pytest.raises(InversionError, match="spell"):
        word_embedding(part, part.table, "漢")


def test_attention_needs_a_clip_and_a_temperature(tmp_path: Path) -> None:
    with pytest.raises(InversionError, match="CLIP"):
        start_of("attention")
    with pytest.raises(InversionError, match="temperature"):
        Attention("x", temperature=0.0)
    with pytest.raises(InversionError, match="CLIPModel"):
        Clip(tmp_path).prepare()
    assert start_of("toy") == Word("toy")
