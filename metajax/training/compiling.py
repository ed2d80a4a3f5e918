"""What XLA is told when it compiles an outer step, or a program of the service."""

from functools import cache

import jax
import jax.numpy as jnp

DOTS_ONLY = {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT"}
"""Matrix products by the library YNNPACK, but sums over tasks by XLA itself, and what is added to a product.

By default XLA on CPU (jaxlib 0.10) hands sums to the library too, which takes most of a step there: the sum over tasks
of per-task kernels' gradients. MeLU's outer gradient of 32 tasks took 10.6 ms of processor time with the default and
6.3 ms so, with five inner steps 47 and 40, ridge's 3.8 and 2.7 (`make bench` has both, interleaved). With what is added
to a product in the library too, lists of ten for eight users of the flagship take 1.12 of the time, of a hundred 1.16,
ridge's gradient 1.1, MeLU's the same.
"""

QUICKLY = {"xla_backend_optimization_level": "1", "xla_llvm_disable_expensive_passes": "True"}
"""Less optimisation for a program that runs once. The first state of MovieLens-1M's flagship is compiled in .62 of the
time and the same, bit for bit; twelve million draws take 1.4 times as long."""


@cache
def compiler_options(*, once: bool = False) -> dict[str, str]:
    """Return the options of `jax.jit`: none but on CPU, none that this jaxlib does not know.

    Args:
        once: the program runs once.
    """
    if jax.default_backend() != "cpu":
        return {}
    options = QUICKLY if once else DOTS_ONLY
    try:
        jax.jit(lambda x: x + 1, compiler_options=options)(jnp.zeros(())).block_until_ready()
    except jax.errors.JaxRuntimeError:
        return {}
    return options
