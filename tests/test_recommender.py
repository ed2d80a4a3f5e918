"""The recommender ranks as a sort of all scores does, and compiles nothing once it is warm."""

import logging
from dataclasses import replace
from functools import partial

import jax
import numpy as np
import polars as pl
import pytest

from metajax import Experiment, Recommender, recommender
from metajax.data import fit_encoding, interactions_from_frame
from metajax.errors import ConfigError, DataError
from metajax.experiment import Anil, BayesianLinear, Maml, MatrixFactorization, MetaSgd, PairwiseRanking, Ridge
from metajax.experiment.artifact import Artifact
from metajax.experiment.parts import make_parts

pytestmark = pytest.mark.usefixtures("as_users_run")
RATINGS = {"i3": 5.0, "i4": 1.0, "i8": 2.0}


def make_artifact(num_items=40, learner=None):
    """Untrained, of as many items, of which the first half is rated three times and the other once."""
    rows = [(f"u{user}", f"i{item}", 1.0 + item % 5) for user in range(3) for item in range(num_items)]
    ratings = pl.DataFrame([row for row in rows if row[0] == "u0" or int(row[1][1:]) < num_items // 2], orient="row")
    ratings.columns = ["user", "item", "target"]
    interactions = interactions_from_frame(ratings, scale=(1.0, 5.0))
    encoding = fit_encoding(interactions, interactions.ratings, identity=("item",))
    experiment = Experiment(model=MatrixFactorization(factors=4, factor_scale=1.0), learner=learner or Ridge())
    parts = make_parts(experiment, encoding, offset=3.0, levels=(1.0, 5.0))
    item_ids = interactions.items["item"].to_list()
    return Artifact(
        experiment=experiment,
        encoding=encoding,
        offset=3.0,
        levels=(1.0, 5.0),
        scale=(1.0, 5.0),
        item_ids=item_ids,
        titles=None,
        num_ratings=np.array([3 if int(one[1:]) < num_items // 2 else 1 for one in item_ids], np.int32),
        items=encoding.encode_items(interactions.items),
        meta_params=jax.jit(parts.learner.init)(jax.random.key(0)),
    )


@pytest.fixture(scope="module")
def artifact():
    with jax.numpy_dtype_promotion("standard"), jax.enable_x64(False):
        return make_artifact()


def by_sorting(person, *, excluded, min_ratings):
    """Rank by all scores, in numpy."""
    of = person.recommender
    raw = np.asarray(of.learner.predict(of.artifact.meta_params, person.state, of.representations).mean)
    allowed = of.artifact.num_ratings >= min_ratings
    allowed[[of.position(item) for item in excluded]] = False
    return [of.artifact.item_ids[one] for one in np.argsort(-raw, kind="stable") if allowed[one]]


@pytest.mark.parametrize("block", [recommender.BLOCK, 16])
def test_recommending_is_sorting_all_scores(artifact, monkeypatch, block):
    """Also by the linear form, which a large catalogue is ranked by."""
    monkeypatch.setattr(recommender, "BLOCK", block)
    person = Recommender(artifact).adapt(RATINGS)
    assert person.recommender._is_linear == (block < 40)
    for n in (1, 10, 99):
        found = [one.item for one in person.recommend(n, min_ratings=2)]
        assert found == by_sorting(person, excluded=RATINGS, min_ratings=2)[:n]
    everything = [one.item for one in person.recommend(99, exclude_seen=False, min_ratings=0)]
    assert everything == by_sorting(person, excluded=[], min_ratings=0)
    for one in person.recommend(3):
        assert one.score == pytest.approx(person.predict(one.item), rel=1e-5)
    with pytest.raises(ConfigError, match="got n = 0"):
        person.recommend(0)


def test_a_warm_recommender_compiles_nothing(artifact, caplog):
    one = Recommender(artifact)
    one.warm_up(max_ratings=16, n=10)
    with caplog.at_level(logging.WARNING), jax.log_compiles():
        for count in (0, 1, 8, 9, 16):
            person = one.adapt({f"i{item}": 4.0 for item in range(count)})
            for n in (1, 10):
                assert len(person.recommend(n, min_ratings=n % 3)) == n
                person.recommend(n, exclude_seen=False)
        assert [record.message for record in caplog.records if "Compiling" in record.message] == []
        one.adapt({f"i{item}": 4.0 for item in range(17)})
        assert any("Compiling" in record.message for record in caplog.records)


@pytest.mark.parametrize(
    ("most", "expected"), [(0, 8), (1, 8), (8, 8), (9, 16), (16, 16), (17, 32), (128, 128), (129, 256)]
)
def test_sizes_hold_what_they_are_for(most, expected):
    assert recommender.sizes(most)[-1] == expected
    assert len(recommender.padded(np.zeros(most), -1)) == expected


@pytest.fixture(scope="module")
def person(artifact):
    return Recommender(artifact).adapt(RATINGS)


@pytest.mark.parametrize("method", ["leave_one_out", "additive"])
def test_a_prediction_is_explained_by_ratings_the_strongest_first(artifact, person, method):
    found = person.explain("i30", method=method)
    assert {one.item: one.rating for one in found} == RATINGS
    assert np.all(np.diff(np.abs([one.effect for one in found])) <= 0)
    assert person.explain("i30", 1, method=method) == found[:1]
    raw = lambda one: one.recommender.learner.predict(artifact.meta_params, one.state, one.recommender.representations)  # noqa: E731
    place = person.recommender.position("i30")
    if method == "additive":
        change = (raw(person).mean - raw(person.recommender.adapt({})).mean)[place]
        assert sum(one.effect for one in found) == pytest.approx(float(change), abs=1e-5)
    else:
        without = person.recommender.adapt({item: RATINGS[item] for item in RATINGS if item != found[0].item})
        change = (raw(person).mean - raw(without).mean)[place]
        assert found[0].effect == pytest.approx(float(change), abs=1e-5)


def test_what_cannot_be_explained_is_told(person):
    with pytest.raises(ConfigError, match=r"by one of \('leave_one_out', 'additive'\), got method='guess'"):
        person.explain("i30", method="guess")
    assert person.recommender.adapt({}).explain("i30") == []


@pytest.mark.parametrize("learner", [Ridge(), BayesianLinear()])
@pytest.mark.parametrize("strategy", ["information", "popularity", "entropy", "popularity_entropy", "random"])
def test_questions_are_of_items_that_were_neither_rated_nor_refused(learner, strategy):
    person = Recommender(make_artifact(learner=learner)).adapt(RATINGS)
    left = person.questions(40, strategy=strategy, exclude=["i1"])
    assert len({one.item for one in left}) == len(left) == 40 - 4
    assert not {one.item for one in left} & {*RATINGS, "i1"}
    assert person.questions(3, strategy=strategy, exclude=["i1"]) == left[:3]
    if strategy == "popularity":
        assert [one.score for one in left] == [3] * 16 + [1] * 20


def test_a_question_that_tells_most_is_first():
    """Of items that all know alike; asked by default."""
    person = Recommender(make_artifact(learner=BayesianLinear())).adapt(RATINGS)
    one, other = person.questions(2)
    assert person.questions(1) == [one]
    assert one.score >= other.score > 0
    told = person.recommender.adapt(RATINGS | {one.item: person.predict(one.item)})
    assert one.item not in [asked.item for asked in told.questions(40)]


def test_questions_that_cannot_be_chosen_are_told():
    person = Recommender(make_artifact(learner=MetaSgd())).adapt(RATINGS)
    with pytest.raises(ConfigError, match="one rating after another"):
        person.questions(strategy="information")
    assert person.questions() == person.questions(strategy="popularity_entropy")
    with pytest.raises(ConfigError, match=r"chosen by one of .*'information'.*, got n=5 and strategy='guess'"):
        person.questions(strategy="guess")
    with pytest.raises(ConfigError, match="got n=0"):
        person.questions(0)


@pytest.mark.parametrize("learner", [Ridge(), Maml()])
def test_similar_items_are_the_nearest_and_others(learner):
    """By vectors; or, where items are represented by their raw features, by predictions."""
    recommender = Recommender(make_artifact(learner=learner))
    found = recommender.similar("i3", 40)
    assert len(found) == 39
    assert [one for one in found if int(one.item[1:]) < 20] == recommender.similar("i3", 40, min_ratings=2)
    assert "i3" not in [one.item for one in found]
    assert np.all(np.diff([one.score for one in found]) <= 0)
    assert found[0].score <= 1 + 1e-6
    if isinstance(learner, Ridge):
        vectors = np.asarray(recommender.representations)
        vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        cosines = vectors @ vectors[recommender.position("i3")]
        assert [one.score for one in found] == pytest.approx(np.sort(cosines)[-2::-1].tolist(), abs=1e-6)


@pytest.mark.parametrize("n", [0, -1, True])
def test_the_length_of_a_list_is_a_number_of_items(person, n):
    for ask in (person.recommend, partial(person.recommender.similar, "i3")):
        with pytest.raises(ConfigError, match="A list has 1 item or more, got n ="):
            ask(n)


def test_ids_are_searched_where_there_are_no_titles(person):
    assert [one.item for one in person.recommender.search("i12", 1)] == ["i12"]


def test_of_items_of_one_title_the_most_rated_is_meant(artifact):
    """Ids go before titles."""
    titles = [f"Title of {item}" for item in artifact.item_ids]
    few, many = (artifact.item_ids.index(item) for item in ("i39", "i3"))
    assert artifact.num_ratings[few] < artifact.num_ratings[many]
    for order in ((few, many), (many, few)):
        for position in order:
            titles[position] = "Emma (1996)"
        assert Recommender(replace(artifact, titles=titles)).position("Emma (1996)") == many


def test_the_ends_of_the_scale_are_ratings_whatever_float32_makes_of_them(artifact):
    kept = tuple(float(np.float32(end)) for end in (0.1, 0.9))
    recommender = Recommender(replace(artifact, scale=kept))
    assert kept[1] < 0.9
    recommender.adapt({"i1": 0.1, "i2": 0.9})
    with pytest.raises(DataError, match=r"ratings go from 0\.1 to 0\.9"):
        recommender.adapt({"i1": 0.901})


def test_a_feature_of_users_that_the_model_does_not_know_is_told(artifact):
    with pytest.raises(DataError, match=r"knows no feature 'usr' of users; it knows \['user'\]. Did you mean 'user'\?"):
        Recommender(artifact).adapt(RATINGS, user={"usr": "u0"})
    Recommender(artifact).adapt(RATINGS, user={"user": "nobody"})


@pytest.mark.parametrize("changes", [{"levels": (1.0,)}, {"loss": PairwiseRanking()}], ids=["one level", "only ranks"])
def test_where_predictions_are_no_ratings_the_popular_are_asked_about(artifact, changes):
    if "loss" in changes:
        artifact = replace(artifact, experiment=replace(artifact.experiment, learner=Anil(), **changes))
        made = artifact.parts().learner.init(jax.random.key(0))
        artifact = replace(artifact, meta_params=made)
    else:
        artifact = replace(artifact, **changes)
    person = Recommender(artifact).adapt(RATINGS)
    assert [one.item for one in person.questions(3)] == [one.item for one in person.questions(3, strategy="popularity")]
    assert len(person.questions(3, strategy="random")) == 3
    for strategy in ("information", "entropy", "popularity_entropy"):
        with pytest.raises(ConfigError, match="The predictions of this model are no ratings"):
            person.questions(3, strategy=strategy)


@pytest.mark.parametrize("rating", ["5", None, True])
def test_a_rating_is_a_number(artifact, rating):
    with pytest.raises(DataError, match=f"The rating of 'i1' is {rating!r}, wanted a number"):
        Recommender(artifact)._checked("i1", rating)  # `adapt` hands it on; its types are checked in tests only


def test_a_whole_number_that_a_frame_made_a_float_is_an_id(artifact):
    recommender = Recommender(replace(artifact, item_ids=list(range(len(artifact.item_ids)))))
    assert recommender.position(7.0) == recommender.position(7) == 7
    with pytest.raises(DataError, match=r"no item 7\.5"):
        recommender.position(7.5)
