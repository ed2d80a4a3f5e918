"""The table of all learners: the conformance suite runs over it, so a new learner is tested by adding a line."""

import jax
import jax.numpy as jnp
import numpy as np
from learners.worlds import contextual_model, identified_model, linear_model, says_of_rated, wider_model

from metajax.learners import (
    UptakeStart,
    alfa,
    anil,
    attentive_neural_process,
    autoencoder,
    bayesian_linear,
    boil,
    cavia,
    cnp,
    ensemble,
    gaussian_process,
    imaml,
    in_units,
    joint,
    maml,
    mamlpp,
    mamo,
    melu,
    meta_curvature,
    meta_embedding,
    meta_sgd,
    minibatch_prox,
    mlr,
    mwuf,
    paths,
    prototypes,
    reptile,
    ridge,
    student_t,
    tanp,
    uptake,
)
from metajax.losses import squared_error


def numbered_autoencoder(**choices):
    """Return an autoencoder over sixteen items, their catalogue, and where the items of a random task stand in it.

    A row whose items have a "number" stands there; any other somewhere.
    """
    catalogue = {"about": jax.random.normal(jax.random.key(7), (16, 3))}

    def position(items):
        return items.get("number", (1e4 * jnp.abs(items["about"][:, 0])).astype(jnp.int32) % 16)

    learner = autoencoder(
        linear_model(),
        encoder=says_of_rated(says=6),
        item_width=3,
        catalogue=catalogue,
        position=position,
        middle=3.0,
        **choices,
    )
    return learner, catalogue, position


def numbered_uptake(**choices):
    """Return a regression of uptake over those sixteen items, and all else that `numbered_autoencoder` returns."""
    _, catalogue, position = numbered_autoencoder()
    catalogue = catalogue | {"number": jnp.arange(16, dtype=jnp.int32)}
    random = np.random.default_rng(3)
    level, says, log_noise = random.normal(size=17), random.uniform(size=17), random.normal(size=17)
    start = UptakeStart(level, random.normal(size=(17, 3)), says, log_noise, size=0.7)
    learner = uptake(wider_model(), start=start, catalogue=catalogue, position=position, **{"middle": 3.0, **choices})
    return learner, catalogue, position


LEARNERS = {
    "uptake": lambda: numbered_uptake()[0],
    "autoencoder": lambda: numbered_autoencoder()[0],
    "maml": lambda: maml(linear_model(), squared_error(), inner_steps=2, inner_step_size=0.05),
    "fomaml": lambda: maml(linear_model(), squared_error(), inner_steps=2, inner_step_size=0.05, first_order=True),
    "maml_learned_step": lambda: maml(linear_model(), squared_error(), inner_step_size=0.05, learn_step_size=True),
    "anil": lambda: anil(linear_model(), squared_error(), inner_steps=2, inner_step_size=0.05),
    "melu": lambda: melu(linear_model(), squared_error(), inner_step_size=0.05),
    "mamo": lambda: mamo(
        linear_model(),
        squared_error(),
        user_width=3,
        task_matrix=paths("head/kernel"),
        inner_steps=2,
        inner_step_size=0.05,
    ),
    "reptile": lambda: reptile(linear_model(), squared_error(), inner_steps=3, inner_step_size=0.05, adam=False),
    "boil": lambda: boil(linear_model(), squared_error(), inner_steps=2, inner_step_size=0.05),
    "meta_sgd": lambda: meta_sgd(linear_model(), squared_error()),
    "mamlpp": lambda: mamlpp(
        linear_model(), squared_error(), inner_steps=2, inner_step_size=0.05, fast=paths("head/*")
    ),
    "imaml": lambda: imaml(linear_model(), squared_error(), inner_steps=10, inner_step_size=0.05, fast=paths("head/*")),
    "mlr": lambda: mlr(linear_model(), squared_error(), inner_steps=3, inner_step_size=0.05),
    "minibatch_prox": lambda: minibatch_prox(linear_model(), squared_error(), inner_step_size=0.05),
    "cavia": lambda: cavia(contextual_model(), squared_error(), inner_step_size=0.1),
    "alfa": lambda: alfa(linear_model(), squared_error(), inner_steps=2, inner_step_size=0.05, fast=paths("head/*")),
    "meta_curvature": lambda: meta_curvature(linear_model(), squared_error(), inner_steps=2, inner_step_size=0.05),
    "ridge": lambda: ridge(linear_model(), item_width=3),
    "bayesian_linear": lambda: bayesian_linear(linear_model(), item_width=3),
    "student_t": lambda: student_t(
        linear_model(),
        noise_model=linear_model(),
        item_width=3,
        rated=says_of_rated(),
        training_rows=100,
        max_support=16,
    ),
    "in_units": lambda: in_units(ridge(linear_model(), item_width=3), 20.0),
    "ensemble": lambda: ensemble(ridge(linear_model(), item_width=3), 2),
    "gaussian_process": lambda: gaussian_process(linear_model(), item_width=3, max_support=8),
    "gaussian_process_linear": lambda: gaussian_process(linear_model(), item_width=3, max_support=8, kernel="linear"),
    "prototypes": lambda: prototypes(linear_model(), squared_error(), item_width=3, relevant=3.0),
    "joint": lambda: joint(linear_model(), squared_error()),
    "joint_fine_tuned": lambda: joint(linear_model(), squared_error(), inner_steps=2, inner_step_size=0.05),
    "meta_embedding": lambda: meta_embedding(identified_model(), squared_error(), content_width=3),
    "mwuf": lambda: mwuf(identified_model(), squared_error(), content_width=3, rater_width=3),
    "cnp": lambda: cnp(linear_model(), squared_error(), user_width=3, item_width=3, width=8),
    "tanp": lambda: tanp(
        linear_model(), squared_error(), user_width=3, item_width=3, width=8, latent_width=4, num_clusters=3
    ),
    "attentive_neural_process": lambda: attentive_neural_process(
        linear_model(), squared_error(), user_width=3, item_width=3, width=8, num_heads=2, max_support=8
    ),
}

AMORTISED = ["cnp", "tanp", "attentive_neural_process"]
"""Learners that know nothing about adapting before they are trained to; `test_neural_process.py` trains them."""
ADAPTS = [name for name in LEARNERS if name not in ("joint", "prototypes", "autoencoder", "uptake", *AMORTISED)]
"""Learners whose squared error on the support falls untrained; of those that are missing a ranking is promised."""
EXACT_STREAM = [name for name, make in LEARNERS.items() if make().streaming == "exact"]
ADAPTS_ON_QUERY = ["reptile", "minibatch_prox", "tanp", "student_t"]
"""Learners whose outer loss adapts on the query's ratings too: by their paper, or as a marginal likelihood."""
SURROGATE = ["fomaml", "reptile", "mamlpp", "imaml", "minibatch_prox", "mamo", "meta_embedding", "mwuf", "tanp"]
"""Learners whose outer gradient is, by their paper, not the derivative of their outer loss."""
