"""Programs with convolutions, compiled with an option that large ones want.

Works around: the default route of large convolutions on a CPU asks the system for new memory on every call.
Gains:        a quarter to a half of a training step of a small convolutional network
              (`python -m experiments.benchmarks.convolutions`). The sums of a convolution are taken in another order.
Can go:       when the default is as fast. The plain version is the program itself.

Options are refused where a compiled function is called by another that is compiled or differentiated, so they are for
who compiles last: `fit` and `sweep`, and no pure function.
"""

import functools
from typing import Any

import jax

from fnnet._jit import Compiled
from fnnet._xla.compile_once import known_options

_OPTIONS = {"xla_cpu_experimental_ynn_fusion_type": "LIBRARY_FUSION_TYPE_INDIVIDUAL_DOT"}


@functools.cache
def for_convolutions(program: Compiled, *static_argnames: str, **settings: Any) -> Compiled:
    """A compiled function compiled once more, with the option where this backend and version of XLA know it."""
    options = known_options(**_OPTIONS) if jax.default_backend() == "cpu" else None
    return jax.jit(program, static_argnames=static_argnames, compiler_options=options, **settings)
