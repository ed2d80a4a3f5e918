"""The four choices: every rule, flow and objective against an exact identity, in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from learners.worlds import contextual_model, linear_model, random_task, random_tasks

from metajax.errors import ConfigError
from metajax.learners import (
    alfa_rule,
    all_but,
    anil,
    boil,
    cavia,
    chain,
    curvature,
    envelope,
    everything,
    first_order,
    fomaml,
    from_optax,
    full,
    gradient_learner,
    imaml,
    implicit,
    maml,
    mamlpp,
    melu,
    meta_curvature,
    meta_sgd,
    minibatch_prox,
    mlr,
    multi_step,
    paths,
    per_element,
    per_step,
    proximal,
    reptile,
    reptile_surrogate,
    sgd,
    task_embedding_dropout,
    truncated,
    weight_decay,
)
from metajax.learners.objectives import Run, multi_step_weights
from metajax.losses import squared_error
from metajax.types import Model

ALPHA, STEPS = 0.05, 3
KEY, START = jax.random.key(0), jnp.asarray(0.0)


def learner_of(**choices):
    return gradient_learner(linear_model(), squared_error(), **({"inner_steps": STEPS} | choices))


@pytest.fixture(scope="module")
def task():
    return random_task(jax.random.key(1), real_support=4)


@pytest.fixture(scope="module")
def plain(task):
    """Loss and gradient of MAML, by the model's parameters."""
    learner = maml(linear_model(), squared_error(), inner_steps=STEPS, inner_step_size=ALPHA)
    return value_and_gradient(learner, task)


def double(tree):
    return jax.tree.map(lambda leaf: leaf.astype(jnp.float64), tree)


def value_and_gradient(learner, task, *, rule=None, progress=START, key=KEY):
    """Return loss and gradient at the same model parameters for all learners."""
    meta_params = double(learner.init(jax.random.key(0)))
    meta_params = meta_params | {"model": double(linear_model().init(jax.random.key(5)))}
    if rule is not None:
        meta_params = meta_params | {"rule": rule}
    loss = jax.jit(jax.value_and_grad(lambda m: learner.loss(m, task, key, progress)[0]))
    return loss(meta_params)


def assert_same(one, other, rtol=1e-10):
    np.testing.assert_allclose(one[0], other[0], rtol=rtol)
    for a, b in zip(jax.tree.leaves(one[1]["model"]), jax.tree.leaves(other[1]["model"]), strict=True):
        np.testing.assert_allclose(a, b, rtol=rtol, atol=1e-12)


def assert_another(one, other):
    flat = [jax.flatten_util.ravel_pytree(gradient["model"])[0] for _, gradient in (one, other)]
    assert jnp.abs(flat[0] - flat[1]).max() > 1e-4


SAME_AS_MAML = {
    "remat": lambda: learner_of(rule=sgd(ALPHA), flow=full(remat=True)),
    "forward over reverse": lambda: learner_of(rule=sgd(ALPHA), flow=full(forward_over_reverse=True)),
    "both": lambda: learner_of(rule=sgd(ALPHA), flow=full(remat=True, forward_over_reverse=True)),
    "truncated to all steps": lambda: learner_of(rule=sgd(ALPHA), flow=truncated(STEPS)),
    "step sizes per step, constant": lambda: learner_of(rule=per_step(ALPHA, STEPS)),
    "step sizes per element, constant": lambda: learner_of(rule=per_element(ALPHA, ALPHA, num_steps=None)),
    "curvature, identity": lambda: meta_curvature(
        linear_model(), squared_error(), inner_steps=STEPS, inner_step_size=ALPHA
    ),
    "optax": lambda: learner_of(rule=from_optax(optax.sgd(ALPHA))),
    "no weight decay": lambda: learner_of(rule=chain(weight_decay(0.0), sgd(ALPHA))),
    "ALFA at its start, without decay": lambda: learner_of(rule=alfa_rule(ALPHA, decay=0.0)),
    "no dropout": lambda: learner_of(rule=sgd(ALPHA), objective=task_embedding_dropout(0.0)),
    "everything but nothing": lambda: learner_of(rule=sgd(ALPHA), fast=all_but("nothing/*")),
}


@pytest.mark.parametrize("make", SAME_AS_MAML.values(), ids=SAME_AS_MAML)
def test_it_is_maml(make, task, plain):
    assert_same(value_and_gradient(make(), task), plain)


