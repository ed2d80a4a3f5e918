"""A run whose content estimate is told of titles, from the command line to an artifact; a stand-in reads them."""

import sys
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from experiment import tiny

from metajax import Recommender
from metajax.cli import main
from metajax.errors import ConfigError
from metajax.evaluation.report import read_report
from metajax.experiment import DataConfig
from metajax.experiment.artifact import read_artifact

ENCODER = "somebody/an-encoder@0123abc"


class Encoder:
    """Tells whether a title begins with "good"."""

    def __init__(self, name, *, revision, device):
        assert (name, revision, device) == ("somebody/an-encoder", "0123abc", "cpu")

    def encode(self, texts, *, normalize_embeddings):
        assert normalize_embeddings
        return np.asarray([[1, 0] if text.startswith("good") else [0, 1] for text in texts], np.float32)


@pytest.mark.slow
def test_titles_from_the_command_line_to_recommendations(tmp_path, as_users_run, monkeypatch):
    """Of the things that are trained on, the first half are liked; who serves the artifact needs no encoder."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setitem(sys.modules, "sentence_transformers", SimpleNamespace(SentenceTransformer=Encoder))
    tiny.write_ratings(tmp_path / "ratings.csv")
    liked = pl.when(pl.col("thing") < 15).then(5).otherwise(pl.col("stars").clip(1, 3))
    pl.read_csv(tmp_path / "ratings.csv").with_columns(stars=liked).write_csv(tmp_path / "ratings.csv")
    titles = [("good" if thing < 15 else "poor") + f" thing {thing}" for thing in range(30)]
    pl.DataFrame({"thing": range(30), "title": titles}).write_csv(tmp_path / "things.csv")
    flags = (
        "--evaluation.no-baselines",
        "--data.items",
        str(tmp_path / "things.csv"),
        "--data.estimate-content",
        "--data.text-encoder",
        ENCODER,
    )
    assert tiny.train(tmp_path, *flags) == 0

    monkeypatch.setitem(sys.modules, "sentence_transformers", None)  # what was read is kept
    run = tmp_path / "runs" / "ratings"
    assert main(["evaluate", str(run)]) == 0
    metadata = read_report(run / "report.json").metadata
    assert metadata["data"]["name"] == "ratings + title"
    assert metadata["config"]["data"]["text_encoder"] == ENCODER
    kinds = {view.column: view.kind for view in read_artifact(run / "seed-0" / "artifact").encoding.content.views}
    assert kinds["text_vector"] == "vector"
    scores = {int(one.item): one.score for one in Recommender.load(run).adapt({}).recommend(30)}
    worse = np.mean([score for item, score in scores.items() if item >= 15])
    assert np.mean([score for item, score in scores.items() if item < 15]) > worse + 1


@pytest.mark.parametrize("choices", [{"estimate_content": False}, {"estimate_content": True, "text_columns": ()}])
def test_an_encoder_that_nothing_would_read_is_refused(choices):
    with pytest.raises(ConfigError, match="text_encoder is for the content estimate"):
        DataConfig(text_encoder=ENCODER, **choices)
