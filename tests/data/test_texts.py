"""Texts of items as vectors; a stand-in takes the encoder's place, for the real one is 440 MB."""

import sys
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import polars as pl
import pytest

from metajax.data import interactions_from_frame
from metajax.data.texts import VECTOR, text_vectors, with_text_vectors
from metajax.errors import ConfigError, DataError

NAME = "somebody/an-encoder@0123abc"


class Encoder:
    """Encodes a text by how many letters and how many spaces it has; counts how often it is asked."""

    loaded: ClassVar[list[tuple[str, str | None]]] = []
    asked: ClassVar[list[str]] = []

    def __init__(self, name, *, revision, device):
        assert device == "cpu"
        if name == "somebody/nowhere":
            raise OSError("no such model\nand a page of advice")
        self.loaded.append((name, revision))

    def encode(self, texts, *, normalize_embeddings):
        assert normalize_embeddings
        self.asked.extend(texts)
        numbers = np.asarray([[len(text), text.count(" ") + 1] for text in texts], np.float32)
        return numbers / np.linalg.norm(numbers, axis=1, keepdims=True)


@pytest.fixture
def encoder(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "sentence_transformers", SimpleNamespace(SentenceTransformer=Encoder))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setattr(Encoder, "loaded", [])
    monkeypatch.setattr(Encoder, "asked", [])
    return Encoder


@pytest.fixture(scope="module")
def films():
    items = pl.DataFrame(
        {
            "item": [1, 2, 3],
            "title": ["Heat", None, "The Third Man"],
            "makers": [["Mann", "Spinotti"], None, []],
        },
        schema_overrides={"makers": pl.List(pl.String)},
    )
    ratings = pl.DataFrame({"user": [1, 1, 1], "item": [1, 2, 3], "target": [4.0, 3.0, 5.0]})
    return interactions_from_frame(ratings, items=items)


def test_every_known_text_has_its_vector_and_no_other_item_has_one(encoder, films):
    found = with_text_vectors(films, NAME, ("title", "makers"))
    vectors = dict(zip(found.items["item"], found.items[VECTOR].to_list(), strict=True))
    assert encoder.loaded == [("somebody/an-encoder", "0123abc")]
    assert sorted(encoder.asked) == ["Heat. Mann, Spinotti", "The Third Man"]
    np.testing.assert_allclose(vectors[1], np.array([20, 3]) / np.hypot(20, 3), rtol=1e-6)
    np.testing.assert_allclose(vectors[3], np.array([13, 3]) / np.hypot(13, 3), rtol=1e-6)
    assert vectors[2] is None
    assert found.features == films.features, "models do not embed it"
    assert found.name == f"{films.name} + title + makers", "told more, it is not compared with who was told less"


def test_a_second_time_nothing_is_loaded(encoder):
    texts = [f"title {'x' * number}" for number in range(150)]
    first = text_vectors(texts, NAME)
    assert first.shape == (150, 2)
    assert first.dtype == np.float32
    np.testing.assert_allclose(first[3] / first[3, 1], [len(texts[3]) / 2, 1], rtol=1e-6)
    np.testing.assert_array_equal(text_vectors(texts, NAME), first)
    assert len(encoder.loaded) == 1
    text_vectors(texts[:2], NAME)
    text_vectors(texts, NAME + "f")
    assert len(encoder.loaded) == 3, "other texts, and another revision, are read anew"


def test_a_folder_that_changed_is_read_anew(encoder, tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    (folder / "weights").write_text("one")
    text_vectors(["a"], str(folder))
    text_vectors(["a"], str(folder))
    assert encoder.loaded == [(str(folder), None)]
    (folder / "weights").write_text("other")
    text_vectors(["a"], str(folder))
    assert len(encoder.loaded) == 2


def test_no_texts_ask_nothing(encoder):
    assert text_vectors([], NAME).shape[0] == 0
    assert encoder.loaded == []


@pytest.mark.parametrize(
    ("columns", "told"),
    [(("titel",), r"no item column 'titel'.*\['title', 'makers'\]"), (("item",), "no item column 'item'")],
)
def test_a_column_that_is_not_there_is_named(encoder, films, columns, told):
    with pytest.raises(DataError, match=told):
        with_text_vectors(films, NAME, columns)


def test_a_column_of_that_name_is_not_written_over(encoder, films):
    with pytest.raises(DataError, match="already"):
        with_text_vectors(with_text_vectors(films, NAME), NAME)


def test_a_name_needs_its_revision(encoder):
    with pytest.raises(ConfigError, match="somebody/an-encoder@<commit>"):
        text_vectors(["a"], "somebody/an-encoder")


def test_an_encoder_that_cannot_be_loaded_is_told_of_in_one_line(encoder):
    with pytest.raises(ConfigError, match="no such model Give a folder"):
        text_vectors(["a"], "somebody/nowhere@1")


def test_without_the_library_the_extra_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(ConfigError, match=r"metajax\[text\]"):
        text_vectors(["a"], NAME)
