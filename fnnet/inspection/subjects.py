"""What the gradient checker can check: layers, losses, penalties and models, each as two functions of (params, x).

Inputs, parameters and targets are drawn here, in float64.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from fnnet._contracts import forward_layer, init_layer
from fnnet._spec import as_numbers
from fnnet._xla.compile_once import jit_once
from fnnet.layers import Dense, Serial
from fnnet.model import Model, backprop, forward, loss
from fnnet.protocols import Batch, Layer, Loss, Penalty, is_spec_of

TRIES = 32  # keys after which a layer counts as one without noise


class Case(NamedTuple):
    """A subject as two functions of the same arguments, in one mode and dtype.

    forward(params, x)       -> y               the subject's forward
    backward(params, x, dy)  -> (dparams, dx)   the subject's backward
    row(i)                   -> Case            of row i alone; None where rows are not independent
    is_linear                whether dy is free, so that backward must be linear in it
    """

    forward: Callable[[Any, Any], Array]
    backward: Callable[[Any, Any, Array], tuple[Any, Any]]
    row: Callable[[int], "Case"] | None
    is_linear: bool


class Drawn(NamedTuple):
    """What a subject is checked at, in float64; `free` names what nobody gave, "params" and "x"."""

    params: Any
    x: Any
    targets: Any
    key: PRNGKeyArray
    free: frozenset[str]


def kind_of_subject(subject: Any) -> str:
    """ "layer", "loss", "penalty" or "model". Raises TypeError for anything else, and for what is not a spec."""
    if not dataclasses.is_dataclass(subject) and not isinstance(subject, type):
        raise TypeError(f"check_gradients: {type(subject).__name__} is not a spec; write @fnnet.spec above the class")
    if isinstance(subject, Model):
        return "model"
    if is_spec_of(subject, Layer):
        return "layer"
    if is_spec_of(subject, Loss):
        return "loss"
    if is_spec_of(subject, Penalty):
        return "penalty"
    methods = ("init", "forward", "backward", "predict", "value", "gradient")
    has = ", ".join(name for name in methods if hasattr(subject, name)) or "none of these"
    raise TypeError(
        f"check_gradients: expected a layer (init, forward, backward), a loss (forward, backward, predict), "
        f"a penalty (value, gradient) or a Model, built with its settings; got {subject!r}, which has {has}"
    )


def draw(
    kind: str, subject: Any, in_shape: Any, key: PRNGKeyArray, batch: int, params: Any, x: Any, targets: Any
) -> Drawn:
    """Inputs, parameters and targets, given or drawn."""
    init_key, x_key, target_key, jitter_key, noise_key = jax.random.split(key, 5)
    given = {"params": params, "x": () if kind == "penalty" else x}
    if kind == "model":
        in_shape = subject.input_shape
    if isinstance(in_shape, int):
        raise ValueError(f"check_gradients: expected in_shape to be a tuple, got {in_shape}; write ({in_shape},)")
    if x is None and kind != "penalty":
        if in_shape is None:
            raise ValueError(
                f"check_gradients: a {kind} needs in_shape, the shape of one input without the batch axis: "
                f"check_gradients({type(subject).__name__}(...), in_shape=(3,), key=key), or x="
            )
        x = jax.random.normal(x_key, (batch, *in_shape), jnp.float64)
    x = None if x is None else _float64(jnp.asarray(x))
    if params is None:
        with _noting_draw(given["x"] is None):
            drawn = _initial(kind, subject, init_key, *((None, None) if x is None else (x.shape[1:], x.dtype)))
        leaves, tree = jax.tree.flatten(drawn)
        keys = jax.random.split(jitter_key, max(1, len(leaves)))
        params = tree.unflatten(_jitter(p, k) for p, k in zip(leaves, keys, strict=False))
    params = jax.tree.map(lambda p: _float64(jnp.asarray(p)), params)
    if targets is None and kind in ("loss", "model"):
        targets = jax.random.uniform(target_key, _output_shape(kind, subject, params, x), jnp.float64, 0.05, 0.95)
    free = frozenset(name for name, value in given.items() if value is None)
    return Drawn(params, x, None if targets is None else _float64(jnp.asarray(targets)), noise_key, free)


@contextlib.contextmanager
def _noting_draw(is_drawn: bool) -> Iterator[None]:
    """Adds a note to an error inside, where the inputs are the checker's own."""
    try:
        yield
    except Exception as error:
        if is_drawn:
            error.add_note("the inputs were drawn from N(0, 1); pass x= for others: tokens, say, as integers (B, T)")
        raise