def test_multi_step_with_all_weight_on_the_last_is_maml(task, plain):
    learner = learner_of(rule=sgd(ALPHA), objective=multi_step(STEPS, until=0.5))
    assert_same(value_and_gradient(learner, task, progress=jnp.asarray(0.6)), plain)
    assert_another(value_and_gradient(learner, task, progress=jnp.asarray(0.1)), plain)


def test_multi_step_weights_are_those_of_the_paper():
    """Epoch e of E: max(1/K - e/(K E), 0.03/K), and the rest for the last step."""
    for epoch, wanted in {0: 1 / 5, 5: 1 / 5 - 5 / 75, 14.9: 0.03 / 5}.items():
        weights = multi_step_weights(5, jnp.asarray(epoch / 150), 0.1)
        np.testing.assert_allclose(weights, [wanted] * 4 + [1 - 4 * wanted], rtol=1e-6)
    np.testing.assert_array_equal(multi_step_weights(5, jnp.asarray(0.11), 0.1), [0, 0, 0, 0, 1])
    np.testing.assert_array_equal(multi_step_weights(2, jnp.asarray(0.0), 0.0), [0, 1])


def test_multi_step_scores_every_step(task):
    """At progress 0 it is the mean over the losses of runs of 1, 2 and 3 steps."""
    learner = learner_of(rule=sgd(ALPHA), objective=multi_step(STEPS))
    each = [value_and_gradient(learner_of(rule=sgd(ALPHA), inner_steps=k), task)[0] for k in (1, 2, 3)]
    np.testing.assert_allclose(value_and_gradient(learner, task)[0], np.mean(each), rtol=1e-10)


def test_truncated_to_nothing_is_first_order_and_between_lies_between(task, plain):
    one = value_and_gradient(learner_of(rule=sgd(ALPHA), flow=truncated(0)), task)
    first = value_and_gradient(fomaml(linear_model(), squared_error(), inner_steps=STEPS, inner_step_size=ALPHA), task)
    assert_same(one, first)
    assert_another(one, plain)
    between = value_and_gradient(learner_of(rule=sgd(ALPHA), flow=truncated(1)), task)
    assert_another(between, one)
    assert_another(between, plain)


def test_maml_plus_plus_is_first_order_early_and_second_order_late(task):
    learner = mamlpp(linear_model(), squared_error(), inner_steps=STEPS, inner_step_size=ALPHA, multi_step_until=0.0)
    first = value_and_gradient(learner_of(rule=sgd(ALPHA), flow=first_order()), task)
    assert_same(value_and_gradient(learner, task, progress=jnp.asarray(0.2)), first)
    second = value_and_gradient(learner_of(rule=sgd(ALPHA)), task)
    assert_same(value_and_gradient(learner, task, progress=jnp.asarray(0.5)), second)


@pytest.mark.parametrize("make", [optax.adam, lambda rate: optax.sgd(rate, momentum=0.9)], ids=["adam", "momentum"])
def test_an_optax_rule_is_optax_by_hand_and_keeps_its_moments_in_the_state(make, task):
    learner = learner_of(rule=from_optax(make(ALPHA)))
    with jax.numpy_dtype_promotion("standard"):
        meta_params = double(learner.init(jax.random.key(0)))
        items = learner.represent(meta_params, task.support.items)
        support = task.support._replace(items=items)
        once = learner.adapt(meta_params, learner.begin(meta_params, task.user), support)
        twice = learner.adapt(meta_params, once, support)
        model, optimizer = linear_model(), make(ALPHA)

        def loss(params):
            user = model.embed_user(params["user"], task.user)
            scores = model.score(params["head"], user, model.embed_item(params["item"], task.support.items))
            return squared_error().value(scores, task.support.target, task.support.mask)

        params = meta_params["model"]
        moments = optimizer.init(params)
        for _ in range(2 * STEPS):
            updates, moments = optimizer.update(jax.grad(loss)(params), moments, params)
            params = optax.apply_updates(params, updates)
    for one, other in zip(jax.tree.leaves(twice.fast), jax.tree.leaves(params), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-10)


