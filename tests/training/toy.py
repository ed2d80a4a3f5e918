"""A toy run: a linear world of few users, small enough to compile in a second, and a script that trains it."""

import sys
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import optax

from metajax.learners import anil
from metajax.losses import squared_error
from metajax.tasks import EpisodeConfig, catalogue, histories
from metajax.training.loop import TrainingConfig, train
from metajax.types import Model

STEPS = 40


def model() -> Model:
    def init(key):
        del key
        return {
            "user": {},
            "item": {},
            "head": {"kernel": jnp.zeros(3, jnp.float32), "bias": jnp.zeros((), jnp.float32)},
        }

    return Model(
        init,
        lambda params, user: user,
        lambda params, items: items["about"],
        lambda params, user, items: items @ params["kernel"] + params["bias"],
    )


def data(seed=0, num_users=12, num_items=30):
    rng = np.random.default_rng(seed)
    about = rng.normal(size=(num_items, 3)).astype(np.float32)
    users = np.repeat(np.arange(num_users), 10)
    items = np.concatenate([rng.permutation(num_items)[:10] for _ in range(num_users)])
    target = about[items] @ np.array([0.5, -1.0, 0.3], np.float32)
    return histories(users, items, target, num_users=num_users), catalogue({}, {"about": about})


def run(folder, *, learner=None, optimizer=None, validate="distance", resume=False, trace=None, **config):
    rows, features = data()
    kernel = jnp.array([0.5, -1.0, 0.3])
    measure = {"distance": lambda m: float(jnp.abs(m["model"]["head"]["kernel"] - kernel).max()), None: None}
    return train(
        learner or anil(model(), squared_error(), inner_step_size=0.05),
        optimizer or optax.adam(0.05),
        histories=rows,
        catalogue=features,
        episodes=EpisodeConfig(query_rows=3, max_support=5, min_support=5, buckets=()),
        config=TrainingConfig(**({"outer_steps": STEPS, "tasks_per_step": 4, "validate_every": 5} | config)),
        validate=measure[validate] if isinstance(validate, str | None) else validate,
        folder=Path(folder),
        seed=3,
        resume=resume,
        show_progress=False,
        trace=trace,
    )


if __name__ == "__main__":
    run(sys.argv[1], resume=True)
