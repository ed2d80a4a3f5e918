"""Conditional neural process: one pass of an encoder over the ratings, a mean of what it says, one of a decoder.

e_i = h(item_i, y_i - score_i)                       eq. 1, for each row of the support
r = (c r_0 + sum_i e_i) / (c + n)                    eq. 2, the commutative operation
(m, s) = g(user, item, r);  y ~ N(score + m, s^2)    eq. 3

The score is the shared model's: the process is on what that leaves unexplained, so that targets are centred whatever
their scale. The paper's operation is the plain mean (c = 0), which is undefined before any rating and forgets how many
there were; here a learned r_0 counts as c ratings, c learned too. The state is the sum and n, so that one rating at a
time is exactly all at once. Nothing is adapted by gradients: adapting costs a pass of the encoder.

References:
    Garnelo et al., 2018, "Conditional neural processes", eqs. 1 to 3; trained by eq. 4 on the query alone.
    https://arxiv.org/abs/1807.01613
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp

from metajax.learners.dense import dense, float_type, init_dense, side_by_side
from metajax.learners.episode import represent_task
from metajax.learners.gaussian import bounded_variance, check_neural_process, negative_log_likelihood
from metajax.losses import Loss
from metajax.types import Examples, Key, Learner, Metrics, Model, Prediction, PyTree, Task, learn_everything


class CnpState(NamedTuple):
    """One user.

    Attributes:
        user: the vector that the shared model sees.
        total: `[width]` sum of the encodings of the ratings.
        count: how many there were.
    """

    user: jax.Array
    total: jax.Array
    count: jax.Array


def cnp(
    model: Model,
    loss: Loss | None = None,
    *,
    user_width: int,
    item_width: int,
    width: int = 64,
    min_deviation: float = 0.1,
) -> Learner:
    """Build the learner.

    Args:
        model: the towers are read by encoder and decoder, its score is the mean before the decoder's correction.
        loss: squared error, which the likelihood of a Gaussian generalises; nothing else.
        user_width: length of the model's user vector.
        item_width: length of an item vector.
        width: of r, and of the hidden layers (two in the encoder and two in the decoder).
        min_deviation: least predictive standard deviation, in units of the target; positive.

    Raises:
        ConfigError: if the loss is another, or a number is not positive.
    """
    check_neural_process(loss, width=width, min_deviation=min_deviation)

    def init(key: Key) -> PyTree:
        model_key, encoder_key, decoder_key = jax.random.split(key, 3)
        params = model.init(model_key)
        dtype = float_type(params)
        decoder = (user_width + item_width + width, width, width, 2)
        return {
            "model": params,
            "encoder": init_dense(encoder_key, (item_width + 1, width, width, width), dtype),
            "decoder": init_dense(decoder_key, decoder, dtype, output_scale=0.01),
            "prior": jnp.zeros(width, dtype),
            "log_prior_count": jnp.zeros((), dtype),
        }

    def represent(meta_params: PyTree, items: PyTree) -> jax.Array:
        return model.embed_item(meta_params["model"]["item"], items)

    def begin(meta_params: PyTree, user: PyTree) -> CnpState:
        nothing = jnp.zeros_like(meta_params["prior"])
        return CnpState(model.embed_user(meta_params["model"]["user"], user), nothing, nothing[0])

    def adapt(meta_params: PyTree, state: CnpState, support: Examples) -> CnpState:
        residual = support.target - model.score(meta_params["model"]["head"], state.user, support.items)
        inputs = side_by_side(len(residual), support.items, residual[:, None])
        encodings = jnp.where(support.mask[:, None] > 0, dense(meta_params["encoder"], inputs), 0)
        return state._replace(total=state.total + encodings.sum(axis=0), count=state.count + support.mask.sum())

    def predict(meta_params: PyTree, state: CnpState, representations: PyTree) -> Prediction:
        prior_count = jnp.exp(meta_params["log_prior_count"])
        about_user = (prior_count * meta_params["prior"] + state.total) / (prior_count + state.count)
        score = model.score(meta_params["model"]["head"], state.user, representations)
        outputs = dense(meta_params["decoder"], side_by_side(len(score), state.user, representations, about_user))
        return Prediction(score + outputs[:, 0], bounded_variance(outputs[:, 1], min_deviation))

    def outer_loss(meta_params: PyTree, task: Task, key: Key, progress: jax.Array) -> tuple[jax.Array, Metrics]:
        del key, progress
        task, _ = represent_task(represent, meta_params, task)
        state = adapt(meta_params, begin(meta_params, task.user), task.support)
        return negative_log_likelihood(predict(meta_params, state, task.query.items), task.query), {}

    return Learner(init, represent, begin, adapt, predict, outer_loss, learn_everything, "exact")
