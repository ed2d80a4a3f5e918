"""Cross-domain from the choices to tasks: episodes, candidates of rankings, and what the choices need."""

from dataclasses import replace

import jax
import numpy as np
import polars as pl
import pytest

from metajax.errors import ConfigError
from metajax.evaluation.baselines import training_of
from metajax.experiment import CrossDomain, DataConfig, EpisodeConfig, Experiment, MatrixFactorization, UserCold
from metajax.experiment.assembly import assemble, with_choices
from metajax.experiment.evaluating import protocol_of, setting_of
from metajax.tasks import make_buckets, sample_tasks


@pytest.fixture(scope="module")
def experiment(tmp_path_factory):
    """Twenty users who rated eight books and six pieces of music each, in a csv file."""
    rows = [(user, f"book:{one}", "book", 1 + (user + one) % 5) for user in range(20) for one in range(8)]
    rows += [(user, f"music:{one}", "music", 1 + (user * one) % 5) for user in range(20) for one in range(6)]
    path = tmp_path_factory.mktemp("data") / "two.csv"
    pl.DataFrame(rows, ["user", "item", "kind", "target"], orient="row").write_csv(path)
    return Experiment(
        data=DataConfig(source=str(path), domain="kind"),
        split=CrossDomain(),
        model=MatrixFactorization(factors=2),
        episodes=EpisodeConfig(query_rows=3, max_support=5, buckets=(), order="domain"),
    )


def test_training_episodes_cross_domains_too(experiment):
    assembly = assemble(experiment)
    names = assembly.interactions.items["item"].to_list()
    ids = {int(one): name for one, name in zip(assembly.catalogue.items["id"], names, strict=True)}
    (bucket,) = make_buckets(assembly.histories, experiment.episodes, tasks_per_step=16)
    assert bucket.users.shape == (14,)
    tasks = sample_tasks(jax.random.key(0), bucket, assembly.histories, assembly.catalogue, experiment.episodes)
    for part, domain in ((tasks.support, "book"), (tasks.query, "music")):
        shown = np.asarray(part.items["id"])[np.asarray(part.mask) > 0]
        assert len(shown)
        assert {ids[int(one)].split(":")[0] for one in shown} == {domain}


def test_the_catalogue_ranks_items_of_the_target_domain(experiment):
    assembly = assemble(experiment)
    setting = setting_of(assembly, training_of(assembly.interactions, assembly.split.train))
    ranked = assembly.interactions.items["item"].filter(pl.Series(setting.candidates["cross_domain"]))
    assert ranked.to_list() == [f"music:{one}" for one in range(6)]


def test_the_other_way_round_is_another_protocol(experiment):
    back = replace(experiment, split=CrossDomain(source="music", target="book"))
    one, other = (protocol_of(assemble(way)) for way in (experiment, back))
    assert one["name"] == other["name"]
    assert one["split"] != other["split"]


def test_two_files_of_one_name_are_told_apart_by_their_ratings(experiment, tmp_path):
    """As many ratings, users and items: only the ratings differ."""
    changed = pl.read_csv(experiment.data.source)
    changed = changed.with_columns(target=pl.col("target") % 5 + 1)
    changed.write_csv(tmp_path / "two.csv")
    other = replace(experiment, data=replace(experiment.data, source=str(tmp_path / "two.csv")))
    protocols = [protocol_of(assemble(way)) for way in (experiment, experiment, other)]
    assert protocols[0] == protocols[1]
    assert [key for key in protocols[0] if protocols[0][key] != protocols[2][key]] == ["data_sha256"]


def test_episodes_in_order_of_time_need_times(experiment):
    timed = replace(experiment, split=UserCold(), episodes=replace(experiment.episodes, order="time"))
    with pytest.raises(ConfigError, match=r"needs the times of ratings. Name their column by --data.timestamp"):
        assemble(timed)


def test_other_episodes_on_the_same_data(experiment):
    assembly = with_choices(assemble(experiment), replace(experiment, episodes=EpisodeConfig()))
    assert assembly.histories.source_rows is None


def test_episodes_across_domains_need_a_split_of_two(experiment):
    with pytest.raises(
        ConfigError, match=r'The user_cold split has no two domains for episodes.order="domain". Use Cr'
    ):
        assemble(replace(experiment, split=UserCold()))
