"""A linear form is the prediction where the score is linear, and is refused where it is not."""

import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from learners.table import LEARNERS

from metajax.errors import ConfigError
from metajax.ranking import adapt_to, check_linear, is_linear, linear_score, predicted_score, ranker

LINEAR = ["ridge", "bayesian_linear", "anil"]
"""On a model whose head is a product with the item vector."""


def adapted(name, num_items=30):
    learner = LEARNERS[name]()
    meta_params = learner.init(jax.random.key(0))
    representations = learner.represent(meta_params, {"about": jax.random.normal(jax.random.key(1), (num_items, 3))})
    user = {"about": jnp.array([0.5, -1.0])}
    state = jax.jit(adapt_to(learner))(
        meta_params, representations, user, jnp.array([1, 5, -1, 8]), jnp.array([1.0, -2.0, 0.0, 3.0])
    )
    return learner, meta_params, state, representations


@pytest.mark.parametrize("name", LINEAR)
def test_a_linear_form_is_the_prediction(name):
    learner, meta_params, state, representations = adapted(name)
    check_linear(learner, meta_params, state, representations)
    scores = [of(learner)(meta_params, state, representations) for of in (linear_score, predicted_score)]
    np.testing.assert_allclose(*scores, rtol=1e-10, atol=1e-12)


def test_what_is_not_linear_is_refused():
    learner, meta_params, state, representations = adapted("cnp")
    with pytest.raises(
        ConfigError, match=r"not linear in the item's representation: .* misses them by .* Rank exactly"
    ):
        check_linear(learner, meta_params, state, representations)
    assert not is_linear(learner, meta_params, state, representations)


def test_representations_that_are_no_vectors_are_refused():
    learner, meta_params, state, _ = adapted("ridge")
    with pytest.raises(ConfigError, match=r"need a single vector of floats .* got arrays of shapes \[\(4, 2, 2\)\]"):
        check_linear(learner, meta_params, state, jnp.zeros((4, 2, 2)))


def test_the_index_finds_what_the_exact_ranking_finds():
    pytest.importorskip("usearch")
    from metajax.ranking.index import ItemIndex, recall

    learner, meta_params, state, representations = adapted("ridge", num_items=400)
    index = ItemIndex(learner, meta_params, state, representations)
    excluded = np.array([1, 5, 8, -1], np.int32)
    exact = ranker(linear_score(learner), k=10)(meta_params, state, representations, jnp.asarray(excluded))
    found, scores = index.search(meta_params, state, 10, excluded)
    assert len(found) == 10
    assert not set(found.tolist()) & {1, 5, 8}
    assert recall(found, exact.positions) >= 0.9
    expected = predicted_score(learner)(meta_params, state, representations)[found]
    np.testing.assert_allclose(scores, expected, rtol=1e-5, atol=1e-5)
    assert (np.diff(scores) <= 0).all()


def test_the_index_refuses_what_is_not_linear():
    from metajax.ranking.index import ItemIndex

    with pytest.raises(ConfigError, match="not linear"):
        ItemIndex(*adapted("cnp"))


def test_without_usearch_the_extra_is_named(monkeypatch):
    from metajax.ranking.index import ItemIndex

    monkeypatch.setitem(sys.modules, "usearch", None)
    with pytest.raises(ConfigError, match=r"pip install 'metajax\[index\]'"):
        ItemIndex(*adapted("ridge"))


def test_recall_is_of_what_should_be_found():
    from metajax.ranking.index import recall

    assert recall(np.array([3, 4]), np.array([3, 9, -1, -1])) == 0.5
    assert recall(np.array([3]), np.array([-1])) == 1.0
