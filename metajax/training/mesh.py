"""The named device mesh: tasks over the axis "tasks", large embedding tables over the axis "model".

One code path for one device and for many: `jit` over the mesh, with the compiler's own collectives. This is what
`jax.pmap` became: it is a wrapper over `jit` and `shard_map` today.
"""

import math
from collections.abc import Callable

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

from metajax.errors import ConfigError
from metajax.types import PyTree

AXES = ("tasks", "model")
LARGE_TABLE = 4096
"""Rows from which a table is sharded over the axis "model"; keeping a smaller one is cheaper than fetching its rows."""


def parse_mesh(text: str) -> dict[str, int]:
    """Read a mesh such as "tasks=4,model=2"; an axis that is not named has size 1.

    Raises:
        ConfigError: for another axis, one that is named twice, or a size that is not a positive number.
    """
    sizes: dict[str, int] = {}
    for word in text.split(","):
        name, _, size = (part.strip() for part in word.partition("="))
        if name not in AXES or name in sizes or not size.isdecimal() or int(size) < 1:
            raise ConfigError(
                f'A mesh is written like "tasks=4,model=2", each axis once with a size of 1 or more; got {word!r} '
                f"in {text!r}. The axes are {' and '.join(AXES)}."
            )
        sizes[name] = int(size)
    return {axis: sizes.get(axis, 1) for axis in AXES}


def make_mesh(text: str | None = None) -> Mesh:
    """Make the mesh that `parse_mesh` reads; without one, the tasks are shared by all devices of all processes.

    In one process a mesh may take fewer devices than there are: the first ones.

    Raises:
        ConfigError: if there are too few devices, or several processes of which some would have no part in it.
    """
    devices = jax.devices()
    sizes = parse_mesh(text or f"tasks={len(devices)}")
    wanted = math.prod(sizes.values())
    if wanted > len(devices) or (jax.process_count() > 1 and wanted != len(devices)):
        raise ConfigError(
            f"The mesh {text!r} takes {wanted} devices, but {jax.process_count()} process(es) have {len(devices)}. "
            "Let tasks x model be their number, start more processes (--distributed), or make a CPU pretend: "
            f"XLA_FLAGS=--xla_force_host_platform_device_count={wanted}."
        )
    return jax.make_mesh(
        tuple(sizes.values()), tuple(sizes), devices=devices[:wanted], axis_types=(AxisType.Auto,) * len(sizes)
    )


def everywhere(mesh: Mesh) -> NamedSharding:
    """Return the sharding of what every device holds whole."""
    return NamedSharding(mesh, PartitionSpec())


def by_task(mesh: Mesh) -> NamedSharding:
    """Return the sharding of what has a leading tasks axis, of a number of tasks that divides (`shard_tasks`)."""
    return NamedSharding(mesh, PartitionSpec("tasks"))


def state_shardings(mesh: Mesh, state: PyTree) -> PyTree:
    """Return a sharding for every leaf of a training state, its optimiser's moments included.

    A leaf of `LARGE_TABLE` rows or more, which the size of the axis "model" divides, is sharded by rows over that axis;
    all else is whole on every device.

    Args:
        mesh: from `make_mesh`.
        state: arrays, or their shapes.
    """
    size = mesh.shape["model"]

    def sharding(leaf: jax.Array | jax.ShapeDtypeStruct) -> NamedSharding:
        is_table = leaf.ndim > 0 and leaf.shape[0] >= LARGE_TABLE and leaf.shape[0] % size == 0
        return NamedSharding(mesh, PartitionSpec("model")) if size > 1 and is_table else everywhere(mesh)

    return jax.tree.map(sharding, state)


def shard_tasks(tasks: PyTree, mesh: Mesh) -> PyTree:
    """Share tasks out in equal shards: the first tasks come again at the end until their number divides.

    XLA would pad by itself, but lets the gradient of its padding reach row 0 of a sharded table (jax 0.10.2).
    """
    shards, count = mesh.shape["tasks"], jax.tree.leaves(tasks)[0].shape[0]
    if count % shards:
        again = np.arange(shards * math.ceil(count / shards), dtype=np.int32) % count
        tasks = jax.tree.map(lambda leaf: leaf[again], tasks)
    return jax.lax.with_sharding_constraint(tasks, by_task(mesh))


def over_tasks(function: Callable, chunk: int | None, mesh: Mesh | None = None) -> Callable:
    """Map over the leading tasks axis at once, or on every shard of it `chunk` tasks at a time: less memory.

    With chunks the tasks become `[shards, tasks of a shard]`, so that a chunk never reaches across shards. On one shard
    `in_parts` is faster.

    Args:
        function: of one task.
        chunk: tasks that are mapped at once; all for None, and without a mesh.
        mesh: its shards divide the number of tasks, as `shard_tasks` makes it.
    """
    if chunk is None or mesh is None:
        return jax.vmap(function)

    def split(leaf: jax.Array) -> jax.Array:
        leaf = leaf.reshape(mesh.shape["tasks"], -1, *leaf.shape[1:])
        return jax.lax.with_sharding_constraint(leaf, by_task(mesh))

    def mapped(*batches: PyTree) -> PyTree:
        of_shard = jax.vmap(lambda *ones: jax.lax.map(lambda one: function(*one), ones, batch_size=chunk))
        return jax.tree.map(lambda leaf: leaf.reshape(-1, *leaf.shape[2:]), of_shard(*jax.tree.map(split, batches)))

    return mapped
