"""The ranking is a sort, whatever the block; nothing recompiles; a batch is its users."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from learners.worlds import linear_model

from metajax.errors import ConfigError
from metajax.learners import ridge
from metajax.ranking import adapt_to, predicted_score, ranker
from metajax.ranking.exact import GROUP, top_k


def given_scores(meta_params, state, representations):
    return state * representations


def sorted_in_numpy(scores, excluded, allowed, k):
    """Sort by score, then by position; what may not be ranked is cut, and what is missing filled up."""
    is_open = allowed & ~np.isnan(scores) & (scores != -np.inf)
    is_open[excluded[excluded >= 0]] = False
    order = [int(one) for one in np.lexsort((np.arange(len(scores)), -scores)) if is_open[one]][:k]
    missing = k - len(order)
    return order + [-1] * missing, [*scores[order].tolist(), *[-np.inf] * missing]


RANKERS = {(k, block): jax.jit(ranker(given_scores, k=k, block=block)) for k in (3, 40) for block in (None, 7, 16)}


@settings(max_examples=40)
@given(st.sampled_from(list(RANKERS)), st.integers(0, 2**32 - 1))
def test_the_ranking_is_a_sort(choice, seed):
    """With ties, excluded and forbidden items, NaN, infinities, -0.0, and lists longer than the catalogue."""
    k, _ = choice
    rng = np.random.default_rng(seed)
    scores = rng.choice([-np.inf, -1.0, -0.0, 0.0, 1.0, 2.0, np.inf, np.nan], 33)
    excluded = np.where(rng.random(6) < 0.5, -1, rng.integers(0, 33, 6)).astype(np.int32)
    allowed = rng.random(33) < 0.8
    found = RANKERS[choice]({}, jnp.ones(()), jnp.asarray(scores), jnp.asarray(excluded), jnp.asarray(allowed))
    positions, expected = sorted_in_numpy(scores, excluded, allowed, k)
    assert found.positions.tolist() == positions
    assert found.scores.tolist() == expected


@pytest.mark.parametrize("block", [None, 8 * GROUP])
def test_groups_change_nothing(block):
    """Many ties, and items that are no multiple of a group or block."""
    num_items = 9 * GROUP + 5
    scores = np.random.default_rng(0).integers(0, 400, num_items).astype(float)
    scores[[GROUP + 9, -1]] = 400.0  # the first of them is in both blocks
    excluded = np.array([-1, 3, 7 * GROUP], np.int32)
    found = jax.jit(ranker(given_scores, k=2, block=block))(
        {}, jnp.ones(()), jnp.asarray(scores), jnp.asarray(excluded)
    )
    positions, _ = sorted_in_numpy(scores, excluded, np.ones(num_items, bool), 2)
    assert found.positions.tolist() == positions


@pytest.mark.parametrize("seed", range(5))
def test_top_k_by_groups_is_a_stable_sort(seed):
    scores = np.random.default_rng(seed).integers(0, 5, 20 * GROUP + 9).astype(float)
    found, positions = jax.jit(top_k, static_argnums=1)(jnp.asarray(scores), 4)
    expected = np.argsort(-scores, kind="stable")[:4]
    np.testing.assert_array_equal(positions, expected)
    np.testing.assert_array_equal(found, scores[expected])


def test_of_equal_scores_the_lower_position_is_first_though_its_group_is_not():
    scores = np.zeros(20 * GROUP)
    scores[[GROUP, 5 * GROUP, 5 * GROUP + 1]] = 8.0, 9.0, 8.0
    _, positions = jax.jit(top_k, static_argnums=1)(jnp.asarray(scores), 3)
    assert positions.tolist() == [5 * GROUP, GROUP, 5 * GROUP + 1]


def world():
    learner = ridge(linear_model(), item_width=3)
    meta_params = learner.init(jax.random.key(0))
    representations = learner.represent(meta_params, {"about": jax.random.normal(jax.random.key(1), (20, 3))})
    return learner, meta_params, representations


def test_adapting_by_position_is_adapting_to_those_rows():
    learner, meta_params, representations = world()
    user = {"about": jnp.ones(2)}
    adapt = jax.jit(adapt_to(learner))
    one = adapt(meta_params, representations, user, jnp.array([4, 9, -1]), jnp.array([1.0, 2.0, 9.0]))
    two = adapt(meta_params, representations, user, jnp.array([4, 9]), jnp.array([1.0, 2.0]))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12), one, two)


def test_a_batch_is_its_users():
    learner, meta_params, representations = world()
    adapt, rank = adapt_to(learner), ranker(predicted_score(learner), k=5, block=8)

    def top(about, positions, target):
        state = adapt(meta_params, representations, {"about": about}, positions, target)
        return rank(meta_params, state, representations, positions)

    rng = np.random.default_rng(0)
    users = (
        jnp.asarray(rng.standard_normal((3, 2))),
        jnp.asarray(np.stack([rng.permutation(20)[:4] for _ in range(3)]).astype(np.int32)),
        jnp.asarray(rng.standard_normal((3, 4))),
    )
    batch = jax.jit(jax.vmap(top))(*users)
    for index in range(3):
        alone = jax.jit(top)(*(leaf[index] for leaf in users))
        assert batch.positions[index].tolist() == alone.positions.tolist()
        assert not set(alone.positions.tolist()) & set(users[1][index].tolist())
        np.testing.assert_allclose(batch.scores[index], alone.scores, rtol=1e-10)


def test_memory_is_bounded_by_the_block():
    learner, meta_params, representations = world()
    state = learner.begin(meta_params, {"about": jnp.ones(2)})
    many = jnp.tile(representations, (5000, 1))

    def temporary(block):
        rank = jax.jit(ranker(predicted_score(learner), k=5, block=block))
        compiled = rank.lower(meta_params, state, many, jnp.full(8, -1, jnp.int32)).compile()
        return compiled.memory_analysis().temp_size_in_bytes

    assert temporary(1000) < temporary(None) / 20


@pytest.mark.parametrize("choices", [{"k": 0}, {"block": 0}, {"block": -3}])
def test_an_empty_list_or_block_is_refused(choices):
    with pytest.raises(ConfigError, match="hold 1 item or more, got k="):
        ranker(given_scores, **choices)