def test_reptile_moves_the_start_towards_what_adapting_to_all_rows_reached(task):
    learner = reptile(linear_model(), squared_error(), inner_steps=STEPS, inner_step_size=ALPHA, adam=False)
    meta_params = double(learner.init(jax.random.key(0)))
    gradient = jax.grad(lambda m: learner.loss(m, task, KEY, START)[0])(meta_params)["model"]
    rows = jax.tree.map(lambda one, other: jnp.concatenate([one, other]), task.support, task.query)
    phi = learner.adapt(meta_params, learner.begin(meta_params, task.user), rows).fast
    for g, theta, p in zip(*map(jax.tree.leaves, (gradient, meta_params["model"], phi)), strict=True):
        np.testing.assert_allclose(g, theta - p, rtol=1e-12)


def test_boil_moves_the_body_alone(task):
    learner = boil(linear_model(), squared_error(), inner_step_size=ALPHA)
    meta_params = double(learner.init(jax.random.key(0)))
    state = learner.adapt(meta_params, learner.begin(meta_params, task.user), task.support)
    assert state.fast["head"] == {"kernel": None, "bias": None}
    assert jnp.abs(state.fast["user"]["kernel"] - meta_params["model"]["user"]["kernel"]).max() > 1e-6


def test_anil_without_a_body_is_maml(task):
    """With towers that have no parameters, the head is everything."""

    def bare():
        whole = linear_model()
        about = {"kernel": jnp.eye(2, 3)}
        return Model(
            lambda key: whole.init(key) | {"user": {}, "item": {}},
            lambda params, user: whole.embed_user(about, user),
            lambda params, items: items["about"],
            whole.score,
        )

    learners = [make(bare(), squared_error(), inner_steps=2, inner_step_size=ALPHA) for make in (anil, maml)]
    meta_params = double(learners[0].init(jax.random.key(0)))
    losses = [jax.value_and_grad(lambda m, one=one: one.loss(m, task, KEY, START)[0])(meta_params) for one in learners]
    np.testing.assert_allclose(losses[0][0], losses[1][0], rtol=1e-12)
    for one, other in zip(*(jax.tree.leaves(gradient) for _, gradient in losses), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-12)


def test_cavia_adapts_a_context_that_is_never_learned(task):
    learner = cavia(contextual_model(4), squared_error(), inner_step_size=0.1)
    meta_params = learner.init(jax.random.key(0))
    labels = learner.labels(meta_params)
    assert labels["model"]["head"] == {"bias": "learn", "kernel": "learn", "context": "freeze", "mix": "learn"}
    items = learner.represent(meta_params, task.support.items)
    state = learner.adapt(meta_params, learner.begin(meta_params, task.user), task.support._replace(items=items))
    assert [leaf.shape for leaf in jax.tree.leaves(state.fast)] == [(4,)]
    assert jnp.abs(state.fast["head"]["context"]).max() > 1e-6


def test_cavia_with_no_context_is_no_adaptation(task):
    learner = cavia(contextual_model(0), squared_error())
    meta_params = learner.init(jax.random.key(0))
    items = learner.represent(meta_params, task.support.items)
    before = learner.begin(meta_params, task.user)
    after = learner.adapt(meta_params, before, task.support._replace(items=items))
    predictions = [learner.predict(meta_params, state, items).mean for state in (before, after)]
    np.testing.assert_array_equal(*predictions)


def test_cavia_without_a_context_in_the_model_says_what_is_missing():
    with pytest.raises(ConfigError, match=r"matches none of the model's.*head/bias"):
        cavia(linear_model(), squared_error())


def test_dropout_drops_what_adapting_moved():
    """Of a run that moved by 1 everywhere, half of the elements move by 2 and half not at all."""
    seen = []

    def query_loss(phi):
        seen.append(phi)
        return jnp.sum(phi)

    unused = {name: lambda *_: jnp.zeros(()) for name in ("trajectory", "adapt_on_all", "support_loss", "task_loss")}
    run = Run(
        begin=jnp.zeros(1000), adapt=lambda: jnp.ones(1000), query_loss=query_loss, pull=lambda phi: START, **unused
    )
    task_embedding_dropout(0.5).score(run, START, KEY)
    assert set(np.unique(seen[0])) == {0.0, 2.0}
    assert 400 < int((seen[0] > 0).sum()) < 600


