"""The gradient engine against derivations written out by hand, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from learners.worlds import linear_model, random_task

from metajax.errors import ConfigError
from metajax.learners import anil, everything, gradient_learner, joint, maml, melu, paths, sgd
from metajax.losses import squared_error
from metajax.types import Examples, Model, Task

ALPHA = 0.1


def one_weight() -> Model:
    """Y = w x, with w in the head."""
    return Model(
        init=lambda key: {"user": {}, "item": {}, "head": {"w": jnp.asarray(0.7)}},
        embed_user=lambda params, user: user,
        embed_item=lambda params, items: items,
        score=lambda params, user, items: params["w"] * items,
    )


def one_row(x, y) -> Examples:
    return Examples(jnp.array([x]), jnp.array([y]), jnp.ones(1))


@pytest.mark.parametrize("first_order", [False, True])
def test_gradient_matches_the_derivation(first_order):
    """One step on y = w x: w' = w - 2a(w xs - ys)xs, dw'/dw = 1 - 2a xs^2; first order drops the second factor."""
    learner = maml(one_weight(), squared_error(), inner_step_size=ALPHA, first_order=first_order)
    task = Task({}, one_row(1.5, 2.0), one_row(-0.5, 1.0))
    meta_params = learner.init(jax.random.key(0))
    gradient = jax.grad(lambda m: learner.loss(m, task, jax.random.key(0), jnp.asarray(0.0))[0])(meta_params)
    adapted = 0.7 - 2 * ALPHA * (0.7 * 1.5 - 2.0) * 1.5
    outer = 2 * (adapted * -0.5 - 1.0) * -0.5
    expected = outer if first_order else outer * (1 - 2 * ALPHA * 1.5**2)
    np.testing.assert_allclose(gradient["model"]["head"]["w"], expected, rtol=1e-12)


def test_learned_step_size_gradient_matches_the_derivation():
    """dL/d log a = L'(w') * -2a(w xs - ys)xs."""
    learner = maml(one_weight(), squared_error(), inner_step_size=ALPHA, learn_step_size=True, first_order=True)
    task = Task({}, one_row(1.5, 2.0), one_row(-0.5, 1.0))
    meta_params = learner.init(jax.random.key(0))
    meta_params["rule"]["log_step_size"] = jnp.log(jnp.asarray(ALPHA))
    gradient = jax.grad(lambda m: learner.loss(m, task, jax.random.key(0), jnp.asarray(0.0))[0])(meta_params)
    move = -2 * ALPHA * (0.7 * 1.5 - 2.0) * 1.5
    outer = 2 * ((0.7 + move) * -0.5 - 1.0) * -0.5
    np.testing.assert_allclose(gradient["rule"]["log_step_size"], outer * move, rtol=1e-12)


def test_maml_matches_finite_differences():
    learner = maml(linear_model(), squared_error(), inner_steps=3, inner_step_size=ALPHA)
    meta_params = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), learner.init(jax.random.key(0)))
    task = random_task(jax.random.key(1))
    flat, unravel = jax.flatten_util.ravel_pytree(meta_params)
    loss = jax.jit(lambda flat: learner.loss(unravel(flat), task, jax.random.key(0), jnp.asarray(0.0))[0])
    gradient = jax.grad(loss)(flat)
    shifts = 1e-6 * jnp.eye(len(flat))
    numeric = jax.vmap(lambda shift: (loss(flat + shift) - loss(flat - shift)) / 2e-6)(shifts)
    np.testing.assert_allclose(gradient, numeric, rtol=1e-6, atol=1e-8)


def test_first_order_is_the_query_gradient_at_the_adapted_parameters():
    learner = maml(linear_model(), squared_error(), inner_steps=3, inner_step_size=ALPHA, first_order=True)
    plain = maml(linear_model(), squared_error(), inner_steps=0)
    meta_params = learner.init(jax.random.key(0))
    task = random_task(jax.random.key(1))
    key, progress = jax.random.key(0), jnp.asarray(0.0)
    adapted = learner.adapt(meta_params, learner.begin(meta_params, task.user), task.support).fast
    at_adapted = jax.grad(lambda m: plain.loss(m, task, key, progress)[0])({"model": adapted, "rule": {}})
    gradient = jax.grad(lambda m: learner.loss(m, task, key, progress)[0])(meta_params)
    for one, other in zip(jax.tree.leaves(gradient["model"]), jax.tree.leaves(at_adapted["model"]), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10)


def test_anil_is_maml_restricted_to_the_head():
    """The towers keep their values inside, and represent-once equals representing again."""
    head_only = anil(linear_model(), squared_error(), inner_steps=2, inner_step_size=ALPHA)
    by_hand = maml(linear_model(), squared_error(), inner_steps=2, inner_step_size=ALPHA, fast=paths("head/*"))
    whole = maml(linear_model(), squared_error(), inner_steps=2, inner_step_size=ALPHA, fast=everything())
    meta_params = head_only.init(jax.random.key(0))
    task = random_task(jax.random.key(1))
    losses = [
        learner.loss(meta_params, task, jax.random.key(0), jnp.asarray(0.0))[0]
        for learner in (head_only, by_hand, whole)
    ]
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-12)
    assert abs(losses[0] - losses[2]) > 1e-6
    state = head_only.begin(meta_params, task.user)
    assert [leaf.shape for leaf in jax.tree.leaves(state.fast)] == [(), (3,)]  # the head's bias and kernel, no tower


def test_melu_is_anil():
    """MeLU adapts the decision layers, which are the head."""
    task = random_task(jax.random.key(1))
    preset = melu(linear_model(), squared_error(), inner_step_size=ALPHA)
    meta_params = preset.init(jax.random.key(0))
    one = preset.loss(meta_params, task, jax.random.key(0), jnp.asarray(0.0))[0]
    other = anil(linear_model(), squared_error(), inner_step_size=ALPHA)
    np.testing.assert_array_equal(one, other.loss(meta_params, task, jax.random.key(0), jnp.asarray(0.0))[0])


def test_joint_loss_is_the_plain_loss_over_all_rows():
    """With and without fine-tuning, training is the same: no inner loop."""
    task = random_task(jax.random.key(1), support_rows=5, query_rows=4, real_support=3)
    plain, tuned = joint(linear_model(), squared_error()), joint(linear_model(), squared_error(), inner_steps=3)
    meta_params = plain.init(jax.random.key(0))
    model = linear_model()
    params = meta_params["model"]
    user = model.embed_user(params["user"], task.user)

    def errors(rows):
        scores = model.score(params["head"], user, model.embed_item(params["item"], rows.items))
        return (scores - rows.target) ** 2

    expected = (errors(task.support)[:3].sum() + errors(task.query).sum()) / 7
    for learner in (plain, tuned):
        loss = learner.loss(meta_params, task, jax.random.key(0), jnp.asarray(0.0))[0]
        np.testing.assert_allclose(loss, expected, rtol=1e-12)


def test_adapt_chains_by_continuing_the_descent():
    """Two steps on the same support are one step and then one step."""
    twice = maml(linear_model(), squared_error(), inner_steps=2, inner_step_size=ALPHA)
    once = maml(linear_model(), squared_error(), inner_steps=1, inner_step_size=ALPHA)
    meta_params = once.init(jax.random.key(0))
    task = random_task(jax.random.key(1))
    state = once.begin(meta_params, task.user)
    for _ in range(2):
        state = once.adapt(meta_params, state, task.support)
    both = twice.adapt(meta_params, twice.begin(meta_params, task.user), task.support)
    for one, other in zip(jax.tree.leaves(state), jax.tree.leaves(both), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_a_selection_that_matches_nothing_lists_the_paths():
    with pytest.raises(ConfigError, match=r"matches none.*head/bias, head/kernel.*paths\('head/\*'\)"):
        gradient_learner(linear_model(), squared_error(), fast=paths("haed/*"))


def test_impossible_hyper_parameters_are_refused():
    with pytest.raises(ConfigError, match="inner_steps must be 0 or more, got inner_steps=-1"):
        maml(linear_model(), squared_error(), inner_steps=-1)
    with pytest.raises(ConfigError, match=r"step size must be positive, got step_size=0.*Try 0\.01"):
        sgd(0)
