"""What holds for every model, on every kind of column; and each model against its own formula."""

import inspect
from itertools import combinations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models.columns import ITEM, KINDS, USER, encoded

from metajax.errors import ConfigError
from metajax.learners.selection import join, paths, split
from metajax.models import (
    deepfm,
    example,
    factorization_machine,
    item_width,
    lift,
    linear,
    matrix_factorization,
    neumf,
    two_tower,
)
from metajax.models.heads import ConcatenatedLinear

SMALL = {"factors": 3, "embedding_dim": 2, "hidden": (4, 3)}
FACTORIES = {
    "linear": linear,
    "matrix_factorization": matrix_factorization,
    "two_tower": two_tower,
    "neumf": neumf,
    "factorization_machine": factorization_machine,
    "deepfm": deepfm,
}
SEVERAL_OUTPUTS = ["linear", "two_tower", "neumf"]
SINGLE_OUTPUT = ["matrix_factorization", "factorization_machine", "deepfm"]


def build(name, columns=KINDS["all"], **options):
    factory = FACTORIES[name]
    sizes = {size: value for size, value in SMALL.items() if size in inspect.signature(factory).parameters}
    return factory(columns, **sizes, **options)


def scores(model, params, user, items):
    user_vector = model.embed_user(params["user"], user)
    return model.score(params["head"], user_vector, model.embed_item(params["item"], items))


def naive_layers(head, inputs):
    """Run the decision layers on a concatenation, in numpy, and return the last hidden one."""
    for layer in ("layers_0", "layers_1"):
        inputs = np.maximum(dense(head[layer], inputs), 0)
    return inputs


def dense(params, inputs):
    return inputs @ np.asarray(params["kernel"]) + np.asarray(params["bias"])


def randomised(params, seed=0):
    """Draw every parameter, given their shapes, away from where it would start: no zero may hide a term."""
    leaves, structure = jax.tree.flatten(params)
    rng = np.random.default_rng(seed)
    return structure.unflatten([jnp.asarray(rng.normal(size=leaf.shape), leaf.dtype) for leaf in leaves])


@pytest.fixture(scope="module", params=FACTORIES)
def name(request):
    return request.param


@pytest.fixture(scope="module")
def world(name):
    """The model's init, its scores as one compiled function, params without a zero, a user and four items."""
    model = build(name, offset=3.5)
    user, items = encoded(KINDS["all"], "user"), encoded(KINDS["all"], "item", rows=4)
    run = jax.jit(lambda params, user, items: scores(model, params, user, items))
    return model.init, run, randomised(jax.eval_shape(model.init, jax.random.key(0))), user, items


@pytest.mark.parametrize("columns", KINDS.values(), ids=KINDS)
def test_shapes_with_every_kind_of_column(name, columns):
    model = build(name, columns)
    params = jax.eval_shape(model.init, jax.random.key(0))
    assert set(params) == {"user", "item", "head"}
    assert all(leaf.dtype == jnp.float32 and leaf.size > 0 for leaf in jax.tree.leaves(params))
    user, items = encoded(columns, "user"), encoded(columns, "item", rows=4)
    assert jax.eval_shape(model.embed_user, params["user"], user).ndim == 1
    assert jax.eval_shape(model.embed_item, params["item"], items).shape == (4, item_width(model, columns))
    result = jax.eval_shape(lambda *inputs: scores(model, *inputs), params, user, items)
    assert (result.shape, result.dtype) == ((4,), jnp.float32)
    shown = example(columns, "user"), example(columns, "item", rows=4)
    assert jax.eval_shape(lambda *inputs: scores(model, *inputs), params, *shown) == result


def test_permuting_rows_permutes_scores(world):
    _, run, params, user, items = world
    order = jnp.array([2, 0, 3, 1])
    permuted = run(params, user, jax.tree.map(lambda leaf: leaf[order], items))
    np.testing.assert_allclose(permuted, run(params, user, items)[order], rtol=1e-5, atol=1e-6)


def test_vmap_and_grad_work(world):
    _, run, params, user, items = world

    def loss(params, user, items):
        values = run(params, user, items)
        return jnp.sum(values**2), values

    tasks = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), (user, items))
    step = jax.jit(jax.vmap(jax.grad(loss, has_aux=True), in_axes=(None, 0, 0)))
    gradient, values = step(params, *tasks)
    np.testing.assert_allclose(values[1], run(params, user, items), rtol=1e-4, atol=1e-6)
    assert all(np.all(np.isfinite(leaf)) for leaf in jax.tree.leaves(gradient))
    assert all(np.any(np.asarray(leaf) != 0) for leaf in jax.tree.leaves(gradient["head"]))


