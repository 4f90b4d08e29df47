"""Links that are no optimizers: they bound, disturb or add to what passes through. None of them keeps a state."""

from collections.abc import Callable
from functools import reduce
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import PRNGKeyArray

from fnnet._spec import Number, check_range, parameter_dtype, spec


@spec
class ClipByValue:
    """u <- min(max(u, -limit), limit), entry by entry; NaN stays NaN.

    The direction of the whole may change. The same as optax.clip, PyTorch's clip_grad_value_, Keras's clipvalue.
    """

    limit: Number

    def check(self) -> None:
        """A limit is positive."""
        check_range(self, "limit", required=True, low=0, low_open=True)

    def init(self, params: Any) -> None:
        """No state."""
        return None

    def update(self, updates: Any, state: None, params: Any, *, key: PRNGKeyArray | None = None) -> tuple[Any, None]:
        """(updates no larger than limit, None)."""
        return jax.tree.map(lambda u: jnp.clip(u, -self.limit, self.limit), updates), None


@spec
class ClipByNorm:
    """u <- u limit / max(|u|, limit) for each array by itself, |u| its Euclidean norm: directions stay.

    Keras's clipnorm is the same; in optax it is a map of projections.projection_l2_ball. PyTorch's clip_grad_norm_,
    given one array, divides by |u| + 1e-6.
    """

    limit: Number

    def check(self) -> None:
        """A limit is positive."""
        check_range(self, "limit", required=True, low=0, low_open=True)

    def init(self, params: Any) -> None:
        """No state."""
        return None

    def update(self, updates: Any, state: None, params: Any, *, key: PRNGKeyArray | None = None) -> tuple[Any, None]:
        """(updates, each of at most this norm, None)."""
        return jax.tree.map(lambda u: _shrunk(u, self.limit), updates), None


@spec
class ClipByGlobalNorm:
    """u <- u limit / max(|u|, limit), |u| the Euclidean norm of all arrays together: the direction stays.

    Where one entry is NaN or infinite there is no norm, and every entry becomes NaN. The norm itself does not
    overflow. optax.clip_by_global_norm and Keras's global_clipnorm are the same; PyTorch's clip_grad_norm_ divides
    by |u| + 1e-6. Source: Pascanu, Mikolov, Bengio 2012, arXiv 1211.5063.
    """

    limit: Number

    def check(self) -> None:
        """A limit is positive."""
        check_range(self, "limit", required=True, low=0, low_open=True)

    def init(self, params: Any) -> None:
        """No state."""
        return None

    def update(self, updates: Any, state: None, params: Any, *, key: PRNGKeyArray | None = None) -> tuple[Any, None]:
        """(updates of at most this norm together, None)."""
        return _shrunk(updates, self.limit), None


def _shrunk(tree: Any, limit: Number) -> Any:
    factor = limit / jnp.maximum(_norm(tree), limit)
    return jax.tree.map(lambda u: factor * u, tree)


def _norm(tree: Any) -> Any:
    """sqrt(sum u^2) over all arrays, (). Measured in a quarter of the largest entry, so that squares stay in range.

    The quarter, because 1 / 3e38 would be 0 in float32.
    """
    arrays, zero = jax.tree.leaves(tree), jnp.zeros((), parameter_dtype(tree))
    largest = reduce(jnp.maximum, [jnp.max(jnp.abs(u), initial=0) for u in arrays], zero)
    unit = jnp.where(largest / 4 == 0, jnp.ones_like(largest), largest / 4)
    return unit * jnp.sqrt(sum([jnp.sum((u / unit) ** 2) for u in arrays], start=zero))


