"""Momentum whose every singular value is made about 1, so that a step goes equally far in all directions."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from fnnet._spec import check_range, spec, static
from fnnet._values import at_least_float32
from fnnet.optimizers.transformations import norm
from fnnet.protocols import Key, Number, OptState, Params

A, B, C = 3.4445, -4.7750, 2.0315


@spec
class Muon:
    """Momentum, orthogonalized: of u = P S Q^T, its singular value decomposition, the step is about P Q^T.

    learning_rate  eta
    momentum       mu
    epsilon        e, added to the norm: of gradients that are much smaller, steps are small as well
    nesterov       look ahead along the momentum
    steps          of Newton-Schulz, 1 to 5

        v <- mu v + g;   u = g + mu v            without nesterov: u = v
        X = u / (|u| + e)                        |u| the Euclidean norm of all entries
        X <- a X + b X X^T X + c (X X^T)^2 X     `steps` times; a, b, c = 3.4445, -4.7750, 2.0315
        theta <- theta - eta sqrt(max(1, O / I)) X

    v starts at 0. u is a matrix (I, O); of a weight of more axes, such as a kernel (h, w, I, O), all but the last are
    its rows. Biases and scales have other optimizers:

        Partition(Matrices(), Muon(0.02), Adam(1e-3))

    A step of Newton-Schulz maps each singular value s to a s + b s^3 + c s^5 and leaves singular vectors as they are.
    Five take those above 0.002 to between 0.68 and 1.21: not to 1, which more careful coefficients would, but it is
    fast, and as good for training. With G = X^T X, of the smaller side, X becomes X f(G) with f(G) = a + b G + c G^2,
    and G becomes f G f: only the first and the last product are as long as X, and the result is the same. For m >= n,
    the sides of X, these are (2 m + (4 steps - 3) n) n^2 multiplications, next to 3 B m n for a batch of B rows forward
    and backward: little for narrow layers or many rows, many times the rest for wide layers and few rows. Rounding in
    G grows by a^2 = 12 in every step, hence float32 or better (X is right to about 1e-3 in it, of gradients however
    nearly singular), products of full precision on every device, and at most five steps. A NaN makes all of X NaN.

    PyTorch, optax and Jordan average, v <- mu v + (1 - mu) g, which the norm removes while mu stays the same; optax
    also corrects u for the start at 0, which with nesterov changes u. All scale by shape as here; with
    0.2 sqrt(max(I, O)) instead (PyTorch's match_rms_adamw, optax's consistent_rms=0.2), steps are as large as Adam's.
    PyTorch and Jordan compute X in bfloat16, and add weight decay (PyTorch by default, 0.1), which here is
    Chain((Muon(eta), WeightDecay(eta * lambda))). Keras's Muon chooses its parameters itself.

    Sources: Jordan, Jin, Boza and others 2024, Muon: an optimizer for hidden layers in neural networks,
    kellerjordan.github.io/posts/muon; scale and theory: Bernstein, Newhouse 2024, arXiv 2409.20325.
    """

    learning_rate: Number = 0.02
    momentum: Number = 0.95
    epsilon: Number = 1e-7
    nesterov: bool = static(default=True)
    steps: int = static(default=5)

    def check(self) -> None:
        check_range(self, "learning_rate", required=True, low=0)
        check_range(self, "momentum", required=True, low=0, high=1)
        check_range(self, "epsilon", required=True, low=0, low_open=True)
        if not isinstance(self.steps, int) or isinstance(self.steps, bool) or not 1 <= self.steps <= 5:
            raise ValueError(f"Muon: expected steps to be an int from 1 to 5, got {self.steps!r}")

    def init(self, params: Params) -> OptState:
        """v = 0. Raises ValueError for a parameter of fewer than two axes."""
        for path, p in jax.tree_util.tree_leaves_with_path(params):
            if p.ndim < 2:
                raise ValueError(
                    f"Muon.init: expected weights of two axes or more, got params{jax.tree_util.keystr(path)} of shape "
                    f"{p.shape}; write Partition(Matrices(), Muon(...), Adam(...)), where Adam trains the rest"
                )
        return jax.tree.map(jnp.zeros_like, params)

    def update(self, grads: Params, v: OptState, params: Params, *, key: Key | None = None) -> tuple[Params, OptState]:
        v = jax.tree.map(lambda v, g: self.momentum * v + g, v, grads)
        ahead = jax.tree.map(lambda v, g: g + self.momentum * v, v, grads) if self.nesterov else v
        return jax.tree.map(self._step, ahead), v

    def _step(self, u: Array) -> Array:
        """-eta sqrt(max(1, O / I)) X, in the shape of u."""
        matrix = u.reshape(math.prod(u.shape[:-1]), u.shape[-1])
        rows, columns = matrix.shape
        scale = math.sqrt(max(1, columns / max(1, rows)))
        x = _orthogonalized(matrix.astype(at_least_float32(u.dtype)), self.epsilon, self.steps)
        return -self.learning_rate * (scale * x).astype(u.dtype).reshape(u.shape)


def _orthogonalized(u: Float[Array, "I O"], epsilon: Number, steps: int) -> Float[Array, "I O"]:
    """X of the docstring of Muon."""
    if u.shape[0] < u.shape[1]:
        return _orthogonalized(u.T, epsilon, steps).T
    x = u / (norm(u) + jnp.asarray(epsilon, u.dtype))
    with jax.default_matmul_precision("highest"):  # TF32, which GPUs take by default, diverges
        gram = x.T @ x
        total = factor = _factor(gram)
        for _ in range(steps - 1):
            gram = factor @ gram @ factor
            factor = _factor(gram)
            total = total @ factor
        return x @ total


def _factor(gram: Float[Array, "O O"]) -> Float[Array, "O O"]:
    """a + b G + c G^2."""
    return A * jnp.eye(len(gram), dtype=gram.dtype) + B * gram + C * (gram @ gram)
