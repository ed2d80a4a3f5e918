"""What every learner promises, over the table of all learners."""

import pytest
from learners import checks
from learners.table import ADAPTS, ADAPTS_ON_QUERY, EXACT_STREAM, LEARNERS, SURROGATE

every_learner = pytest.mark.parametrize("name", LEARNERS)


def every_learner_but(exceptions):
    return pytest.mark.parametrize("name", [name for name in LEARNERS if name not in exceptions])


@pytest.fixture(scope="module")
def ready():
    """Name -> the learner, initialised and compiled once a module."""
    built = {}

    def get(name):
        if name not in built:
            built[name] = checks.prepare(LEARNERS[name]())
        return built[name]

    return get


@every_learner
def test_shapes_and_labels(name, ready):
    checks.check_shapes_and_labels(ready(name))


@every_learner
def test_padding_rows_change_nothing(name, ready):
    checks.check_padding(ready(name))


@every_learner
def test_empty_support_is_begin_bit_for_bit(name, ready):
    checks.check_empty_support(ready(name))


@every_learner
def test_order_of_support_rows_does_not_matter(name, ready):
    checks.check_order_of_rows(ready(name))


@pytest.mark.parametrize("name", ADAPTS)
def test_adapting_moves_the_prediction_towards_the_support(name, ready):
    checks.check_adapting_helps(ready(name))


@every_learner_but(ADAPTS_ON_QUERY)
def test_training_adapts_on_the_support_alone(name, ready):
    checks.check_adapts_on_support_alone(ready(name))


@every_learner_but(SURROGATE)
def test_the_gradient_is_that_of_the_loss(name, ready):
    checks.check_gradient(ready(name))


@every_learner
def test_no_user_leaks_into_the_next(name, ready):
    checks.check_no_user_leaks_into_the_next(ready(name))


@every_learner
def test_vmap_is_a_loop(name, ready):
    checks.check_vmap_is_a_loop(ready(name))


@every_learner_but(["autoencoder", "uptake"])  # whose loss no target moves
def test_loss_falls_on_a_shared_linear_world(name, ready):
    checks.check_loss_falls(ready(name))


@pytest.mark.parametrize("name", EXACT_STREAM)
def test_streaming_is_exact(name, ready):
    checks.check_streaming_is_exact(ready(name))


@every_learner
def test_saved_and_restored_is_never_saved(name, ready, tmp_path):
    checks.check_saved_and_restored(ready(name), tmp_path)
