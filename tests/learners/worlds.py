"""Tiny models and tasks with known structure, shared by the learners' tests."""

import jax
import jax.numpy as jnp

from metajax.types import Examples, Model, Task


def linear_model(width: int = 3, user_width: int = 2) -> Model:
    """Score = bias + u^T A v, with plain arrays: one leaf a part, so that derivations stay short."""

    def init(key):
        keys = jax.random.split(key, 3)
        return {
            "user": {"kernel": 0.5 * jax.random.normal(keys[0], (user_width, width))},
            "item": {"kernel": 0.5 * jax.random.normal(keys[1], (width, width))},
            "head": {"kernel": 0.5 * jax.random.normal(keys[2], (width,)), "bias": jnp.zeros(())},
        }

    def score(params, user_vector, item_vectors):
        return params["bias"] + item_vectors @ (params["kernel"] + user_vector)

    return Model(
        init,
        lambda params, user: user["about"] @ params["kernel"],
        lambda params, items: items["about"] @ params["kernel"],
        score,
    )


def says_of_rated(width: int = 3, user_width: int = 2, *, says: int | None = None) -> Model:
    """`linear_model` whose item vectors are one longer: what having rated an item says of [bias, weights]."""
    bare = linear_model(width, user_width)

    def init(key):
        kernel = 0.5 * jax.random.normal(jax.random.fold_in(key, 1), (width, says or 1 + width))
        return bare.init(key) | {"item": {"kernel": kernel}}

    return bare._replace(init=init)


def wider_model(width: int = 3, user_width: int = 2) -> Model:
    """`linear_model` whose vectors are one longer than what is known about items: [own term, factors]."""
    bare = linear_model(width + 1, user_width)

    def init(key):
        kernel = 0.5 * jax.random.normal(jax.random.fold_in(key, 1), (width, width + 1))
        return bare.init(key) | {"item": {"kernel": kernel}}

    return bare._replace(init=init)


def identified_model(width: int = 3, user_width: int = 2, num_ids: int = 4) -> Model:
    """`linear_model` whose user tower has a table of own ids too; a user without one is unknown, id 0."""
    bare = linear_model(width, user_width)

    def init(key):
        params = bare.init(key)
        table = 0.5 * jax.random.normal(jax.random.fold_in(key, 1), (num_ids, width))
        return params | {"user": params["user"] | {"id": {"embedding": table}}}

    def embed_user(params, user):
        own = user.get("id", jnp.zeros((), jnp.int32))
        return bare.embed_user(params, user) + jnp.where(own > 0, params["id"]["embedding"][own], 0)

    return bare._replace(init=init, embed_user=embed_user)


def contextual_model(size: int = 4) -> Model:
    """The linear model with a context vector, zero at the start, that is mixed into the user's vector."""
    whole = linear_model()

    def init(key):
        params = whole.init(key)
        mix = jax.random.normal(jax.random.fold_in(key, 1), (size, 3))
        return params | {"head": params["head"] | {"context": jnp.zeros(size), "mix": mix}}

    def score(params, user_vector, item_vectors):
        return whole.score(params, user_vector + params["context"] @ params["mix"], item_vectors)

    return Model(init, whole.embed_user, whole.embed_item, score)


def random_task(key, *, support_rows=5, query_rows=4, width=3, user_width=2, real_support=None) -> Task:
    """One user with random features and stars; `real_support` rows are real, the others padding full of nonsense."""
    keys = jax.random.split(key, 5)
    real = support_rows if real_support is None else real_support
    mask = (jnp.arange(support_rows) < real).astype(float)

    def examples(item_key, target_key, rows, mask):
        target = 3 + jax.random.normal(target_key, (rows,))
        return Examples({"about": jax.random.normal(item_key, (rows, width))}, target, mask)

    return Task(
        {"about": jax.random.normal(keys[0], (user_width,))},
        examples(keys[1], keys[2], support_rows, mask),
        examples(keys[3], keys[4], query_rows, jnp.ones(query_rows)),
    )


def random_tasks(key, count, **sizes) -> Task:
    """A batch of tasks, with a leading tasks axis."""
    return jax.vmap(lambda one: random_task(one, **sizes))(jax.random.split(key, count))
