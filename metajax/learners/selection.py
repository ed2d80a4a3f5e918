"""WHAT moves in the inner loop: a sub-tree of the parameters, chosen by path."""

from collections.abc import Callable
from fnmatch import fnmatchcase

import jax

from metajax.errors import ConfigError
from metajax.types import PyTree

Selection = Callable[[str], bool]


def paths(*patterns: str) -> Selection:
    """Select the leaves whose path, such as "head/output/kernel", matches one of the shell-style patterns."""
    return lambda path: any(fnmatchcase(path, pattern) for pattern in patterns)


def all_but(*patterns: str) -> Selection:
    """Select the leaves whose path matches none of the patterns."""
    chosen = paths(*patterns)
    return lambda path: not chosen(path)


def everything() -> Selection:
    """Select all parameters."""
    return paths("*")


def path_of(key_path: tuple) -> str:
    """Write a JAX key path as "head/output/kernel"."""
    return jax.tree_util.keystr(key_path, simple=True, separator="/")


def split(params: PyTree, selection: Selection) -> tuple[PyTree, PyTree]:
    """Split `params` into (selected, rest): two trees of the same shape with None where the other has the leaf."""

    def keep(wanted: bool) -> PyTree:
        return jax.tree_util.tree_map_with_path(
            lambda path, leaf: leaf if selection(path_of(path)) == wanted else None, params
        )

    return keep(wanted=True), keep(wanted=False)


def join(selected: PyTree, rest: PyTree) -> PyTree:
    """Undo `split`."""
    return jax.tree.map(
        lambda one, other: other if one is None else one, selected, rest, is_leaf=lambda leaf: leaf is None
    )


def touches(params: PyTree, selection: Selection, part: str) -> bool:
    """Tell whether the selection moves anything below `part` ("user", "item" or "head")."""
    return bool(jax.tree.leaves(split({part: params[part]}, selection)[0]))


def selects_all_of(params: PyTree, selection: Selection, part: str) -> bool:
    """Tell whether the selection moves all that is below `part`, and nothing else."""
    there = [path_of(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)]
    return all(selection(path) == path.startswith(f"{part}/") for path in there)


def check_selection(params: PyTree, selection: Selection) -> None:
    """Raise `ConfigError` if the selection matches no parameter, listing the paths there are."""
    if not jax.tree.leaves(split(params, selection)[0]):
        there = [path_of(path) for path, _ in jax.tree_util.tree_leaves_with_path(params)]
        raise ConfigError(
            "The selection of fast parameters matches none of the model's. "
            f"Its paths are: {', '.join(there) or '(none)'}. Choose `fast` among these, such as paths('head/*')."
        )
