"""Fixed tasks on their way to the device."""

import numpy as np

from metajax.tasks import TaskSet, batches, catalogue


def task_set(lengths, width=10):
    num = len(lengths)
    mask = (np.arange(width) < np.asarray(lengths)[:, None]).astype(np.float32)
    items = np.arange(num * width, dtype=np.int32).reshape(num, width) % 7
    query = np.ones((num, 2), np.float32)
    draw, user = np.zeros(num, np.int32), np.arange(num, dtype=np.int32)
    return TaskSet("toy", draw, user, items, mask * 3, mask, items[:, :2], query, query)


def test_every_task_comes_once_in_a_bucket_wide_enough():
    lengths = [0, 3, 8, 9, 10, 2, 5]
    tasks = task_set(lengths)
    seen = []
    features = catalogue({"me": np.arange(7)}, {"id": np.arange(7)})
    for positions, task in batches(tasks, features, widths=(4, 8), batch_size=2):
        for row, position in enumerate(positions):
            seen.append(int(position))
            assert task.user["me"][row] == position
            assert task.support.mask[row].sum() == lengths[position]
            have = lengths[position]
            np.testing.assert_array_equal(task.support.items["id"][row][:have], tasks.support_items[position, :have])
            assert task.support.mask.shape[1] == (4 if have <= 4 else 8 if have <= 8 else 10)
    assert sorted(seen) == list(range(7))


def test_few_ratings_of_any_number_have_one_shape():
    features = catalogue({"me": np.arange(40)}, {"id": np.arange(7)})
    tasks = task_set([10] * 40)
    shapes = set()
    for shots in (0, 1, 3, 5):
        for positions, task in batches(tasks.k_shot(shots), features):
            shapes.add(task.support.mask.shape)
            np.testing.assert_array_equal(task.support.mask.sum(axis=1), shots)
            np.testing.assert_array_equal(
                task.support.items["id"][: len(positions), :shots], tasks.support_items[:, :shots]
            )
    assert shapes == {(64, 8)}


def test_k_shot_keeps_the_first_rows():
    tasks = task_set([0, 3, 10])
    np.testing.assert_array_equal(tasks.k_shot(2).support_mask.sum(axis=1), [0, 2, 2])
    np.testing.assert_array_equal(tasks.k_shot(2).support_items, tasks.support_items[:, :2])
    np.testing.assert_array_equal(tasks.k_shot(0).support_mask.sum(axis=1), 0)
    assert tasks.k_shot(0).support_mask.shape == (3, 1)
    assert len(tasks.take(np.array([2, 0]))) == 2