NONSENSE = {
    "per-step sizes, other steps": (
        lambda: learner_of(rule=per_step(0.1, 5), inner_steps=3),
        r"learned for 5 inner steps.*got inner_steps=3",
    ),
    "Meta-SGD, more steps": (
        lambda: meta_sgd(linear_model(), squared_error(), inner_steps=5),
        r"learned for 1 inner steps and hold for no other number",
    ),
    "implicit, nothing proximal": (
        lambda: learner_of(flow=implicit()),
        r"implicit flow differentiates the minimiser.*Use chain\(proximal",
    ),
    "implicit, every step": (
        lambda: learner_of(flow=implicit(), rule=chain(proximal(1.0), sgd(0.1)), objective=multi_step(3)),
        "knows the minimiser only",
    ),
    "envelope, nothing proximal": (lambda: learner_of(objective=envelope()), "envelope objective needs a proximal"),
    "reptile of the head": (
        lambda: learner_of(objective=reptile_surrogate(), fast=paths("head/*")),
        r"never be learned\. Use fast=everything\(\)",
    ),
    "a multi-step loss of other steps": (
        lambda: learner_of(objective=multi_step(3), inner_steps=2),
        "weighs 3 inner steps, got inner_steps=2",
    ),
    "reptile learns no step size": (
        lambda: learner_of(objective=reptile_surrogate(), rule=sgd(0.1, learned=True)),
        "they would stay as they are",
    ),
    "two numbers of steps": (lambda: chain(per_step(0.1, 2), per_element()), r"different numbers.*\[1, 2\]"),
    "an empty chain": (chain, "needs one rule or more"),
    "no pull": (lambda: proximal(0.0), "strength of a proximal term must be positive"),
    "negative decay": (lambda: weight_decay(-1.0), "weight decay must be 0 or more"),
    "no step": (lambda: per_step(0.1, 0), "need one step or more"),
    "bounds": (lambda: per_element(0.2, 0.1), "two bounds that ascend"),
    "no conjugate gradients": (lambda: implicit(0), "one step or more, got cg_steps=0"),
    "truncated below nothing": (lambda: truncated(-1), "keeps 0 steps or more"),
    "all is dropped": (lambda: task_embedding_dropout(1.0), r"lies in \[0, 1\)"),
    "multi-step of none": (lambda: multi_step(0), "needs a step or more"),
}


@pytest.mark.parametrize(("make", "match"), NONSENSE.values(), ids=NONSENSE)
def test_choices_that_make_no_sense_are_refused(make, match):
    with pytest.raises(ConfigError, match=match):
        make()


def test_meta_sgd_takes_other_steps_when_asked():
    assert meta_sgd(linear_model(), squared_error(), inner_steps=5, any_steps=True).streaming == "anew"


def test_curvature_refuses_tables():
    with pytest.raises(ConfigError, match=r"is \[5000, 4\].*Choose `fast` without embedding tables"):
        curvature().init(KEY, {"table": jnp.zeros((5000, 4))})


def test_learned_hyper_parameters_get_gradients(task):
    """Every leaf of every learned rule moves the loss."""
    for rule in (
        per_step(ALPHA, STEPS),
        per_element(num_steps=None),
        chain(curvature(), sgd(ALPHA)),
        chain(proximal(1.0, learned=True), sgd(ALPHA, learned=True)),
        chain(proximal(1.0, learned=True, per_tensor=True), sgd(ALPHA)),
        alfa_rule(ALPHA),
    ):
        _, gradient = value_and_gradient(learner_of(rule=rule, fast=everything()), task)
        moved = [float(jnp.abs(leaf).max()) for leaf in jax.tree.leaves(gradient["rule"])]
        assert moved
        assert sum(one > 0 for one in moved) >= len(moved) - 2  # ALFA's hidden layer is behind zeros at the start


def test_all_presets_run_over_a_batch_of_tasks():
    """One jitted gradient of the mean over tasks, finite everywhere."""
    tasks = random_tasks(jax.random.key(2), 3)
    model = linear_model()
    presets = [melu, fomaml, boil, meta_sgd, mamlpp, imaml, mlr, minibatch_prox, meta_curvature]
    for preset in presets:
        learner = preset(model, squared_error())

        def mean(meta_params, learner=learner):
            one = lambda task: learner.loss(meta_params, task, KEY, START)[0]  # noqa: E731
            return jnp.mean(jax.vmap(one)(tasks))

        gradient = jax.jit(jax.grad(mean))(learner.init(jax.random.key(0)))
        assert all(bool(jnp.isfinite(leaf).all()) for leaf in jax.tree.leaves(gradient)), preset
