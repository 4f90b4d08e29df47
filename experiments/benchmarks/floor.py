"""The floor of an epoch: the matrix products of its steps and nothing else.

Batches are ready in memory in float32. A step multiplies what a training step has to multiply (forward, the
gradients of the weights, and of every layer's input but the first's), reduces every result to a number and adds
these to the scan's carry, so that none can be left out. There are three forms of the weights' gradients; the
floor is the fastest.
"""

import itertools
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

FORMS: dict[str, Callable[[Any, Any], Any]] = {
    "h^T d": lambda h, d: h.T @ d,
    "d^T h": lambda h, d: d.T @ h,
    "contraction over rows": lambda h, d: jax.lax.dot_general(h, d, (((0,), (0,)), ((), ()))),
}


def floors(weights: list, x: Any, batch_size: int) -> dict[str, Callable[[], Any]]:
    """One epoch in each form; weights a list of (I, O), x (N, I) uint8 of which whole batches are used.

    A last batch that is not whole is padded with the first rows, as in training.
    """
    steps = -(-len(x) // batch_size)
    rows = jnp.asarray(x, jnp.float32) / 255
    batches = jnp.concatenate([rows, rows[: steps * batch_size - len(x)]]).reshape(steps, batch_size, -1)
    weights = jax.device_put(list(weights))
    return {name: _epoch(weights, batches, product) for name, product in FORMS.items()}


def flops(sizes: tuple[int, ...], rows: int) -> int:
    """Multiplications and additions of these products: 6 for each weight and row, 4 in the first layer."""
    pairs = [i * o for i, o in itertools.pairwise(sizes)]
    return rows * (6 * sum(pairs) - 2 * pairs[0])


def _epoch(weights: list, batches: Any, product: Callable) -> Callable[[], Any]:
    @jax.jit
    def epoch(weights: list, batches: Any) -> Any:
        def step(total: Any, x: Any) -> tuple[Any, None]:
            inputs = [x]
            for w in weights:
                inputs.append(inputs[-1] @ w)
            d = inputs.pop()
            total += d.sum()
            for i in reversed(range(len(weights))):
                total += product(inputs[i], d).sum()
                if i:
                    d = d @ weights[i].T
            return total, None

        return jax.lax.scan(step, jnp.zeros(()), batches)[0]

    return lambda: epoch(weights, batches)
