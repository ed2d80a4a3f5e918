"""Histories on disk: grouped by user, checked, and read in an order that a resumed run repeats."""

import json
import sys
from itertools import islice

import numpy as np
import pytest

from metajax.errors import ConfigError, StorageError, TaskError
from metajax.tasks import EpisodeConfig, histories, lengths, make_buckets, open_histories, write_histories
from metajax.tasks.stored import stream_rows

NUM_USERS = 6
CONFIG = EpisodeConfig(query_rows=2, max_support=4, buckets=(4,))


def world():
    rng = np.random.default_rng(0)
    users = rng.choice(NUM_USERS - 1, 60, p=[0.05, 0.1, 0.15, 0.3, 0.4])  # the last one has rated nothing
    return users, np.arange(60), users + np.arange(60) / 100


def chunks(size=17):
    users, items, target = world()
    return lambda: ((users[at : at + size], items[at : at + size], target[at : at + size]) for at in range(0, 60, size))


@pytest.fixture
def stored(tmp_path):
    return write_histories(tmp_path / "stored", chunks(), num_users=NUM_USERS)


def test_rows_are_grouped_by_user_in_the_order_written(stored):
    users, items, target = world()
    order = np.argsort(users, kind="stable")
    np.testing.assert_array_equal(stored.items, items[order])
    np.testing.assert_allclose(stored.target, target[order], rtol=1e-6)
    np.testing.assert_array_equal(lengths(stored), np.bincount(users, minlength=NUM_USERS))
    assert isinstance(stored.items, np.memmap)


def test_buckets_are_those_of_histories_in_memory(stored):
    users, items, target = world()
    resident = make_buckets(histories(users, items, target, num_users=NUM_USERS), CONFIG, tasks_per_step=4)
    for one, other in zip(make_buckets(stored, CONFIG, tasks_per_step=4), resident, strict=True):
        np.testing.assert_array_equal(one.users, other.users)
        assert (one.rows, one.tasks, one.weight) == (other.rows, other.tasks, other.weight)


@pytest.mark.parametrize("order", ["random", "time"])
def test_what_is_read_is_the_users_own_and_a_resumed_stream_reads_on(stored, order):
    pytest.importorskip("grain", reason="needs the extra stream")
    config = EpisodeConfig(query_rows=2, max_support=4, buckets=(), order=order)
    [bucket] = make_buckets(stored, config, tasks_per_step=2)
    read = list(islice(stream_rows(stored, bucket, config, seed=3, first_step=0), 20))
    for step in read:
        for user, count, items, target in zip(*step, strict=True):
            mine = stored.items[stored.offsets[user] : stored.offsets[user + 1]]
            assert count == min(len(mine), bucket.rows)
            assert len(set(items[:count])) == count
            assert set(items[:count]) <= set(mine)
            np.testing.assert_allclose(target[:count], user + items[:count] / 100, rtol=1e-6)
            assert not items[count:].any()
            assert not target[count:].any()
            if order == "time":
                first = list(mine).index(items[0])
                np.testing.assert_array_equal(items[:count], mine[first : first + count])
    passes = np.concatenate([step.user for step in read[: len(bucket.users)]])  # two of them
    np.testing.assert_array_equal(np.sort(passes), np.repeat(np.sort(bucket.users), 2))
    again = list(islice(stream_rows(stored, bucket, config, seed=3, first_step=15), 5))
    for one, other in zip(again, read[15:], strict=True):
        for left, right in zip(one, other, strict=True):
            np.testing.assert_array_equal(left, right)
    other = next(stream_rows(stored, bucket, config, seed=4, first_step=0))
    assert any((left != right).any() for left, right in zip(other, read[0], strict=True))


def test_a_folder_is_there_whole_or_not_at_all(tmp_path):
    def broken():
        yield next(chunks()())
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        write_histories(tmp_path / "stored", broken, num_users=NUM_USERS)
    assert not (tmp_path / "stored").exists()
    write_histories(tmp_path / "stored", chunks(), num_users=NUM_USERS)
    with pytest.raises(StorageError, match=r"stored exists\. Delete it or name another folder"):
        write_histories(tmp_path / "stored", chunks(), num_users=NUM_USERS)


@pytest.mark.parametrize(
    ("chunk", "told"),
    [
        ((np.array([0, 6]), np.arange(2), np.ones(2)), r"must lie in 0\.\.5, got 0\.\.6"),
        ((np.array([0]), np.arange(2), np.ones(2)), "equally long, got 1, 2, 2"),
    ],
)
def test_bad_chunks_are_refused(tmp_path, chunk, told):
    with pytest.raises(TaskError, match=told):
        write_histories(tmp_path / "stored", lambda: iter([chunk]), num_users=NUM_USERS)


def test_damage_is_found(stored, tmp_path):
    folder = tmp_path / "stored"
    items = folder / "items.npy"
    whole = items.read_bytes()
    items.write_bytes(whole[:-4] + b"\x00\x00\x00\x01")
    open_histories(folder)
    with pytest.raises(StorageError, match=r"items\.npy"):
        open_histories(folder, verify=True)
    items.write_bytes(whole[:-4])
    with pytest.raises(StorageError, match="is damaged"):
        open_histories(folder)
    np.save(items, np.zeros(3, np.int32))
    with pytest.raises(StorageError, match=r"holds int32 \(3,\), wanted int32 \(60,\)"):
        open_histories(folder)
    (folder / "histories.json").write_text(json.dumps({"schema": "other"}), encoding="utf-8")
    with pytest.raises(StorageError, match="holds no histories that this metajax reads"):
        open_histories(folder)


def test_without_grain_the_extra_is_named(stored, monkeypatch):
    monkeypatch.setitem(sys.modules, "grain", None)
    [bucket] = make_buckets(stored, EpisodeConfig(query_rows=2, max_support=4, buckets=()), tasks_per_step=2)
    with pytest.raises(ConfigError, match=r"pip install 'metajax\[stream\]'"):
        stream_rows(stored, bucket, CONFIG, seed=0, first_step=0)