@spec
class GradientNoise:
    """u <- u + scale n, with n standard normal in every entry: for gradients, so before the optimizer.

    Needs a key, as training hands one to every link; array i draws from fold_in(key, i). The paper lets the variance
    fall as eta / (1 + t)^gamma: put a schedule in the place of scale. optax.add_noise is that, with a key of its own
    in its state; PyTorch has none, Keras only as a layer.
    Source: Neelakantan, Vilnis, Le and others 2015, arXiv 1511.06807.
    """

    scale: Number

    def check(self) -> None:
        """A standard deviation is not negative."""
        check_range(self, "scale", required=True, low=0)

    def init(self, params: Any) -> None:
        """No state."""
        return None

    def update(self, updates: Any, state: None, params: Any, *, key: PRNGKeyArray | None = None) -> tuple[Any, None]:
        """(updates with noise, None). Raises ValueError without a key."""
        if key is None:
            raise ValueError("GradientNoise.update: expected a key, got None; write update(..., key=jax.random.key(0))")
        arrays, tree = jax.tree.flatten(updates)
        keys = [jax.random.fold_in(key, i) for i in range(len(arrays))]
        noise = [jax.random.normal(k, u.shape, u.dtype) for k, u in zip(keys, arrays, strict=True)]
        return tree.unflatten([u + self.scale * n for u, n in zip(arrays, noise, strict=True)]), None


@spec
class WeightDecay:
    """u <- u - rate w: every update takes the share `rate` off every weight. Biases are left alone.

    Decoupled: put it behind the optimizer. rate is the whole share, *not* to be multiplied by the learning rate:

        AdamW(eta, weight_decay=lambda)   is   Chain((Adam(eta), WeightDecay(eta * lambda)))

    and where eta is a schedule that the decay is to follow, rate is one too: WeightDecay(CosineDecay(eta * lambda,
    steps)). Before the optimizer the same link would be the gradient of a penalty (with a minus): use L2 for that.

    PyTorch and optax multiply by eta inside their AdamW, and Keras in every optimizer's weight_decay; in optax this
    link is add_decayed_weights(-rate, mask) as the last of a chain. Source: Loshchilov, Hutter 2017, arXiv 1711.05101.
    """

    rate: Number

    def check(self) -> None:
        """No more than all of a weight is taken off."""
        check_range(self, "rate", required=True, low=0, high=1)

    def init(self, params: Any) -> None:
        """No state."""
        return None

    def update(self, updates: Any, state: None, params: Any, *, key: PRNGKeyArray | None = None) -> tuple[Any, None]:
        """(updates with decay, None)."""
        return on_weights(lambda u, w: u - self.rate * w, updates, params), None


@spec
class MaxNorm:
    """Updates that land inside the ball: no neuron's incoming weights are ever longer than radius.

    With w_o the weights into output o (all axes of w but the last; axis 0 of a Dense), and u_o their update:

        u_o <- u_o + (radius / max(|w_o + u_o|, radius) - 1) (w_o + u_o)

    so that w_o + u_o is what it was inside, and projected onto the ball from outside. Put it behind everything that
    changes updates. Keras's MaxNorm(radius, axis=0) constraint does so after the update and divides by the norm
    + 1e-7, as PyTorch's renorm does. Source: Srebro, Shraibman 2005; Srivastava, Hinton and others 2014, JMLR 15.
    """

    radius: Number

    def check(self) -> None:
        """A radius is positive."""
        check_range(self, "radius", required=True, low=0, low_open=True)

    def init(self, params: Any) -> None:
        """No state."""
        return None

    def update(self, updates: Any, state: None, params: Any, *, key: PRNGKeyArray | None = None) -> tuple[Any, None]:
        """(updates that land inside, None)."""

        def project(u: Any, w: Any) -> Any:
            new = w + u
            norm = jnp.sqrt(jnp.sum(new * new, axis=tuple(range(w.ndim - 1)), keepdims=True))
            return u + (self.radius / jnp.maximum(norm, self.radius) - 1) * new

        return on_weights(project, updates, params), None


def on_weights(change: Callable[[Any, Any], Any], updates: Any, params: Any) -> Any:
    """updates, with change(u, w) in the place of u wherever the parameter is a field named `w`."""

    def one(path: tuple, u: Any, p: Any) -> Any:
        return change(u, p) if path and getattr(path[-1], "name", "") == "w" else u

    return jax.tree_util.tree_map_with_path(one, updates, params)