def test_float64_is_kept_from_end_to_end(world):
    _, run, params, user, items = world

    def double(tree):
        return jax.tree.map(lambda leaf: leaf.astype(float) if leaf.dtype == jnp.float32 else leaf, tree)

    result = run(double(params), double(user), double(items))
    assert result.dtype == jnp.float64
    np.testing.assert_allclose(result, run(params, user, items), rtol=1e-4, atol=1e-6)


def test_of_an_unknown_user_the_items_still_differ(name):
    model = build(name, KINDS["empty_user"])
    params = randomised(jax.eval_shape(model.init, jax.random.key(0)))
    items = encoded(KINDS["empty_user"], "item", rows=4)
    result = np.asarray(jax.jit(lambda params, items: scores(model, params, {}, items))(params, items))
    assert len(set(result.tolist())) == 4
    assert np.all(np.isfinite(result))


def test_same_key_same_params_and_first_scores_close_to_the_offset(world):
    init, run, _, user, items = world
    one, same, other = init(jax.random.key(0)), init(jax.random.key(0)), init(jax.random.key(1))
    differences = [jax.tree.map(lambda a, b: np.any(np.asarray(a) != np.asarray(b)), one, two) for two in (same, other)]
    assert [any(jax.tree.leaves(tree)) for tree in differences] == [False, True]
    np.testing.assert_allclose(run(one, user, items), 3.5, atol=0.25)


def test_the_offset_is_a_constant_and_no_parameter(name, world):
    _, run, params, user, items = world
    plain = build(name)
    shapes = jax.eval_shape(plain.init, jax.random.key(0))
    assert jax.tree.structure(params) == jax.tree.structure(shapes)
    without = jax.jit(lambda *inputs: scores(plain, *inputs))(params, user, items)
    np.testing.assert_allclose(run(params, user, items) - without, 3.5, rtol=1e-4)


def test_an_unseen_item_is_scored_by_its_content(world):
    """Id 0 has no parameter: the whole table of ids may be anything."""
    _, run, params, user, items = world
    own, rest = split(params, paths("item/*/id/*"))
    assert jax.tree.leaves(own)
    nonsense = join(jax.tree.map(lambda table: np.full_like(table, 7), own), rest)
    cold = {**items, "id": np.zeros_like(items["id"])}
    np.testing.assert_array_equal(run(nonsense, user, cold), run(params, user, cold))
    warm = {**items, "id": np.ones_like(items["id"])}
    assert np.all(np.asarray(run(nonsense, user, warm)) != np.asarray(run(params, user, warm)))


@pytest.mark.parametrize("name", SEVERAL_OUTPUTS)
def test_several_outputs(name):
    model = build(name, outputs=3)
    user, items = encoded(KINDS["all"], "user"), encoded(KINDS["all"], "item", rows=4)
    params = jax.eval_shape(model.init, jax.random.key(0))
    assert jax.eval_shape(lambda params: scores(model, params, user, items), params).shape == (4, 3)
    with pytest.raises(ConfigError, match=r"offset belongs to a single output, got offset=3.5 and outputs=3"):
        build(name, outputs=3, offset=3.5)


@pytest.mark.parametrize("name", SINGLE_OUTPUT)
def test_inner_products_refuse_several_outputs(name):
    with pytest.raises(ConfigError, match=f"{name} gives one score per row, got outputs=3"):
        build(name, outputs=3)


def test_sizes_that_make_no_sense_are_refused():
    with pytest.raises(ConfigError, match="embedding_dim must be 1 or more, got 0"):
        linear(KINDS["all"], embedding_dim=0)
    with pytest.raises(ConfigError, match="factors must be 1 or more, got 0"):
        matrix_factorization(KINDS["all"], factors=0)
    with pytest.raises(ConfigError, match="outputs must be 1 or more, got 0"):
        two_tower(KINDS["all"], outputs=0)
    with pytest.raises(ConfigError, match=r"hidden must name one or more widths.*got hidden=\(\)"):
        two_tower(KINDS["all"], hidden=())
    with pytest.raises(ConfigError, match="at least one item column"):
        two_tower(USER)


def test_the_first_layer_is_a_dense_layer_on_the_concatenation():
    part = lift(lambda rngs: ConcatenatedLinear(2, 3, 4, rngs=rngs))
    params = randomised(jax.eval_shape(part.init, jax.random.key(0)))
    user, items = jnp.array([1.0, -2.0], jnp.float32), jnp.arange(6, dtype=jnp.float32).reshape(2, 3)
    joined = np.concatenate([np.tile(user, (2, 1)), items], axis=1)
    np.testing.assert_allclose(part.apply(params, user, items), dense(params, joined), rtol=1e-5, atol=1e-6)


def test_the_decision_layers_have_names_to_choose_by():
    for name in ("two_tower", "neumf"):
        head = jax.eval_shape(build(name).init, jax.random.key(0))["head"]
        assert {layer: set(leaves) for layer, leaves in head.items()} == {
            layer: {"kernel", "bias"} for layer in ("layers_0", "layers_1", "output")
        }