def _output_shape(kind: str, subject: Any, params: Any, x: Any) -> tuple[int, ...]:
    return x.shape if kind == "loss" else jax.eval_shape(lambda: forward(subject, params, x)).shape


def _initial(kind: str, subject: Any, key: PRNGKeyArray, in_shape: Any, x_dtype: Any) -> Any:
    if kind == "loss":
        return ()
    if kind == "penalty":
        return Serial((Dense(4), Dense(2))).init(key, (3,))[0]
    network = as_numbers(subject.network if kind == "model" else subject, jnp.float64, "check_gradients")
    params, out_shape = init_layer(network, key, tuple(in_shape))
    rows = jax.ShapeDtypeStruct((2, *in_shape), x_dtype)
    y = jax.eval_shape(lambda x: forward_layer(network, params, x)[0], rows)
    if y.shape[1:] != tuple(out_shape):
        raise ValueError(
            f"{type(network).__name__}.init: gives out_shape {out_shape} for in_shape {tuple(in_shape)}, but forward "
            f"gives rows of shape {y.shape[1:]}; return the shape of one output without the batch axis"
        )
    return params


def _jitter(p: Any, key: PRNGKeyArray) -> Any:
    """Moved by a tenth of a standard normal: nothing stays exactly 0 or 1."""
    p = jnp.asarray(p)
    return p + 0.1 * jax.random.normal(key, p.shape, p.dtype) if is_float(p) else p


def is_float(a: Any) -> bool:
    """Whether an array is floating."""
    return jnp.issubdtype(a.dtype, jnp.floating)


def _float64(a: Array) -> Array:
    return a.astype(jnp.float64) if is_float(a) else a


def cast(tree: Any, dtype: str) -> Any:
    """The tree with its floating arrays in dtype."""
    return jax.tree.map(lambda a: a.astype(dtype) if is_float(a) else a, tree)


def modes_of(kind: str, subject: Any, drawn: Drawn) -> tuple[Drawn, tuple[str, ...]]:
    """The modes to check: without a key, and with one, if any of 32 keys changes the outputs; drawn with such a key."""
    if kind not in ("layer", "model"):
        return drawn, ("prediction",)
    network = as_numbers(subject.network if kind == "model" else subject, jnp.float64, "check_gradients")

    def differ(params: Any, x: Any, key: PRNGKeyArray) -> Array:
        noisy = jax.vmap(lambda k: network.forward(params, x, key=k)[0])(jax.random.split(key, TRIES))
        return jnp.any(noisy != network.forward(params, x)[0][None], axis=tuple(range(1, noisy.ndim)))

    noisy = np.asarray(jit_once(differ)(drawn.params, drawn.x, drawn.key))
    if not noisy.any():
        return drawn, ("prediction",)
    return drawn._replace(key=jax.random.split(drawn.key, TRIES)[int(noisy.argmax())]), ("prediction", "training")


def case_of(kind: str, subject: Any, mode: str, drawn: Drawn, dtype: str) -> Case:
    """The subject's forward and backward as functions of (params, x), with its numbers in dtype."""
    subject, targets = as_numbers(subject, dtype, "check_gradients"), cast(drawn.targets, dtype)
    key = drawn.key if mode == "training" else None
    if kind == "layer":
        return _layer_case(subject, key)
    if kind == "loss":
        return _loss_case(subject, targets)
    if kind == "penalty":
        return Case(
            lambda params, x: subject.value(params),
            lambda params, x, dy: (jax.tree.map(lambda g: dy * g, subject.gradient(params)), None),
            None,
            False,
        )

    def passed(params: Any, x: Any, dy: Array) -> tuple[Any, Any]:
        p = backprop(subject, params, Batch(x, targets), key=key)
        return jax.tree.map(lambda g: dy * g if is_float(g) else g, (p.grads, p.dx))

    return Case(lambda params, x: loss(subject, params, x, targets, key=key), passed, None, False)


def _layer_case(layer: Any, key: PRNGKeyArray | None) -> Case:
    def backward(params: Any, x: Any, dy: Array) -> Any:
        return layer.backward(params, layer.forward(params, x, key=key)[1], dy)

    row = (lambda i: _layer_case(layer, None)) if key is None else None
    return Case(lambda params, x: layer.forward(params, x, key=key)[0], backward, row, True)


def _loss_case(subject: Any, targets: Any) -> Case:
    def backward(params: Any, x: Any, dy: Array) -> Any:
        return (), subject.backward(subject.forward(x, targets)[1], dy)

    def row(i: int) -> Case:
        return _loss_case(subject, targets[i : i + 1])

    return Case(lambda params, x: subject.forward(x, targets)[0], backward, row, True)
