"""A kept program is found by all that it is made of: by the same choices and data, and by no others."""

from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from experiment import tiny

from metajax.experiment import DataConfig, Experiment, learners
from metajax.experiment.assembly import assemble
from metajax.experiment.traces import trace_places
from metajax.tasks import EpisodeConfig

FOLDER = Path("programs")


@pytest.fixture(scope="module")
def assembly(tmp_path_factory):
    path = tmp_path_factory.mktemp("traces") / "ratings.csv"
    tiny.write_ratings(path)
    return assemble(
        Experiment(name="tiny", data=DataConfig(source=str(path), user="person", item="thing", target="stars"))
    )


def places(made, folder=FOLDER):
    return trace_places(made.experiment, made.encoding.columns, made.offset, made.levels, folder)


def place(made):
    return places(made)("outer steps")


def test_another_name_or_seed_finds_it_and_another_choice_does_not(assembly):
    def chosen(**choices):
        return replace(assembly, experiment=replace(assembly.experiment, **choices))

    here = place(assembly)
    assert here.parent == FOLDER
    assert place(chosen(name="other", seeds=(4, 5))) == here
    others = [
        chosen(learner=learners.Anil()),
        chosen(episodes=EpisodeConfig(query_rows=9)),
        replace(assembly, offset=assembly.offset + 1e-9),
        replace(assembly, levels=(*assembly.levels, 9.0)),
        replace(assembly, encoding=replace(assembly.encoding, rows=7)),
    ]
    assert len({here, *map(place, others)}) == 1 + len(others)


def test_nothing_is_kept_of_code_that_is_not_ours(assembly):
    @dataclass(frozen=True)
    class Mine(learners.Ridge):
        pass

    @dataclass(frozen=True)
    class Ridge(learners.Ridge):  # called as ours is
        pass

    for part in (Mine(), Ridge()):
        assert places(replace(assembly, experiment=replace(assembly.experiment, learner=part))) is None
    assert places(assembly, folder=None) is None