def test_two_tower_is_a_network_on_the_concatenation():
    model, columns = build("two_tower", offset=3.0), KINDS["all"]
    params = randomised(jax.eval_shape(model.init, jax.random.key(0)))
    user, items = encoded(columns, "user"), encoded(columns, "item", rows=3)
    user_vector, item_vectors = model.embed_user(params["user"], user), model.embed_item(params["item"], items)
    joined = np.concatenate([np.tile(user_vector, (3, 1)), item_vectors], axis=1)
    expected = 3.0 + dense(params["head"]["output"], naive_layers(params["head"], joined))
    np.testing.assert_allclose(scores(model, params, user, items), expected[:, 0], rtol=1e-4, atol=1e-6)


def column_vectors(params, columns, encoded_columns, row=()):
    """Embed each column of one user or item naively, in numpy: a list of vectors."""
    tables, vectors = params["columns"], []
    for column in columns:
        value = np.asarray(encoded_columns[column.name])[row]
        if column.kind in ("number", "vector"):
            vectors.append(np.atleast_1d(value) @ np.asarray(tables[column.name]["kernel"]))
            continue
        table = np.asarray(tables[column.name]["embedding"])
        ids = np.atleast_1d(value)
        ids = ids[ids > 0] if column.kind == "bag" or column.name == "id" else ids
        vectors.append(table[ids].mean(axis=0) if len(ids) else np.zeros(table.shape[1]))
    return vectors


def naive_machine(params, user, items, row, *, within):
    """Sum the bias, weights and inner products of all pairs; one more user feature, the head's, meets the items'."""
    user_factors = column_vectors(params["user"]["factors"], USER, user)
    item_factors = column_vectors(params["item"]["factors"], ITEM, items, row)
    weights = column_vectors(params["user"]["weights"], USER, user)
    weights += column_vectors(params["item"]["weights"], ITEM, items, row)
    everyone = [np.asarray(params["head"]["factors"])]
    total = float(params["head"]["bias"]) + sum(weight.item() for weight in weights)
    total += sum(one @ other for one in user_factors + everyone for other in item_factors)
    if within:
        total += sum(one @ other for side in (user_factors, item_factors) for one, other in combinations(side, 2))
    return total


@pytest.mark.parametrize(("name", "within"), [("matrix_factorization", False), ("factorization_machine", True)])
def test_factor_models_are_the_naive_double_sum(name, within):
    model, columns = build(name, offset=3.0), KINDS["all"]
    params = randomised(jax.eval_shape(model.init, jax.random.key(0)))
    user, items = encoded(columns, "user", seed=3), encoded(columns, "item", rows=5, seed=3)
    expected = [3.0 + naive_machine(params, user, items, row, within=within) for row in range(5)]
    np.testing.assert_allclose(scores(model, params, user, items), expected, rtol=1e-4, atol=1e-6)


def test_deepfm_is_the_machine_plus_layers_on_the_same_vectors():
    model, columns = build("deepfm"), KINDS["all"]
    params = randomised(jax.eval_shape(model.init, jax.random.key(0)))
    user, items = encoded(columns, "user", seed=3), encoded(columns, "item", rows=5, seed=3)
    deep, expected = params["head"]["deep"], []
    for row in range(5):
        vectors = column_vectors(params["user"]["factors"], USER, user)
        joined = np.concatenate(vectors + column_vectors(params["item"]["factors"], ITEM, items, row))
        wide = naive_machine({**params, "head": params["head"]["wide"]}, user, items, row, within=True)
        expected.append(wide + dense(deep["output"], naive_layers(deep, joined)).item())
    np.testing.assert_allclose(scores(model, params, user, items), expected, rtol=1e-4, atol=1e-6)


def test_neumf_is_the_product_beside_the_layers():
    model, columns = build("neumf"), KINDS["all"]
    params = randomised(jax.eval_shape(model.init, jax.random.key(0)))
    user, items = encoded(columns, "user"), encoded(columns, "item", rows=2)
    head = params["head"]
    user_vector = np.asarray(model.embed_user(params["user"], user))
    item_vectors = np.asarray(model.embed_item(params["item"], items))
    np.testing.assert_allclose(
        user_vector[:3], sum(column_vectors(params["user"]["factors"], USER, user)), rtol=1e-5, atol=1e-6
    )
    for row, score in enumerate(scores(model, params, user, items)):
        hidden = naive_layers(head, np.concatenate([user_vector[3:], item_vectors[row, 3:]]))
        joined = np.concatenate([user_vector[:3] * item_vectors[row, :3], hidden])
        np.testing.assert_allclose(score, dense(head["output"], joined)[0], rtol=1e-4, atol=1e-6)
