"""The number of tasks mapped at once: chosen by the clock, and the same gradient whatever is chosen."""

import itertools

import pytest
from training import toy

from metajax.learners import anil
from metajax.losses import squared_error
from metajax.tasks import EpisodeConfig
from metajax.training import autotune
from metajax.training.autotune import choose_task_chunk
from metajax.training.mesh import make_mesh

pytestmark = pytest.mark.usefixtures("as_users_run")


@pytest.mark.parametrize(
    ("seconds", "chosen"),
    [
        ({None: 1.0, 16: 0.5, 32: 0.8}, 16),
        ({None: 1.0, 16: 0.97, 32: 2.0}, None),  # not worth it
        ({None: 1.0, 16: 3.0, 32: 2.0}, None),
    ],
)
def test_the_fastest_is_taken_if_it_is_worth_it(seconds, chosen, monkeypatch):
    rows, features = toy.data()
    clock, ticks = itertools.cycle(seconds.values()), [0.0]

    def perf_counter():
        """Let every second call be as late as the candidate's turn takes."""
        perf_counter.calls += 1
        if perf_counter.calls % 2 == 0:
            ticks[0] += next(clock)
        return ticks[0]

    perf_counter.calls = 0
    monkeypatch.setattr(autotune, "perf_counter", perf_counter)
    found = choose_task_chunk(
        anil(toy.model(), squared_error(), inner_step_size=0.05),
        histories=rows,
        catalogue=features,
        episodes=EpisodeConfig(query_rows=3, max_support=5, buckets=()),
        tasks_per_step=40,
        mesh=make_mesh(),
        rounds=3,
    )
    assert found.task_chunk == chosen
    assert found.milliseconds == {str(chunk or "all"): pytest.approx(1e3 * one) for chunk, one in seconds.items()}
