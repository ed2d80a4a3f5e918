"""Other libraries' recommenders: what is asked of them, and what is kept; each library only where it is installed."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import scipy.sparse as sp
from data.ratings import world

from benchmarks import peer_methods, peers
from metajax.errors import ConfigError
from metajax.evaluation.baselines import Training, cosine_knn, damped_bias, popularity
from metajax.evaluation.report import read_report
from metajax.evaluation.results import PerUser, write_per_user
from metajax.experiment import DataConfig, EvaluationConfig, Experiment
from metajax.tasks import TaskSet


def candidates(*, ratings):
    """Stand in for the libraries."""
    made = {"clicks": [popularity(), cosine_knn(name="other")]}
    return made | ({"stars": [damped_bias(), damped_bias(damping=50.0, name="dull")]} if ratings else {})


@pytest.fixture
def small(monkeypatch, tmp_path):
    monkeypatch.setattr(DataConfig, "load", lambda _: world(0, num_users=150, num_items=60, density=0.5))
    monkeypatch.setattr(peers, "peers", candidates)
    monkeypatch.setattr(peers, "RESULTS", tmp_path)
    evaluation = EvaluationConfig(cutoffs=(5,), relevant=4.0)
    monkeypatch.setattr(peers, "load_experiment", lambda _: Experiment(evaluation=evaluation))
    monkeypatch.setattr(peers, "_versions", dict)


def test_peers_are_chosen_on_validation_users_and_a_run_is_tested_against_each(small, tmp_path, monkeypatch):
    """The run here is a copy of one peer, so that no difference from it can be shown."""
    summary, _ = peers.measure(Experiment(), per_user=None)
    assert summary.comparisons == ()
    frame = _per_user(monkeypatch)
    ours = frame.filter(pl.col("method") == "clicks").with_columns(
        method=pl.lit("ours"), kind=pl.lit("learner"), seed=pl.lit(0, pl.Int32)
    )
    write_per_user(tmp_path / "folder/run/per_user.parquet", PerUser("run", "toy", {}, ours))
    peers.main(["folder/run", "--runs", str(tmp_path)])
    report = read_report(tmp_path / "folder" / "peers.json")
    assert report.metadata["name"] == "folder/peers"
    assert report.metadata["trials"] == {"clicks": 2, "stars": 2}
    assert report.metadata["tuned_baselines"]["stars"] == {"user_cold": "bias"}
    assert {one.method for one in report.summary.estimates} == {"clicks", "stars"}
    against = {(one.reference, one.metric, one.k): one for one in report.summary.comparisons}
    assert against["clicks", "catalogue_ndcg@10", 5].difference == 0
    assert against["stars", "catalogue_recall@20", 10].method == "ours"
    assert ("clicks", "mae", None) not in against  # what only ranks has no errors


def _per_user(monkeypatch):
    """Return the frame that `measure` summarises."""
    seen = []
    summarise = peers.summarise
    monkeypatch.setattr(peers, "summarise", lambda frame, **rest: (seen.append(frame), summarise(frame, **rest))[1])
    peers.measure(Experiment(), per_user=None)
    return seen[0]


def test_without_the_libraries_it_is_said_how_to_get_them(monkeypatch):
    def absent(name):
        raise peers.PackageNotFoundError(name)

    monkeypatch.setattr(peers, "version", absent)
    with pytest.raises(ConfigError, match=r"implicit is not installed. In an environment .* '\.\[peers\]'"):
        peers.main(["movielens_1m/uptake"])


def test_every_peer_has_six_trials():
    assert {len(one) for one in peer_methods.peers(ratings=True).values()} == {6}
    names = [one.name for family in peer_methods.peers(ratings=True).values() for one in family]
    assert len(set(names)) == len(names)


@pytest.fixture
def clicks():
    rng = np.random.default_rng(0)
    users, items = np.nonzero(rng.random((60, 30)) < 0.3)
    training = Training(users, items, np.ones(len(users)), 60, 31, sp.csr_matrix((31, 0)))
    rows = np.stack([rng.permutation(30)[:4] for _ in range(3)]).astype(np.int32)
    ones = np.ones((3, 4), np.float32)
    asked = np.broadcast_to(np.arange(30, dtype=np.int32), (3, 30))
    number = np.arange(3, dtype=np.int32)
    tasks = TaskSet("toy", 0 * number, number, rows, ones, ones, asked, 0.0 * asked, 1 + 0.0 * asked)
    return training, tasks


@pytest.mark.parametrize(
    ("baseline", "fitted"),
    [
        (peer_methods.implicit_als(8, 1.0, 2.0), lambda training: peer_methods.fitted_als(training, 8, 1.0, 2.0)),
        (peer_methods.implicit_cosine(20), lambda training: peer_methods.fitted_knn(training, 20, None)),
        (peer_methods.implicit_bm25(20, 0.2), lambda training: peer_methods.fitted_knn(training, 20, 0.2)),
    ],
    ids=["ALS", "cosine", "BM25"],
)
def test_scores_are_those_of_implicits_own_lists(clicks, baseline, fitted):
    """Its `recommend` gives the first items; ours the score of every item."""
    pytest.importorskip("implicit")
    training, tasks = clicks
    scores = baseline.fit(training)(tasks)
    model = fitted(training)
    for task in range(3):
        row = sp.csr_matrix((np.ones(4), (np.zeros(4, int), tasks.support_items[task])), shape=(1, 31))
        ids, theirs = model.recommend(0, row.tocsr(), N=10, filter_already_liked_items=False, recalculate_user=True)
        np.testing.assert_allclose(scores[task][ids], theirs, rtol=1e-4)


@pytest.mark.parametrize("family", ["LensKit ImplicitMF", "LensKit ItemKNN"])
def test_lenskit_is_not_told_of_items_that_nobody_trained_on(clicks, family):
    pytest.importorskip("lenskit")
    training, tasks = clicks
    fewer = training.items != tasks.support_items[0, 0]
    less = replace(training, users=training.users[fewer], items=training.items[fewer], target=training.target[fewer])
    scores = peer_methods.peers(ratings=False)[family][0].fit(less)(tasks)
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("family", ["LensKit ImplicitMF", "LensKit ItemKNN"])
def test_lenskit_is_asked_about_every_item(clicks, family):
    pytest.importorskip("lenskit")
    training, tasks = clicks
    scores = peer_methods.peers(ratings=False)[family][0].fit(training)(tasks)
    assert (scores > -1e9).mean() > 0.9
    turned = replace(tasks, query_items=np.ascontiguousarray(tasks.query_items[:, ::-1]))
    again = peer_methods.peers(ratings=False)[family][0].fit(training)(turned)
    np.testing.assert_allclose(scores[:, ::-1], again, rtol=1e-4, atol=1e-6)
