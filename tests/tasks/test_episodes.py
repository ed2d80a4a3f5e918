"""Episode sampling: masks, sizes, disjointness, order, and users of every length."""

import sys
from functools import cache

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metajax.errors import ConfigError, TaskError
from metajax.tasks import EpisodeConfig, catalogue, histories, lengths, make_buckets, sample_tasks

LENGTHS = [0, 1, 2, 5, 8, 30]
NUM_ITEMS = 40


def world(order="random"):
    """Users of every length; an item's feature is its own position, and a target is user + item / 100."""
    users = np.repeat(np.arange(len(LENGTHS)), LENGTHS)
    items = np.concatenate([np.random.default_rng(u).permutation(NUM_ITEMS)[:n] for u, n in enumerate(LENGTHS)])
    target = users + items / 100
    time = np.arange(len(users))[::-1]  # later rows come first in the file
    features = catalogue({"me": np.arange(len(LENGTHS))}, {"id": np.arange(NUM_ITEMS)})
    rows = histories(users, items, target, num_users=len(LENGTHS), timestamp=time if order == "time" else None)
    return features, rows


@cache
def compiled(config, order):
    features, rows = world(order)
    buckets = make_buckets(rows, config, tasks_per_step=64)
    return buckets, jax.jit(lambda key: [sample_tasks(key, bucket, rows, features, config) for bucket in buckets])


def draw(config, *, order="random", seed=0):
    buckets, sample = compiled(config, order)
    return list(zip(buckets, sample(jax.random.key(seed)), strict=True))


CONFIG = EpisodeConfig(query_rows=3, max_support=9, min_rows=1, buckets=(4, 8))


def test_lengths_and_empty_histories():
    _, rows = world()
    np.testing.assert_array_equal(lengths(rows), LENGTHS)


