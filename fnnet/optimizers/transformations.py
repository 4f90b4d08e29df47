"""Gradient transformations that are not optimizers: they clip, add noise, decay or project. All are stateless."""

from collections.abc import Callable
from functools import reduce

import jax
import jax.numpy as jnp
from jaxtyping import Array

from fnnet._spec import check_range, parameter_dtype, spec
from fnnet.protocols import Key, Number, Params, parameter_name


class _Stateless:
    """A transformation that remembers nothing from one update to the next."""

    def init(self, params: Params) -> None:
        return None


class _Clip(_Stateless):
    """What the three clips share: a limit above 0."""

    limit: Number

    def check(self) -> None:
        check_range(self, "limit", required=True, low=0, low_open=True)


@spec
class ClipByValue(_Clip):
    """u <- min(max(u, -limit), limit), entry by entry; NaN stays NaN.

    The direction of the whole may change. The same as optax.clip, PyTorch's clip_grad_value_, Keras's clipvalue.
    """

    limit: Number

    def update(self, updates: Params, state: None, params: Params, *, key: Key | None = None) -> tuple[Params, None]:
        return jax.tree.map(lambda u: jnp.clip(u, -self.limit, self.limit), updates), None


@spec
class ClipByNorm(_Clip):
    """u <- u limit / max(|u|, limit) for each array by itself, |u| its Euclidean norm: directions stay.

    Keras's clipnorm is the same; in optax it is a map of projections.projection_l2_ball. PyTorch's clip_grad_norm_,
    given one array, divides by |u| + 1e-6.
    """

    limit: Number

    def update(self, updates: Params, state: None, params: Params, *, key: Key | None = None) -> tuple[Params, None]:
        return jax.tree.map(lambda u: _shrunk(u, self.limit), updates), None


@spec
class ClipByGlobalNorm(_Clip):
    """u <- u limit / max(|u|, limit), |u| the Euclidean norm of all arrays together: the direction stays.

    Where one entry is NaN or infinite there is no norm, and every entry becomes NaN. The norm itself does not
    overflow. optax.clip_by_global_norm and Keras's global_clipnorm are the same; PyTorch's clip_grad_norm_ divides
    by |u| + 1e-6. Source: Pascanu, Mikolov, Bengio 2012, arXiv 1211.5063.
    """

    limit: Number

    def update(self, updates: Params, state: None, params: Params, *, key: Key | None = None) -> tuple[Params, None]:
        return _shrunk(updates, self.limit), None


def _shrunk(tree: Params, limit: Number) -> Params:
    factor = limit / jnp.maximum(norm(tree), limit)
    return jax.tree.map(lambda u: factor * u, tree)


def norm(tree: Params) -> Array:
    """sqrt(sum u^2) over all arrays, ().

    In units of a quarter of the largest entry squares stay in range; the quarter, because 1 / 3e38 is 0 in float32.
    """
    arrays, zero = jax.tree.leaves(tree), jnp.zeros((), parameter_dtype(tree))
    largest = reduce(jnp.maximum, [jnp.max(jnp.abs(u), initial=0) for u in arrays], zero)
    unit = jnp.where(largest / 4 == 0, jnp.ones_like(largest), largest / 4)
    return unit * jnp.sqrt(sum([jnp.sum((u / unit) ** 2) for u in arrays], start=zero))


@spec
class GradientNoise(_Stateless):
    """u <- u + scale n, with n standard normal in every entry: for gradients, so before the optimizer.

    Needs a key, which training passes to every transformation; array i draws from fold_in(key, i). The paper lets the
    variance fall as eta / (1 + t)^gamma: pass a schedule of the square root of that as scale. optax.add_noise does
    that, with a key in its state; PyTorch has no counterpart, Keras only a layer. Source: Neelakantan, Vilnis, Le and
    others 2015, arXiv 1511.06807.
    """

    scale: Number

    def check(self) -> None:
        check_range(self, "scale", required=True, low=0)

    def update(self, updates: Params, state: None, params: Params, *, key: Key | None = None) -> tuple[Params, None]:
        """Raises ValueError without a key."""
        if key is None:
            raise ValueError("GradientNoise.update: expected a key, got None; write update(..., key=jax.random.key(0))")
        arrays, tree = jax.tree.flatten(updates)
        keys = [jax.random.fold_in(key, i) for i in range(len(arrays))]
        noise = [jax.random.normal(k, u.shape, u.dtype) for k, u in zip(keys, arrays, strict=True)]
        return tree.unflatten([u + self.scale * n for u, n in zip(arrays, noise, strict=True)]), None


@spec
class WeightDecay(_Stateless):
    """u <- u - rate w: every update takes the fraction `rate` off every weight (a parameter named `w`).

    Decoupled: put it after the optimizer. rate is the whole fraction, *not* multiplied by the learning rate:

        AdamW(eta, weight_decay=lambda)   is   Chain((Adam(eta), WeightDecay(eta * lambda)))

    and where eta is a schedule that the decay is to follow, rate is one too: WeightDecay(CosineDecay(eta * lambda,
    steps)). Before the optimizer it would act like the gradient of a penalty with the wrong sign: use L2 for that.

    PyTorch and optax multiply by eta inside their AdamW, and Keras in every optimizer's weight_decay; in optax this
    is add_decayed_weights(-rate, mask) at the end of a chain. Source: Loshchilov, Hutter 2017, arXiv 1711.05101.
    """

    rate: Number

    def check(self) -> None:
        check_range(self, "rate", required=True, low=0, high=1)

    def acts_on(self) -> tuple[str, ...]:
        return ("w",)

    def update(self, updates: Params, state: None, params: Params, *, key: Key | None = None) -> tuple[Params, None]:
        return on_weights(lambda u, w: u - self.rate * w, updates, params), None


@spec
class MaxNorm(_Stateless):
    """Updates that land inside the ball: no neuron's incoming weights are ever longer than radius.

    With w_o the weights into output o (all axes of w but the last; axis 0 of a Dense), and u_o their update:

        u_o <- u_o + (radius / max(|w_o + u_o|, radius) - 1) (w_o + u_o)

    so that w_o + u_o is unchanged inside the ball and projected onto it from outside. Put it after everything that
    changes updates. Keras's MaxNorm(radius, axis=0) constraint does so after the update and divides by the norm
    + 1e-7, as PyTorch's renorm does. Source: Srebro, Shraibman 2005; Srivastava, Hinton and others 2014, JMLR 15.
    """

    radius: Number

    def check(self) -> None:
        check_range(self, "radius", required=True, low=0, low_open=True)

    def acts_on(self) -> tuple[str, ...]:
        return ("w",)

    def update(self, updates: Params, state: None, params: Params, *, key: Key | None = None) -> tuple[Params, None]:
        def project(u: Array, w: Array) -> Array:
            new = w + u
            norm = jnp.sqrt(jnp.sum(new * new, axis=tuple(range(w.ndim - 1)), keepdims=True))
            return u + (self.radius / jnp.maximum(norm, self.radius) - 1) * new

        return on_weights(project, updates, params), None


def on_weights(change: Callable[[Array, Array], Array], updates: Params, params: Params) -> Params:
    """updates, with change(u, w) in place of u wherever the parameter is a weight."""

    def one(path: jax.tree_util.KeyPath, u: Array, p: Array) -> Array:
        return change(u, p) if parameter_name(path) == "w" else u

    return jax.tree_util.tree_map_with_path(one, updates, params)
