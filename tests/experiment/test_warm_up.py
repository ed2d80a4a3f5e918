"""Item warm-up from the choices to predictions: the roles are swapped, and no new item has an id of its own."""

from dataclasses import replace
from itertools import pairwise

import jax
import numpy as np
import pytest

from metajax.errors import ConfigError
from metajax.evaluation.predict import predictor
from metajax.evaluation.protocols import lay_out
from metajax.experiment import DataConfig, Experiment, MatrixFactorization, MetaEmbedding, Mwuf, WarmUp
from metajax.experiment.assembly import assemble
from metajax.experiment.summary import summary

EXPERIMENT = Experiment(
    data=DataConfig(identity=("user", "item")),
    split=WarmUp(old_rows=100, min_rows=40, batch_rows=10),
    model=MatrixFactorization(factors=2),
)


@pytest.mark.usefixtures("as_users_run")
@pytest.mark.parametrize("learner", [MetaEmbedding(batch_rows=10), Mwuf(batch_rows=10)])
def test_a_new_item_is_predicted_from_its_first_batches(learner):
    assembly = assemble(replace(EXPERIMENT, learner=learner))
    assert summary(assembly).endswith("users and items have changed places.")
    ids = next(one for one in assembly.encoding.encoders if one.feature.of == "user" and one.feature.name == "id")
    assert set(ids.values) == {str(one) for one in assembly.split.train["user"].unique()}
    tasks = lay_out(assembly.split.scenarios["warm_up"], assembly.interactions).take(np.arange(8))
    assert not np.asarray(assembly.catalogue.users["id"])[tasks.user].any()
    learner = assembly.parts.learner
    meta_params = learner.init(jax.random.key(0))
    phases = [predictor(learner)(meta_params, assembly.catalogue, tasks.k_shot(k)).mean for k in (0, 10, 20, 30)]
    assert all(np.isfinite(phase).all() for phase in phases)
    assert all(np.abs(one - other).max() > 0 for one, other in pairwise(phases))


def test_without_own_ids_a_warm_up_learner_says_which_choice_is_missing():
    choices = replace(EXPERIMENT, data=DataConfig(identity=("item",)), learner=Mwuf())
    with pytest.raises(ConfigError, match=r"no id. Give it one: identity=\('user', 'item'\) in the data's choices"):
        assemble(choices)