def test_every_row_is_the_users_own_and_none_is_in_both():
    for bucket, tasks in draw(CONFIG):
        for index in range(bucket.tasks):
            user = int(tasks.user["me"][index])
            support = set(np.asarray(tasks.support.items["id"][index])[np.asarray(tasks.support.mask[index]) > 0])
            query = set(np.asarray(tasks.query.items["id"][index])[np.asarray(tasks.query.mask[index]) > 0])
            assert not support & query
            assert len(query) == min(3, max(1, min(LENGTHS[user], bucket.rows) // 2))
            for examples in (tasks.support, tasks.query):
                expected = user + examples.items["id"][index] / 100
                real = np.asarray(examples.mask[index]) > 0
                np.testing.assert_allclose(examples.target[index][real], expected[real], rtol=1e-6)


def test_a_user_with_one_rating_is_judged_on_it_with_an_empty_support():
    shortest, tasks = draw(CONFIG)[0]
    one = np.asarray(tasks.user["me"]) == 1
    assert one.any()
    assert shortest.rows == 4
    assert tasks.support.mask[one].sum() == 0
    np.testing.assert_array_equal(tasks.query.mask[one].sum(axis=1), 1)


def test_an_empty_user_gives_no_task():
    for _, tasks in draw(CONFIG):
        assert 0 not in np.asarray(tasks.user["me"])


def test_a_user_longer_than_the_largest_bucket_gives_a_random_part():
    """Over many draws every one of the 30 rows turns up, though a task holds 12."""
    seen = set()
    for seed in range(3):
        bucket, tasks = draw(CONFIG, seed=seed)[-1]
        assert bucket.rows == 12
        for examples in (tasks.support, tasks.query):
            seen |= set(np.asarray(examples.items["id"])[np.asarray(examples.mask) > 0].tolist())
    assert len(seen) == 30


def test_support_sizes_fill_their_range():
    config = EpisodeConfig(query_rows=2, min_support=1, max_support=4, min_rows=30, buckets=())
    (_, tasks), *_ = draw(config)
    assert set(np.asarray(tasks.support.mask.sum(axis=1), int).tolist()) == {1, 2, 3, 4}


def test_by_time_the_support_comes_before_the_query():
    """Rows were stored newest first, so that an earlier row has a larger storage position."""
    config = EpisodeConfig(query_rows=3, max_support=9, min_rows=5, buckets=(), order="time")
    _, rows = world("time")
    position = {}
    offsets = np.asarray(rows.offsets)
    for user in range(len(LENGTHS)):
        for place, item in enumerate(np.asarray(rows.items)[offsets[user] : offsets[user + 1]]):
            position[user, int(item)] = place
    users = np.repeat(np.arange(len(LENGTHS)), LENGTHS)
    assert position[5, int(np.asarray(rows.items)[offsets[5]])] == 0
    assert users.size == len(position)
    (_, tasks), *_ = draw(config, order="time")
    for index in range(len(tasks.user["me"])):
        user = int(tasks.user["me"][index])

        def places(examples, index=index, user=user):
            real = np.asarray(examples.mask[index]) > 0
            return [position[user, int(item)] for item in np.asarray(examples.items["id"][index])[real]]

        support, query = places(tasks.support), places(tasks.query)
        assert query == sorted(query)
        assert not support or max(support) < min(query)


DOMAINS = [(0, 3), (4, 0), (1, 1), (6, 2), (20, 9)]  # rows of each user in the source and in the target domain


def two_domains():
    """Item 100 u + i is row i of user u; in the file the domains are mixed."""
    rows = [(u, 100 * u + i, i >= source) for u, (source, target) in enumerate(DOMAINS) for i in range(source + target)]
    users, items, in_target = np.array(rows).T[:, np.random.default_rng(0).permutation(len(rows))]
    return histories(users, items, items * 1.0, num_users=len(DOMAINS), in_target=in_target.astype(bool))


def test_by_domain_a_users_source_rows_are_stored_first():
    rows = two_domains()
    np.testing.assert_array_equal(rows.source_rows, [source for source, _ in DOMAINS])
    np.testing.assert_array_equal(lengths(rows), [source + target for source, target in DOMAINS])
    for user, (source, target) in enumerate(DOMAINS):
        own = np.asarray(rows.items)[int(rows.offsets[user]) : int(rows.offsets[user + 1])] - 100 * user
        assert sorted(own[:source]) == list(range(source))
        assert sorted(own[source:]) == list(range(source, source + target))


def test_by_domain_the_support_is_of_the_source_and_the_query_of_the_target():
    """Sizes are exact; over many draws every row turns up, and a user without target rows gives no task."""
    rows = two_domains()
    config = EpisodeConfig(query_rows=3, max_support=5, min_support=5, min_rows=1, buckets=(6,), order="domain")
    features = catalogue({"me": np.arange(len(DOMAINS))}, {"id": np.arange(100 * len(DOMAINS))})
    buckets = make_buckets(rows, config, tasks_per_step=128)
    assert [bucket.users.tolist() for bucket in buckets] == [[0, 2], [3, 4]]
    seen = {user: (set(), set()) for user in range(len(DOMAINS))}
    sample = jax.jit(lambda key: [sample_tasks(key, bucket, rows, features, config) for bucket in buckets])
    for seed in range(2):
        for bucket, tasks in zip(buckets, sample(jax.random.key(seed)), strict=True):
            for index in range(bucket.tasks):
                user = int(tasks.user["me"][index])
                source, target = DOMAINS[user]
                support, query = (
                    (np.asarray(part.items["id"][index]) - 100 * user)[np.asarray(part.mask[index]) > 0].tolist()
                    for part in (tasks.support, tasks.query)
                )
                assert len(set(support)) == len(support) == min(source, 5, bucket.rows - 3)
                assert len(set(query)) == len(query) == min(target, 3)
                assert all(0 <= row < source for row in support)
                assert all(source <= row < source + target for row in query)
                np.testing.assert_array_equal(tasks.query.target[index][: len(query)], np.array(query) + 100 * user)
                seen[user][0].update(support)
                seen[user][1].update(query)
    for user in (0, 2, 3, 4):
        assert (len(seen[user][0]), len(seen[user][1])) == DOMAINS[user]


def test_domains_that_are_not_known_or_not_there_are_told():
    config = EpisodeConfig(min_rows=2, order="domain")
    with pytest.raises(TaskError, match="need histories that know them: give `in_target`"):
        make_buckets(world()[1], config, tasks_per_step=4)
    rows = histories(np.zeros(3, int), np.arange(3), np.ones(3), num_users=1, in_target=np.zeros(3, bool))
    with pytest.raises(TaskError, match="No user has 2 ratings or more, one of them in the target domain"):
        make_buckets(rows, config, tasks_per_step=4)


def test_bucket_weights_are_shares_of_users():
    buckets = [bucket for bucket, _ in draw(CONFIG)]
    np.testing.assert_allclose(sum(bucket.weight for bucket in buckets), 1)
    assert [bucket.rows for bucket in buckets] == [4, 8, 12]
    np.testing.assert_allclose([bucket.weight for bucket in buckets], [2 / 5, 2 / 5, 1 / 5])


def test_the_same_key_draws_the_same_tasks_and_another_key_others():
    first, same, other = (draw(CONFIG, seed=seed)[-1][1] for seed in (0, 0, 1))
    for one, two in zip(jax.tree.leaves(first), jax.tree.leaves(same), strict=True):
        np.testing.assert_array_equal(one, two)
    assert not jnp.array_equal(first.query.items["id"], other.query.items["id"])


def test_what_makes_no_sense_is_refused():
    _, rows = world()
    with pytest.raises(TaskError, match=r"No user has 99 ratings or more \(the longest history has 30\)"):
        make_buckets(rows, EpisodeConfig(min_rows=99), tasks_per_step=4)
    with pytest.raises(ConfigError, match="query_rows and min_rows must be 1 or more, got 0"):
        EpisodeConfig(query_rows=0)
    with pytest.raises(ConfigError, match="0 <= min_support <= max_support, got 5 and 4"):
        EpisodeConfig(min_support=5, max_support=4)
    with pytest.raises(TaskError, match="equally long, got 2, 1, 2"):
        histories(np.zeros(2, int), np.zeros(1, int), np.zeros(2), num_users=1)
    with pytest.raises(TaskError, match=r"must lie in 0\.\.0, got 0\.\.3"):
        histories(np.array([0, 3]), np.zeros(2, int), np.zeros(2), num_users=1)


def test_a_bucket_of_fewer_than_two_tasks_joins_the_next():
    """Of users with 0, 1, 2, 5, 8 and 30 rows two fifths have up to 4, two fifths up to 8."""
    _, rows = world()
    of = lambda tasks, **config: [  # noqa: E731
        (bucket.rows, bucket.tasks, sorted(bucket.users.tolist()))
        for bucket in make_buckets(rows, EpisodeConfig(**{"min_rows": 1} | config), tasks_per_step=tasks)
    ]
    sizes = {"query_rows": 3, "max_support": 9, "buckets": (4, 8)}
    assert of(5, **sizes) == [(4, 2, [1, 2]), (8, 2, [3, 4]), (12, 1, [5])]
    assert of(4, **sizes) == [(8, 3, [1, 2, 3, 4]), (12, 1, [5])]  # the longest may have one
    assert of(2, **sizes) == [(12, 2, [1, 2, 3, 4, 5])]
    assert of(2, query_rows=10, max_support=90, buckets=(4, 8, 32)) == [(32, 2, [1, 2, 3, 4, 5])]  # nobody has more


def test_users_are_drawn_as_often_as_they_have_ratings(monkeypatch):
    """So that each rating counts alike, though a task's loss is a mean over its rows. Buckets weigh by rows, of 46."""
    _, rows = world()
    once, often = (
        make_buckets(rows, EpisodeConfig(query_rows=3, max_support=9, min_rows=1, buckets=(4, 8), by_rows=by_rows),
                     tasks_per_step=70)
        for by_rows in (False, True)
    )  # fmt: skip
    drawn = [dict(zip(*np.unique(one.users, return_counts=True), strict=True)) for one in often]
    assert drawn == [{1: 1, 2: 2}, {3: 5, 4: 8}, {5: 30}]
    assert [one.weight for one in often] == pytest.approx([3 / 46, 13 / 46, 30 / 46])
    assert [one.tasks for one in often] == [5, 20, 46]
    assert [one.weight for one in once] == pytest.approx([2 / 5, 2 / 5, 1 / 5])
    monkeypatch.setattr(sys.modules[EpisodeConfig.__module__], "MOST_DRAWN", 23)
    about = make_buckets(rows, EpisodeConfig(query_rows=3, max_support=9, min_rows=1, by_rows=True), tasks_per_step=9)
    assert dict(zip(*np.unique(about[0].users, return_counts=True), strict=True)) == {1: 1, 2: 1, 3: 2, 4: 4, 5: 15}
