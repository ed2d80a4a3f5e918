"""One adapter that lifts the parts of a recommender to pure functions: flax.nnx, flax.linen or plain functions.

Parameters are plain nested dicts of arrays with string keys, whatever made them: no flax type gets into a checkpoint
or an artifact.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
from flax import nnx

from metajax.errors import ConfigError
from metajax.types import Key, Model, PyTree


class Pure(NamedTuple):
    """A part as a pair of plain functions.

    Attributes:
        init: key -> params, a plain nested dict of arrays. The key is consumed.
        apply: (params, *inputs) -> output.
    """

    init: Callable[[Key], PyTree]
    apply: Callable[..., PyTree]


class Linen(NamedTuple):
    """A part as a flax.linen module, with the inputs that show it its shapes.

    Attributes:
        module: all of its variables must be parameters.
        example: the positional inputs of one call: `(user,)`, `(items,)` or `(user_vector, item_vectors)`.
    """

    module: Any
    example: tuple[PyTree, ...]


Part = Callable[[nnx.Rngs], nnx.Module] | Linen | Pure
"""A factory of an nnx module, such as `lambda rngs: MyTower(rngs=rngs)`; a linen module; or plain functions."""


def model(user: Part, item: Part, head: Part) -> Model:
    """Make a model of two towers and a head, each written for ONE task.

    Args:
        user: encoded columns of one user, no rows axis -> user vector.
        item: encoded columns of the rows, leaves `[rows, ...]` -> item vectors, leaves `[rows, ...]`.
        head: (user vector, item vectors) -> scores `[rows]`, or `[rows, outputs]`.

    Raises:
        ConfigError: if a part is none of the three kinds, or keeps variables that are not parameters.
    """
    parts = {"user": lift(user), "item": lift(item), "head": lift(head)}

    def init(key: Key) -> PyTree:
        keys = jax.random.split(key, len(parts))
        return {name: part.init(one) for (name, part), one in zip(parts.items(), keys, strict=True)}

    return Model(init, parts["user"].apply, parts["item"].apply, parts["head"].apply)


def lift(part: Part) -> Pure:
    """Turn a part into plain functions.

    Raises:
        ConfigError: if it is none of the three kinds, or keeps variables that are not parameters.
    """
    if isinstance(part, Pure):
        return part
    if isinstance(part, Linen):
        return _lift_linen(part)
    is_linen = hasattr(part, "init") and hasattr(part, "apply")
    if callable(part) and not is_linen and not isinstance(part, nnx.Module):
        return _lift_nnx(part)
    raise ConfigError(
        f"A part of a model must be a factory of an nnx module, a Linen or a Pure, got {type(part).__name__}. "
        "Wrap a linen module as Linen(module, example), and functions as Pure(init, apply)."
    )


def _lift_nnx(factory: Callable[[nnx.Rngs], nnx.Module]) -> Pure:
    module = nnx.eval_shape(lambda: factory(nnx.Rngs(0)))  # shapes only: nothing is computed
    if not isinstance(module, nnx.Module):
        raise ConfigError(f"The factory of a part must return an nnx module, got {type(module).__name__}.")
    structure, shapes, rest = nnx.split(module, nnx.Param, ...)
    _refuse_variables(type(module).__name__, {type(variable).__name__ for _, variable in nnx.to_flat_state(rest)})

    def init(key: Key) -> PyTree:
        return _string_keys(nnx.to_pure_dict(nnx.state(factory(nnx.Rngs(key)), nnx.Param)))

    def apply(params: PyTree, *inputs: PyTree) -> PyTree:
        state = jax.tree.map(lambda shape: shape, shapes)  # a copy, for the next line writes into it
        nnx.replace_by_pure_dict(state, params)
        return nnx.merge(structure, state)(*inputs)

    return Pure(init, apply)


def _lift_linen(part: Linen) -> Pure:
    module, example = part
    variables = jax.eval_shape(lambda: module.init(jax.random.key(0), *example))
    _refuse_variables(type(module).__name__, set(variables) - {"params"})

    def init(key: Key) -> PyTree:
        return module.init(key, *example).get("params", {})

    def apply(params: PyTree, *inputs: PyTree) -> PyTree:
        return module.apply({"params": params}, *inputs)

    return Pure(init, apply)


def _refuse_variables(name: str, kinds: set[str]) -> None:
    if kinds:
        raise ConfigError(
            f"{name} keeps variables that are not parameters: {', '.join(sorted(kinds))}. A part is a pure function of "
            "its parameters and inputs. Use LayerNorm for BatchNorm, and leave Dropout out."
        )


def _string_keys(tree: PyTree) -> PyTree:
    if not isinstance(tree, dict):
        return tree
    return {str(name): _string_keys(branch) for name, branch in tree.items()}
