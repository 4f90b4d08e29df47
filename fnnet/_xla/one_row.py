"""Random tensors drawn as one row and reshaped.

Works around: over two axes XLA unrolls a short last one (10 classes), random rounds and all, for a second.
Gains:        7 % of the compile time of a first network's parameters (`python -m experiments.benchmarks.tricks`), once
              half of it.
Can go:       when `distribution(key, shape, dtype)` compiles as fast; that is the plain version, to the bit.
"""

import math
from collections.abc import Callable
from typing import Any

from jaxtyping import Array, PRNGKeyArray


def drawn(
    distribution: Callable[..., Array], key: PRNGKeyArray, shape: tuple[int, ...], dtype: Any, **settings: Any
) -> Array:
    """`distribution(key, shape, dtype, **settings)`, such as `jax.random.normal`: the same numbers."""
    return distribution(key, (math.prod(shape),), dtype, **settings).reshape(shape)
