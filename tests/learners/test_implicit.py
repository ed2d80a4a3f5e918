"""Implicit MAML and the envelope against the exact minimiser of a quadratic, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from metajax.learners import chain, envelope, gradient_learner, implicit, paths, proximal, sgd, weight_decay
from metajax.learners.differentiation import implicit_solve
from metajax.losses import squared_error
from metajax.types import Examples, Model, Task

DIM, ROWS = 24, 40
KEY, START = jax.random.key(0), jnp.asarray(0.0)


def two_layers() -> Model:
    """Score = (x B) w: quadratic in w, the fast part, with B outside of it."""

    def init(key):
        first, second = jax.random.split(key)
        return {
            "user": {},
            "item": {"b": jnp.eye(DIM) + 0.1 * jax.random.normal(first, (DIM, DIM))},
            "head": {"w": jax.random.normal(second, (DIM,))},
        }

    return Model(
        init,
        lambda params, user: jnp.zeros(1),
        lambda params, items: items @ params["b"],
        lambda params, user, items: items @ params["w"],
    )


def task_of(key, scale) -> Task:
    keys = jax.random.split(key, 4)
    x = scale * jnp.linalg.qr(jax.random.normal(keys[0], (ROWS, DIM)))[0] * jnp.sqrt(ROWS / 2)
    support = Examples(x, jax.random.normal(keys[1], (ROWS,)), jnp.ones(ROWS))
    query = Examples(jax.random.normal(keys[2], (8, DIM)), jax.random.normal(keys[3], (8,)), jnp.ones(8))
    return Task({}, support, query)


def minimiser(params, lam, task):
    """Argmin mean (x B w - y)^2 + lam / 2 ||w - w0||^2, in closed form."""
    z = task.support.items @ params["item"]["b"]
    system = 2 / ROWS * z.T @ z + lam * jnp.eye(DIM)
    return jnp.linalg.solve(system, 2 / ROWS * z.T @ task.support.target + lam * params["head"]["w"])


def exact_loss(params, raw, task):
    w = minimiser(params, jax.nn.softplus(raw), task)
    return jnp.mean((task.query.items @ params["item"]["b"] @ w - task.query.target) ** 2)


def learner_with(cg_steps, inner_steps=400, step_size=0.4, strength=1.0, objective=None):
    return gradient_learner(
        two_layers(),
        squared_error(),
        fast=paths("head/*"),
        rule=chain(proximal(strength, learned=True), sgd(step_size)),
        flow=implicit(cg_steps) if objective is None else None,
        objective=objective,
        inner_steps=inner_steps,
    )


def relative(one, other):
    return float(jnp.linalg.norm(one - other) / jnp.linalg.norm(other))


@pytest.mark.parametrize(("cg_steps", "tolerance"), [(60, 1e-8), (5, 1e-3)], ids=["converged", "five steps"])
def test_all_three_gradients_are_those_of_the_exact_minimiser(cg_steps, tolerance):
    """By theta, by B outside of the fast part, and by lambda; under vmap and jit; I + H / lambda lies in [1, 2]."""
    tasks = jax.vmap(task_of, (0, None))(jax.random.split(jax.random.key(3), 3), 0.55)
    learner = learner_with(cg_steps)
    meta_params = learner.init(jax.random.key(0))
    raw = meta_params["rule"]["0"]["raw_strength"]
    found = jax.jit(jax.vmap(jax.grad(lambda m, task: learner.loss(m, task, KEY, START)[0]), (None, 0)))(
        meta_params, tasks
    )
    exact, by_raw = jax.vmap(jax.grad(exact_loss, argnums=(0, 1)), (None, None, 0))(meta_params["model"], raw, tasks)
    spectrum = 1 + jnp.linalg.eigvalsh(jax.vmap(hessian_of(meta_params["model"]))(tasks))
    if cg_steps == 5:
        assert spectrum.min() >= 1 - 1e-9
        assert spectrum.max() <= 2
    assert relative(found["model"]["head"]["w"], exact["head"]["w"]) < tolerance
    assert relative(found["model"]["item"]["b"], exact["item"]["b"]) < tolerance
    assert relative(found["rule"]["0"]["raw_strength"], by_raw) < tolerance


def test_a_weight_decay_is_part_of_what_is_minimised():
    """Argmin mean (x B w - y)^2 + 1/2 ||w - w0||^2 + 1/2 ||w||^2; without its pull the gradient is 40 % off."""
    task, params = task_of(jax.random.key(3), 0.55), two_layers().init(jax.random.key(0))

    def exact(params):
        z = task.support.items @ params["item"]["b"]
        system = 2 / ROWS * z.T @ z + 2 * jnp.eye(DIM)
        w = jnp.linalg.solve(system, 2 / ROWS * z.T @ task.support.target + params["head"]["w"])
        return jnp.mean((task.query.items @ params["item"]["b"] @ w - task.query.target) ** 2)

    learner = gradient_learner(
        two_layers(),
        squared_error(),
        fast=paths("head/*"),
        rule=chain(proximal(1.0), weight_decay(1.0), sgd(0.3)),
        flow=implicit(60),
        inner_steps=400,
    )
    meta_params = learner.init(jax.random.key(0)) | {"model": params}
    found = jax.jit(jax.grad(lambda m: learner.loss(m, task, KEY, START)[0]))(meta_params)["model"]
    wanted = jax.grad(exact)(params)
    assert relative(found["head"]["w"], wanted["head"]["w"]) < 1e-8
    assert relative(found["item"]["b"], wanted["item"]["b"]) < 1e-8


def hessian_of(params):
    def hessian(task):
        z = task.support.items @ params["item"]["b"]
        return 2 / ROWS * z.T @ z

    return hessian


def test_what_lies_outside_of_the_fast_part_must_not_be_forgotten():
    """Without its indirect term the gradient by B is far off: the term is not small."""
    task = task_of(jax.random.key(3), 0.8)
    params = two_layers().init(jax.random.key(0))
    whole = jax.grad(exact_loss)(params, jnp.log(jnp.expm1(1.0)), task)["item"]["b"]
    w = minimiser(params, 1.0, task)
    direct = jax.grad(lambda b: jnp.mean((task.query.items @ b @ w - task.query.target) ** 2))(params["item"]["b"])
    assert relative(direct, whole) > 0.1


def test_the_envelope_is_lambda_times_the_way_back_and_the_partial_derivatives():
    """At the minimiser over all rows: lambda (theta - phi*), and d/dB, d/dlambda at phi* held constant."""
    task = task_of(jax.random.key(3), 0.8)
    learner = learner_with(5, objective=envelope(), inner_steps=800)
    meta_params = learner.init(jax.random.key(0))
    gradient = jax.grad(lambda m: learner.loss(m, task, KEY, START)[0])(meta_params)
    rows = jax.tree.map(lambda one, other: jnp.concatenate([one, other]), task.support, task.query)
    represented = rows._replace(items=learner.represent(meta_params, rows.items))
    phi = learner.adapt(meta_params, learner.begin(meta_params, {}), represented).fast["head"]["w"]
    theta = meta_params["model"]["head"]["w"]
    np.testing.assert_allclose(gradient["model"]["head"]["w"], theta - phi, rtol=1e-9)

    def least(params, raw):
        lam = jax.nn.softplus(raw)
        z = rows.items @ params["item"]["b"]
        system = 2 / len(z) * z.T @ z + lam * jnp.eye(DIM)
        w = jnp.linalg.solve(system, 2 / len(z) * z.T @ rows.target + lam * params["head"]["w"])
        return jnp.mean((z @ w - rows.target) ** 2) + lam / 2 * jnp.sum((w - params["head"]["w"]) ** 2)

    exact, by_raw = jax.grad(least, argnums=(0, 1))(meta_params["model"], meta_params["rule"]["0"]["raw_strength"])
    assert relative(gradient["model"]["item"]["b"], exact["item"]["b"]) < 1e-8
    assert relative(gradient["model"]["head"]["w"], exact["head"]["w"]) < 1e-8
    np.testing.assert_allclose(gradient["rule"]["0"]["raw_strength"], by_raw, rtol=1e-8)


@pytest.mark.usefixtures("as_users_run")
@pytest.mark.parametrize("scale", [1.0, 1e-9, 1e-15])
def test_a_system_that_is_solved_early_stays_finite(scale):
    """So it is for a user without ratings: further steps of conjugate gradients would divide by what underflows."""
    weights = jax.random.normal(jax.random.key(0), (8, 40), jnp.float32)
    curvature = jnp.tile(jnp.array([1e-3, 1e-2, 0.05, 0.1], jnp.float32), 10)

    def objective(phi, rest):
        return jnp.sum(rest[1] / 2 * (phi - rest[0]) ** 2)

    def loss(start, weights):
        solve = implicit_solve(lambda start, rest: rest[0], objective, 200)
        return scale * jnp.sum(weights * solve(start, (start, curvature)))

    gradients = jax.jit(jax.vmap(jax.grad(loss), in_axes=(None, 0)))(jnp.ones(40, jnp.float32), weights)
    np.testing.assert_allclose(gradients, scale * weights, rtol=1e-3)
