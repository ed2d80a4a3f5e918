"""The table of all learners: the conformance suite runs over it, so a new learner is tested by adding a line."""

from learners.worlds import identified_model, linear_model

from metajax.learners import anil, cnp, joint, maml, mamo, melu, meta_embedding, mwuf, paths, ridge
from metajax.losses import squared_error

LEARNERS = {
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
    "ridge": lambda: ridge(linear_model(), item_width=3),
    "joint": lambda: joint(linear_model(), squared_error()),
    "joint_fine_tuned": lambda: joint(linear_model(), squared_error(), inner_steps=2, inner_step_size=0.05),
    "meta_embedding": lambda: meta_embedding(identified_model(), squared_error(), content_width=3),
    "mwuf": lambda: mwuf(identified_model(), squared_error(), content_width=3, rater_width=3),
    "cnp": lambda: cnp(linear_model(), squared_error(), user_width=3, item_width=3, width=8),
}

AMORTISED = ["cnp"]
"""Learners that know nothing about adapting before they are trained to; `test_neural_process.py` trains them."""
ADAPTS = [name for name in LEARNERS if name not in ("joint", *AMORTISED)]
EXACT_STREAM = ["ridge", "cnp"]
ADAPTS_ON_QUERY = []
"""Learners whose outer loss adapts on the query's ratings too, by their paper."""
SURROGATE = ["fomaml", "mamo", "meta_embedding", "mwuf"]
"""Learners whose outer gradient is, by their paper, not the derivative of their outer loss."""
