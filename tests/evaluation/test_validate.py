"""The validation value of learners that rank the catalogue, by hand."""

import numpy as np
import pytest

from metajax.evaluation.validate import catalogue_validation_of
from metajax.tasks import TaskSet, taskset


@pytest.mark.parametrize("cells", [2**27, 6], ids=["at once", "a user at a time"])
def test_catalogue_validation_by_hand(monkeypatch, cells):
    """Two users of two draws over six items; item 5 is no candidate, and what is in the support is not ranked."""
    support, query = np.array([[0, 1], [2, 0], [3, 4], [3, 4]]), np.array([[2, 3], [1, 4], [0, 1], [0, 1]])
    tasks = TaskSet(
        name="validation",
        draw=np.array([0, 0, 1, 1], np.int32),
        user=np.array([0, 1, 0, 1], np.int32),
        support_items=support.astype(np.int32),
        support_target=np.full((4, 2), 5, np.float32),
        support_mask=np.array([[1, 1], [1, 0], [1, 1], [1, 1]], np.float32),
        query_items=query.astype(np.int32),
        query_target=np.array([[5, 2], [4, 5], [5, 5], [5, 5]], np.float32),
        query_mask=np.ones((4, 2), np.float32),
    )
    monkeypatch.setattr(taskset, "MOST_CELLS", cells)
    candidates = np.array([True] * 5 + [False])
    asked = []

    def score(one):
        asked.append(one.support_items.shape)
        return np.tile(np.array([9.0, 8.0, 1.0, 3.0, 2.0, 99.0]), (len(one), 1))

    value = catalogue_validation_of(tasks, shots=(1,), relevant=4.0, candidates=candidates)(score)
    # user 0: of 2, 3 and 4 the liked item 2 comes third; user 1: of 0, 1, 3 and 4 the liked 1 and 4 come second, fourth
    third = 1 / np.log2(4)
    second_and_fourth = (1 / np.log2(3) + 1 / np.log2(5)) / (1 + 1 / np.log2(3))
    np.testing.assert_allclose(value, 1 - (third + second_and_fourth) / 2, rtol=1e-12)
    assert asked == ([(2, 2), (2, 1)] if cells > 6 else [(1, 2), (1, 2), (1, 1), (1, 1)])
