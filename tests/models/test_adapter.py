"""A user's own nnx module, linen module and plain functions go through one adapter and agree."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx

from metajax.errors import ConfigError
from metajax.models import Linen, Pure, lift, model

ITEMS = {"about": jnp.arange(6, dtype=jnp.float32).reshape(2, 3)}
USER = {"about": jnp.array([1.0, -1.0, 2.0], jnp.float32)}


class OwnTower(nnx.Module):
    def __init__(self, rngs):
        self.blocks = nnx.List([nnx.Linear(3, 4, rngs=rngs), nnx.Linear(4, 2, rngs=rngs)])

    def __call__(self, columns):
        return self.blocks[1](jnp.tanh(self.blocks[0](columns["about"])))


class OwnLinenTower(linen.Module):
    @linen.compact
    def __call__(self, columns):
        return linen.Dense(2, name="second")(jnp.tanh(linen.Dense(4, name="first")(columns["about"])))


def plain_init(key):
    first, second = jax.random.split(key)
    return {
        "first": jax.random.normal(first, (3, 4), jnp.float32),
        "second": jax.random.normal(second, (4, 2), jnp.float32),
        "bias": jnp.zeros((2,), jnp.float32),
    }


def plain_apply(params, columns):
    hidden = jnp.tanh(columns["about"] @ params["first"])
    return hidden @ params["second"] + params["bias"].reshape((1,) * (hidden.ndim - 1) + (2,))


class ProductHead(nnx.Module):
    def __call__(self, user, items):
        return items @ user


PRODUCT = Pure(lambda key: {}, lambda params, user, items: items @ user)
NNX = OwnTower
LINEN = Linen(OwnLinenTower(), (ITEMS,))
PLAIN = Pure(plain_init, plain_apply)


def in_each_style(plain):
    """Write the same weights for the three towers."""
    dense = {"kernel": plain["first"], "bias": jnp.zeros((4,), jnp.float32)}
    output = {"kernel": plain["second"], "bias": plain["bias"]}
    return {"plain": plain, "nnx": {"blocks": {"0": dense, "1": output}}, "linen": {"first": dense, "second": output}}


def test_equal_weights_give_equal_vectors():
    weights = in_each_style(plain_init(jax.random.key(1)))
    parts = {"nnx": lift(NNX), "linen": lift(LINEN), "plain": lift(PLAIN)}
    for inputs in (ITEMS, USER):
        outputs = [part.apply(weights[style], inputs) for style, part in parts.items()]
        np.testing.assert_allclose(outputs[1], outputs[0], rtol=1e-6)
        np.testing.assert_allclose(outputs[2], outputs[0], rtol=1e-6)


@pytest.mark.parametrize("tower", [NNX, LINEN, PLAIN], ids=["nnx", "linen", "plain"])
@pytest.mark.parametrize("head", [lambda rngs: ProductHead(), PRODUCT], ids=["nnx_head", "plain_head"])
def test_any_parts_make_a_model(tower, head):
    recommender = model(tower, tower, head)
    params = recommender.init(jax.random.key(0))
    assert set(params) == {"user", "item", "head"}

    def scores(params):
        user = recommender.embed_user(params["user"], USER)
        return recommender.score(params["head"], user, recommender.embed_item(params["item"], ITEMS))

    assert jax.jit(scores)(params).shape == (2,)
    gradient = jax.grad(lambda params: scores(params).sum())(params)
    assert jax.tree.structure(gradient) == jax.tree.structure(params)
    assert sum(float(jnp.abs(leaf).sum()) for leaf in jax.tree.leaves(gradient)) > 0


@pytest.mark.parametrize("tower", [NNX, LINEN, PLAIN], ids=["nnx", "linen", "plain"])
def test_params_are_plain_dicts_of_arrays_with_string_keys(tower):
    def check(tree):
        if isinstance(tree, jax.Array):
            return
        assert type(tree) is dict
        for name, branch in tree.items():
            assert type(name) is str
            check(branch)

    params = lift(tower).init(jax.random.key(0))
    check(params)
    assert len(jax.tree.leaves(params)) >= 3


def test_the_parts_get_keys_of_their_own():
    params = model(NNX, NNX, PRODUCT).init(jax.random.key(0))
    user, item = params["user"]["blocks"]["0"]["kernel"], params["item"]["blocks"]["0"]["kernel"]
    assert jnp.all(user != item)


def test_an_nnx_part_of_many_layers_keeps_their_order():
    class Deep(nnx.Module):
        def __init__(self, rngs):
            self.layers = nnx.List([nnx.Linear(1, 1, rngs=rngs) for _ in range(11)])

        def __call__(self, x):
            for layer in self.layers:
                x = jnp.sin(layer(x))
            return x

    part, module = lift(Deep), Deep(nnx.Rngs(jax.random.key(3)))
    inputs = jnp.ones((1, 1), jnp.float32)
    np.testing.assert_array_equal(part.apply(part.init(jax.random.key(3)), inputs), module(inputs))


def test_the_structure_is_made_once_and_abstractly():
    made = []

    def factory(rngs):
        made.append(rngs.params.key[...])
        return OwnTower(rngs)

    part = lift(factory)
    assert [isinstance(key, jax.core.Tracer) for key in made] == [True]
    params = plain_init(jax.random.key(0))
    part.apply(in_each_style(params)["nnx"], USER)
    assert len(made) == 1


class Normalised(nnx.Module):
    def __init__(self, rngs):
        self.norm = nnx.BatchNorm(3, rngs=rngs)
        self.dropout = nnx.Dropout(0.5, rngs=rngs)


class NormalisedLinen(linen.Module):
    @linen.compact
    def __call__(self, columns):
        return linen.BatchNorm(use_running_average=True)(columns["about"])


def test_variables_that_are_no_parameters_are_refused():
    with pytest.raises(
        ConfigError, match=r"Normalised keeps variables that are not parameters: BatchStat, Rng.*LayerNorm"
    ):
        lift(Normalised)
    with pytest.raises(ConfigError, match="NormalisedLinen keeps variables that are not parameters: batch_stats"):
        lift(Linen(NormalisedLinen(), (ITEMS,)))


@pytest.mark.parametrize("part", [OwnLinenTower(), OwnLinenTower, nnx.Linear(1, 1, rngs=nnx.Rngs(0))])
def test_what_is_no_part_is_refused(part):
    with pytest.raises(ConfigError, match="must be a factory of an nnx module, a Linen or a Pure"):
        lift(part)


def test_a_factory_of_something_else_is_refused():
    with pytest.raises(ConfigError, match="must return an nnx module, got NoneType"):
        lift(lambda rngs: None)
