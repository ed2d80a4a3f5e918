"""Each kind of column by hand, and what an unseen id or an empty bag gives."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from models.columns import ITEM, KINDS, USER, encoded

from metajax.data.columns import Column
from metajax.errors import ConfigError
from metajax.models import ColumnEmbeddings, example, item_width, lift, two_tower, user_width
from metajax.models.embeddings import side


def tower(columns, dim=2, **options):
    part = lift(lambda rngs: ColumnEmbeddings(columns, dim, scale=1.0, rngs=rngs, **options))
    return part, part.init(jax.random.key(0))


@pytest.mark.parametrize("project_numbers", [False, True])
def test_every_kind_by_hand(project_numbers):
    part, params = tower(ITEM, project_numbers=project_numbers)
    tables = params["columns"]
    items = encoded(ITEM, "item", rows=3)
    items["genres"] = jnp.array([[1, 3], [2, 0], [0, 0]], jnp.int32)
    items["id"] = jnp.array([1, 0, 5], jnp.int32)
    ids, genres = tables["id"]["embedding"], tables["genres"]["embedding"]
    year = items["year"][:, None]
    expected = [
        jnp.stack([ids[1], np.zeros(2, np.float32), ids[5]]),
        tables["decade"]["embedding"][items["decade"]],
        jnp.stack([(genres[1] + genres[3]) / 2, genres[2], np.zeros(2, np.float32)]),
        year @ tables["year"]["kernel"] if project_numbers else year,
        items["image"] @ tables["image"]["kernel"],
    ]
    np.testing.assert_allclose(part.apply(params, items), np.concatenate(expected, axis=1), rtol=1e-6)


def test_an_unseen_id_gives_and_gets_exactly_nothing():
    part, params = tower((ITEM[0],))
    unseen = {"id": jnp.array([0], jnp.int32)}
    assert jnp.all(part.apply(params, unseen) == 0)
    gradient = jax.grad(lambda params: part.apply(params, unseen).sum())(params)
    assert jnp.all(gradient["columns"]["id"]["embedding"] == 0)


def test_an_id_beyond_the_table_is_nan_and_no_other_row():
    part, params = tower(ITEM[:2])
    vectors = part.apply(params, {"id": jnp.array([6], jnp.int32), "decade": jnp.array([4], jnp.int32)})
    assert jnp.all(jnp.isnan(vectors))


def test_an_unknown_category_is_a_value_like_all_others():
    part, params = tower((ITEM[1],))
    assert jnp.all(part.apply(params, {"decade": jnp.array([0], jnp.int32)}) != 0)


def test_one_user_is_a_row_without_its_axis():
    part, params = tower(USER)
    user = encoded(USER, "user")
    rows = jax.tree.map(lambda leaf: leaf[None], user)
    np.testing.assert_allclose(part.apply(params, user), part.apply(params, rows)[0], rtol=1e-6)


def test_width_is_the_length_of_the_output():
    for project_numbers in (False, True):
        part, params = tower(ITEM, dim=3, project_numbers=project_numbers)
        assert part.apply(params, encoded(ITEM, "item", rows=2)).shape == (2, 15 if project_numbers else 13)


def test_without_columns_there_is_one_learned_vector():
    part, params = tower(())
    np.testing.assert_array_equal(part.apply(params, {}), params["constant"])
    assert params["constant"].shape == (2,)


@pytest.mark.parametrize("column", [ITEM[1], ITEM[2], ITEM[4]], ids=lambda column: column.kind)
def test_scale_is_the_standard_deviation_at_the_start(column):
    wide = Column(column.name, column.of, column.kind, 64)
    for scale in (0.0, 0.3):
        init = lift(lambda rngs, scale=scale: ColumnEmbeddings((wide,), 64, scale=scale, rngs=rngs)).init
        (table,) = jax.tree.leaves(init(jax.random.key(0)))
        expected = scale / 8 if column.kind == "vector" else scale
        np.testing.assert_allclose(jnp.std(table), expected, rtol=0.05)


def test_a_column_that_the_data_lack_is_named():
    part, params = tower(ITEM)
    with pytest.raises(ConfigError, match=r"embeds the columns \['genres'\], but the data have only \['decade', 'id'"):
        part.apply(params, {name: value for name, value in encoded(ITEM, "item", rows=1).items() if name != "genres"})


def test_columns_that_clash_or_lack_are_refused():
    with pytest.raises(ConfigError, match="Two item columns have one name"):
        side((*ITEM, ITEM[0]), "item")
    with pytest.raises(ConfigError, match="at least one item column, got none"):
        side(USER, "item")
    assert side(ITEM, "user") == ()


@pytest.mark.parametrize("columns", KINDS.values(), ids=KINDS)
def test_example_shows_the_shapes(columns):
    for of, rows in (("item", 3), ("user", None)):
        shown, real = example(columns, of, rows=rows), encoded(columns, of, rows=rows)
        assert shown.keys() == real.keys()
        for name, column in shown.items():
            assert (column.dtype, column.ndim) == (real[name].dtype, real[name].ndim)


def test_widths_read_the_model():
    model = two_tower(KINDS["all"], embedding_dim=3)
    assert item_width(model, KINDS["all"]) == 13
    assert user_width(model, KINDS["all"]) == 13
