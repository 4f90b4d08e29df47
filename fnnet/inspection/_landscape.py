"""The loss around a network: on a line or a plane through its parameters.

    keys = jax.random.split(jax.random.key(0))
    directions = tuple(fnnet.random_direction(params, key) for key in keys)
    plane = fnnet.landscape(model, params, data, directions)
    plots.landscape(plane).savefig("landscape.png")    # from fnnet import plots

A network has millions of directions and a figure has two, so the figure depends on which these are, and on their scale:
a ReLU network stays the same function when one layer is doubled and the next one halved, but a step of length 1 is then
another step. Filter normalization removes that freedom. A random plane shows how wide the valley is on average; it
shows no path, and hardly ever the steepest direction.

Source: Li, Xu, Taylor, Studer, Goldstein 2018, Visualizing the loss landscape of neural nets, arXiv 1712.09913.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Int, PRNGKeyArray

from fnnet._spec import parameter_dtype
from fnnet._values import at_least_float32
from fnnet.model import Model
from fnnet.protocols import Batch
from fnnet.training.epochs import evaluate


class Landscape(NamedTuple):
    """Losses on a grid around a network.

    offsets  (P,) from -reach to reach; the middle one is 0, the network itself
    loss     (P,) at params + offsets[i] d, or (P, P) at params + offsets[i] d0 + offsets[j] d1; penalty included
    """

    offsets: Any
    loss: Any


def random_direction(params: Any, key: PRNGKeyArray) -> Any:
    """A random direction, like params, in which every filter is as long as the network's own.

        d_o = n_o |w_o| / |n_o|,     n standard normal

    The filter of output o is all that is multiplied into it: column o of a Dense layer's w, entry o of the last axis
    of any array of two axes or more. Biases, other vectors and scalars, and integers do not move (0), as in the paper.
    """
    leaves, tree = jax.tree.flatten(params)
    keys = [jax.random.fold_in(key, i) for i in range(len(leaves))]
    return tree.unflatten([_like_filters(w, k) for w, k in zip(leaves, keys, strict=True)])


@partial(jax.jit, static_argnames=("points", "at_once"))
def landscape(
    model: Model,
    params: Any,
    data: Batch,
    directions: tuple[Any, ...],
    *,
    reach: Any = 1.0,
    points: int = 31,
    at_once: int = 1,
    step: Int[Array, ""] | int | None = None,
) -> Landscape:
    """The loss over all rows of data on a grid, without dropout: one compiled program, points^len(directions) losses.

    directions  one (a line) or two (a plane), each like params: random, or from one network to another
                (`jax.tree.map(jnp.subtract, other, params)`: the other is then at offset 1)
    reach       how far the grid goes either way, in lengths of a direction
    points      on each axis, odd, so that the network itself is one of them
    at_once     grid points computed together; more need more memory, and pay off on large devices
    step        the step at which schedules in the model are evaluated; only needed where there are any

    Raises ValueError for other numbers of directions, for directions unlike params and for even points.
    """
    if not isinstance(directions, tuple | list) or len(directions) not in (1, 2):
        raise ValueError("landscape: expected directions to be a tuple of one or two trees like params")
    for direction in directions:
        _check_alike(params, direction)
    if points < 3 or points % 2 == 0 or at_once < 1:
        raise ValueError(
            f"landscape: expected points to be odd, 3 or more, and at_once 1 or more, got {points} and {at_once}"
        )
    dtype = parameter_dtype(params)
    half = points // 2
    offsets = jnp.asarray(reach, dtype) * (jnp.arange(-half, half + 1).astype(dtype) / half)
    axes = jnp.meshgrid(*[offsets] * len(directions), indexing="ij")

    def loss_at(place: Array) -> Array:
        return evaluate(model, _moved(params, directions, place), data, step=step).loss

    losses = jax.lax.map(loss_at, jnp.stack([a.ravel() for a in axes], 1), batch_size=None if at_once == 1 else at_once)
    return Landscape(offsets, losses.reshape(axes[0].shape))


def _like_filters(w: Array, key: PRNGKeyArray) -> Array:
    if w.ndim < 2 or not jnp.issubdtype(w.dtype, jnp.floating):
        return jnp.zeros_like(w)
    n = jax.random.normal(key, w.shape, at_least_float32(w.dtype)).astype(w.dtype)
    lengths = [jnp.sqrt((a * a).sum(tuple(range(w.ndim - 1)), keepdims=True)) for a in (w, n)]
    return n * (lengths[0] / lengths[1])


def _moved(params: Any, directions: tuple[Any, ...], place: Array) -> Any:
    """params + sum_i place_i direction_i; integers stay."""

    def move(p: Array, *parts: Array) -> Array:
        if not jnp.issubdtype(p.dtype, jnp.floating):
            return p
        return p + sum((place[i].astype(p.dtype) * d.astype(p.dtype) for i, d in enumerate(parts)), jnp.zeros_like(p))

    return jax.tree.map(move, params, *directions)


def _check_alike(params: Any, direction: Any) -> None:
    if jax.tree.structure(params) != jax.tree.structure(direction):
        raise ValueError("landscape: expected directions to be trees like params; random_direction makes one")
    for p, d in zip(jax.tree.leaves(params), jax.tree.leaves(direction), strict=True):
        if p.shape != d.shape:
            raise ValueError(f"landscape: expected a direction with an array of shape {p.shape}, got {d.shape}")
