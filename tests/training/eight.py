"""Run by test_mesh.py under eight forced CPU devices: trains learners on several meshes, prints what they reach."""

import json
import sys
from pathlib import Path

import jax
import numpy as np
import optax

from metajax.data.columns import Column
from metajax.experiment import MatrixFactorization, Melu, Ridge, SquaredError, TwoTower
from metajax.tasks import EpisodeConfig, catalogue, histories
from metajax.training.loop import TrainingConfig, train
from metajax.training.mesh import LARGE_TABLE, make_mesh, state_shardings

NUM_ITEMS = LARGE_TABLE - 1  # and the row of unknown items: two shards of equal size
MESHES = {
    "ridge": (("tasks=8", None), ("tasks=4,model=2", None)),
    "melu": (("tasks=4,model=2", None), ("tasks=4,model=2", 2)),
}


def world():
    """Forty users, whose histories fall into two buckets of 9 and 7 tasks: neither divides by the devices."""
    rng = np.random.default_rng(0)
    counts = np.where(np.arange(40) < 22, 8, 16)
    users = np.repeat(np.arange(40), counts)
    items = np.concatenate([rng.permutation(NUM_ITEMS)[:count] for count in counts])
    quality = rng.normal(size=NUM_ITEMS)
    features = {"id": np.arange(1, NUM_ITEMS + 1, dtype=np.int32)}
    people = {"group": np.arange(40, dtype=np.int32) % 3}
    return histories(users, items, 3 + quality[items], num_users=40), catalogue(people, features)


def learners():
    columns = (Column("id", "item", "category", LARGE_TABLE), Column("group", "user", "category", 3))
    loss = SquaredError().build(())
    factors = MatrixFactorization(factors=4).build(columns, outputs=1, offset=3.0)
    towers = TwoTower(embedding_dim=4, hidden=(8,)).build(columns, outputs=1, offset=3.0)
    return {"ridge": Ridge().build(factors, loss, columns), "melu": Melu().build(towers, loss, columns)}


def run(learner, folder, **config):
    rows, features = world()
    best = train(
        learner,
        optax.adam(1e-2),
        histories=rows,
        catalogue=features,
        episodes=EpisodeConfig(query_rows=4, max_support=12, buckets=(8,)),
        config=TrainingConfig(outer_steps=6, tasks_per_step=16, validate_every=3, **config),
        validate=None,
        folder=folder,
        seed=3,
        show_progress=False,
    )
    return [np.asarray(leaf) for leaf in jax.tree.leaves(best.meta_params)]


def sharded_leaves(learner):
    """Count the leaves of the state that are sharded, and the rows that a device holds of each."""
    state = jax.eval_shape(lambda key: (learner.init(key), optax.adam(1.0).init(learner.init(key))), jax.random.key(0))
    shardings = jax.tree.leaves(state_shardings(make_mesh("tasks=4,model=2"), state))
    shapes = zip(jax.tree.leaves(state), shardings, strict=True)
    return [one.shard_shape(leaf.shape)[0] for leaf, one in shapes if not one.is_fully_replicated]


if __name__ == "__main__":
    assert len(jax.devices()) == 8
    found = {}
    for name, learner in learners().items():
        folder = Path(sys.argv[1]) / name
        one = run(learner, folder / "one", mesh="tasks=1")
        found[name] = {"sharded": sharded_leaves(learner), "moved": max(float(np.abs(leaf).max()) for leaf in one)}
        for mesh, chunk in MESHES[name]:
            many = run(learner, folder / f"{mesh} {chunk}", mesh=mesh, task_chunk=chunk)
            found[name][f"{mesh} {chunk}"] = max(float(np.abs(a - b).max()) for a, b in zip(one, many, strict=True))
    print(json.dumps(found))
