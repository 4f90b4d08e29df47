"""The linear part of a neuron, for a whole layer and a whole batch at once."""

import dataclasses
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Num

from fnnet._spec import spec, static
from fnnet._xla.products import product
from fnnet.initializers import HeNormal, Zeros
from fnnet.protocols import Initializer, Key, Params, Shape, is_spec_of, why_not


class DenseParams(NamedTuple):
    """w (I, O) weights, b (O,) biases (None in a layer without)."""

    w: Params
    b: Params


@spec
class Dense:
    """y = x w + b: every output is a weighted sum of all inputs, plus a bias.

    features  O, the number of outputs
    weights   initializer of w
    biases    initializer of b; None: a layer without biases
    products  "bfloat16": the factors of all three products are rounded to it first, to 8 significant bits, and the
              sums are taken in float32 or better. Faster on hardware with products of bfloat16 (GPUs, TPUs, CPUs with
              AMX): `python -m experiments.benchmarks.steps`. Parameters, activations and gradients keep their dtype
    """

    features: int = static()
    weights: Initializer = HeNormal()
    biases: Initializer | None = Zeros()
    products: str | None = static(default=None)

    def check(self) -> None:
        check_sizes(self, "features")
        check_initializers(self)
        check_products(self)

    @property
    def formulas(self) -> tuple[str, str]:
        rounded = "" if self.products is None else f", of factors rounded to {self.products}"
        if self.biases is None:
            return f"a = x w{rounded}", f"dw = x^T da{rounded}; dx = da w^T{rounded}"
        return f"a = x w + b{rounded}", f"dw = x^T da{rounded}; db = sum_b(da); dx = da w^T{rounded}"

    def init(self, key: Key, in_shape: Shape) -> tuple[DenseParams, Shape]:
        """(DenseParams, out_shape); in_shape (..., I) without the batch axis, out_shape (..., O)."""
        if not in_shape:
            raise ValueError("Dense.init: expected rows of at least one number, got in_shape ()")
        fan_in, fan_out = in_shape[-1], self.features
        weight_key, bias_key = jax.random.split(key)
        dtype = jnp.result_type(float)
        w = self.weights(weight_key, (fan_in, fan_out), dtype, fan_in, fan_out)
        b = None if self.biases is None else self.biases(bias_key, (fan_out,), dtype, fan_in, fan_out)
        return DenseParams(w, b), (*in_shape[:-1], fan_out)

    def forward(
        self, params: DenseParams, x: Num[Array, "B *rest I"], *, key: Key | None = None
    ) -> tuple[Float[Array, "B *rest O"], Float[Array, "B *rest I"]]:
        """y_bo = sum_i x_bi w_io + b_o, in matrices y = x w + b. Keeps x.

        Raises TypeError for integers (put a `Rescale` first), ValueError for rows or features that are not w's.
        """
        if not jnp.issubdtype(x.dtype, jnp.floating):
            raise TypeError(
                f"Dense.forward: expected floating numbers, got {x.dtype}; "
                f"put Rescale(1 / 255) (or the scale of your data) before it, or Embedding for tokens"
            )
        if x.shape[-1] != params.w.shape[0]:
            raise ValueError(
                f"Dense.forward: expected rows of {params.w.shape[0]} numbers (w is {params.w.shape}), "
                f"got x of shape {x.shape}"
            )
        if params.w.shape[1:] != (self.features,):
            raise ValueError(
                f"Dense.forward: expected w of shape ({x.shape[-1]}, {self.features}), got {params.w.shape}; "
                f"are the parameters from another network?"
            )
        y = product(x, params.w, self.products)
        return (y if params.b is None else y + params.b.reshape((1,) * (y.ndim - 1) + (-1,))), x

    def backward(
        self, params: DenseParams, x: Float[Array, "B *rest I"], dy: Float[Array, "B *rest O"]
    ) -> tuple[DenseParams, Float[Array, "B *rest I"]]:
        """(DenseParams of gradients, dx).

        The loss L depends on w_io through y_bo of every row b, and ∂y_bo/∂w_io = x_bi; on b_o through
        every row with factor 1; on x_bi through all outputs o, and ∂y_bo/∂x_bi = w_io. The chain rule:

            dw_io = sum_b x_bi dy_bo      dw = x^T dy
            db_o  = sum_b dy_bo           db = 1^T dy
            dx_bi = sum_o dy_bo w_io      dx = dy w^T

        Axes between batch and features (time, say) are rows like any other, so they are summed with b.
        """
        rows, drows = x.reshape(-1, x.shape[-1]), dy.reshape(-1, dy.shape[-1])
        db = None if params.b is None else drows.sum(0)
        dw = product(rows, drows, self.products, transposed="a")
        return DenseParams(dw, db), product(dy, params.w, self.products, transposed="b")


def check_products(layer: Any) -> None:
    """Raise ValueError unless `products` of a layer is None or a dtype that factors are rounded to."""
    if layer.products not in (None, "bfloat16"):
        name = type(layer).__name__
        raise ValueError(f'{name}: expected products to be "bfloat16" or None, got {layer.products!r}')


def check_sizes(owner: Any, *names: str) -> None:
    """Raise ValueError unless these fields are ints above 0."""
    for name in names:
        size = getattr(owner, name)
        if isinstance(size, bool) or not isinstance(size, int) or size < 1:
            raise ValueError(f"{type(owner).__name__}: expected {name} to be an int above 0, got {size!r}")


def check_initializers(layer: Any, names: tuple[str, ...] = ("weights", "biases")) -> None:
    """Raise TypeError unless these fields of a layer are initializers; `biases` and `out_weights` may be None."""
    owner, first = type(layer).__name__, dataclasses.fields(layer)[0].name  # what a layer is told: its outputs, say
    for name in names:
        start = getattr(layer, name)
        if isinstance(start, float) and first in ("features", "cell"):
            is_count = first == "features" and start >= 1 and start.is_integer()  # (inputs, outputs), as elsewhere
            outputs = int(start) if is_count else getattr(layer, first)
            raise TypeError(
                f"{owner}: expected {name} to be an initializer such as HeNormal(), got {start!r}; "
                f"a layer is told its outputs only: {owner}({outputs})"
            )
        if not is_spec_of(start, Initializer) and not (name in ("biases", "out_weights") and start is None):
            raise TypeError(
                f"{owner}: expected {name} to be an initializer such as HeNormal(), {why_not(start, Initializer)}"
            )
