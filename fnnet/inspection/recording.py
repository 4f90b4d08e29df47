"""One pass, written down: everything that went through every layer, by the layer's name.

Nothing is computed a second time and no mathematics is repeated here: `record` runs the pass of `backprop` itself, with
a probe around every layer. A probe passes everything on and notes what it saw. `fnnet.trace` prints the recording.
"""

import dataclasses
from collections import OrderedDict
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, ArrayLike, Num, PRNGKeyArray

from fnnet._contracts import backward_layer, forward_layer
from fnnet._spec import as_numbers, parameter_dtype, spec, static
from fnnet._values import at_least_float32
from fnnet.layers import HardSigmoid, Relu, Residual, Serial, Sigmoid, Softmax, Tanh
from fnnet.model import Model, Pass, check_model, masked, one_pass, prepare
from fnnet.protocols import Batch, Key, Layer, Optimizer, Params, Shape
from fnnet.training.state import trainable

SATURATED = 0.01
"""An activation is saturated where its slope is below this fraction of its steepest: |x| > 6.0 for a sigmoid."""

_STEEPEST = {Sigmoid: 1 / 4, HardSigmoid: 1 / 6, Tanh: 1.0, Softmax: 1 / 4}


class LayerTrace(NamedTuple):
    """What one layer did in the pass; L is the value of the batch.

    layer      its spec
    params     its parameters
    x, y       (B, ...) input and output: the pre-activation and the activation of a `Relu`
    dy, dx     (B, ...) dL/dy and dL/dx, the cotangents; None where no gradient arrives (integer inputs)
    residuals  what forward kept for backward
    grads      dL/dparams, like params
    loss_grads the part of grads that came back through the layers; the rest is the penalty's
    updates    what the optimizer would add to params, like params (None for integers); None without an optimizer
    grad_norms      like params, each (): Euclidean norm of the gradient
    update_ratios   like params, each (): norm of the update / norm of the parameter (about 1e-3 is usual;
                    inf for a parameter of zeros); None without an optimizer
    update_ratio    (), the same for all the layer's parameters together; None without them or an optimizer
    dead       () fraction of units that are 0 in every row, for `Relu`; else None
    saturated  () fraction of entries whose slope is below SATURATED times the steepest there is, for
               `Sigmoid`, `HardSigmoid`, `Tanh`, and `Softmax` (its slope: dy_c/dx_c); else None

    Rows of weight 0 do not count in `dead` and `saturated`.
    """

    layer: Layer
    params: Params
    x: Array
    y: Array
    dy: Array | Any  # None where no gradient arrives; Any, so that callers who know that one does need no check
    dx: Array | Any
    residuals: Any
    grads: Params
    loss_grads: Params
    updates: Params | None
    grad_norms: Params
    update_ratios: Params | None
    update_ratio: Array | None
    dead: Array | None
    saturated: Array | None


class Recording(NamedTuple):
    """One pass, layer by layer; a pytree, so a jitted function may return it.

    model      as it was given
    batch      Batch as the layers saw it
    result     Pass, what `backprop` returns
    doutputs   (B, ...) dL/doutputs, where the backward pass through the layers starts
    layers     OrderedDict of name -> LayerTrace, in the order of the forward pass. Names carry the place in
               params: "1 Relu"; "3 Residual / 0 Dense" is inside of "3 Residual", which follows its parts
    """

    model: Model
    batch: Batch
    result: Pass
    doutputs: Array
    layers: OrderedDict[str, LayerTrace]


def record(
    model: Model,
    params: Params,
    batch: Batch,
    key: PRNGKeyArray | None = None,
    optimizer: Optimizer | None = None,
    opt_state: Any = None,
) -> Recording:
    """The recording of one pass; see `fnnet.trace`, which says what the arguments are and checks opt_state."""
    check_model("trace", model, params)
    dtype = parameter_dtype(params, batch.x)
    batch, notes = masked(prepare(model, batch, dtype)), OrderedDict()
    numbers = as_numbers(model, dtype, "trace")
    whole = _Probe(_opened(numbers.network, model.network, "", (), notes), model.network, "", (), notes)
    result = one_pass(dataclasses.replace(numbers, network=whole), params, batch, key)
    updates = None if optimizer is None else _updates(optimizer, opt_state, params, result.grads, key)
    doutputs = notes.pop("")["dy"]
    layers = OrderedDict((name, _layer_trace(note, params, result, updates, batch)) for name, note in notes.items())
    return Recording(model, batch, result, doutputs, layers)


def per_example_gradients(
    model: Model,
    params: Params,
    x: Num[ArrayLike, "B ..."],
    y: Num[ArrayLike, "B ..."],
    *,
    key: PRNGKeyArray | None = None,
) -> Params:
    """The gradient of every row on its own: like params, with a batch axis first, (B, *shape of the parameter).

    Entry b is what `backward` gives for row b alone, penalty included; so their mean with weights w_b / sum(w)
    (w_b n_b / sum(w n) where the loss counts n_b targets in a row) is the gradient of the batch. It is the same pass,
    vmapped over rows: B times the memory of one gradient.

    key   a key means training; row b draws from the b-th part of it, so the noise is not that of `backward`

    Only for layers that treat rows independently: one that looks across rows (batch statistics) sees one row.
    """
    dtype = parameter_dtype(params, x)
    model, batch = as_numbers(model, dtype, "per_example_gradients"), prepare(model, Batch(x, y), dtype)
    keys = None if key is None else jax.random.split(key, batch.x.shape[0])

    def gradient(x: Array, y: Array, key: PRNGKeyArray | None) -> Params:
        return one_pass(model, params, Batch(x[None], y[None]), key).grads

    return jax.vmap(gradient)(batch.x, batch.y, keys)


@spec
class _Probe:
    """A layer that passes everything on to another and notes what it saw.

    The notes live as long as one call of `record`, which therefore is a pure function.
    """

    layer: Layer
    spec: Layer = static()
    name: str = static()
    path: tuple[int, ...] = static()
    notes: OrderedDict = static()

    def init(self, key: Key, in_shape: Shape) -> tuple[Params, Shape]:
        return self.layer.init(key, in_shape)

    def forward(self, params: Params, x: Array, *, key: Key | None = None) -> tuple[Array, Any]:
        y, residuals = forward_layer(self.layer, params, x, key)
        self.notes[self.name] = {"layer": self.spec, "path": self.path, "x": x, "y": y, "dy": None, "dx": None}
        self.notes[self.name]["grads"] = jax.tree.map(jnp.zeros_like, params)
        return y, residuals

    def backward(self, params: Params, residuals: Any, dy: Array) -> tuple[Params, Array | None]:
        grads, dx = backward_layer(self.layer, params, residuals, dy)
        self.notes[self.name] |= {"grads": grads, "dy": dy, "dx": dx}
        return grads, dx


def _opened(layer: Layer, spec: Any, name: str, path: tuple[int, ...], notes: OrderedDict) -> Layer:
    """The layer with a probe around every part; `Serial` and `Residual` still walk their parts themselves.

    Branches of equal rank (`Parallel`, a `Residual` with a shortcut) are noted as one layer.

    spec  the layer as a person wrote it, before its numbers became arrays
    path  leads to the layer's entry in params, grads and residuals
    """
    if type(layer) is Serial:
        prefix = f"{name} / " if name else ""
        parts = enumerate(zip(layer.layers, spec.layers, strict=True))
        return Serial(
            tuple(_opened(part, said, f"{prefix}{i} {kind_of(part)}", (*path, i), notes) for i, (part, said) in parts)
        )
    name = name or kind_of(layer)
    if type(layer) is Residual and layer.shortcut is None:
        inner = name if type(layer.inner) is Serial else f"{name} / {kind_of(layer.inner)}"
        layer = Residual(_opened(layer.inner, spec.inner, inner, path, notes))
    return _Probe(layer, spec, name, path, notes)


def _layer_trace(note: dict, params: Params, result: Pass, updates: Params | None, batch: Batch) -> LayerTrace:
    layer, path = note["layer"], note["path"]
    p, residuals, grads = _entry(params, path), _entry(result.residuals, path), _entry(result.grads, path)
    update = None if updates is None else _entry(updates, path)
    learned = trainable(p)
    ratios = None if update is None else jax.tree.map(jnp.divide, _norms(update), _norms(learned))
    counts = jnp.ones(batch.x.shape[0], bool) if batch.weights is None else batch.weights != 0
    return LayerTrace(
        layer=layer, params=p, x=note["x"], y=note["y"], dy=note["dy"], dx=note["dx"], residuals=residuals,
        grads=grads, loss_grads=note["grads"], updates=update, grad_norms=_norms(grads), update_ratios=ratios,
        update_ratio=norm_of_all(update) / norm_of_all(learned) if update is not None and floating(learned) else None,
        dead=_dead(note["y"], counts) if isinstance(layer, Relu) else None,
        saturated=_saturated(layer, residuals, note["y"], counts),
    )  # fmt: skip


def _entry(tree: Any, path: tuple[int, ...]) -> Any:
    for i in path:
        tree = tree[i]
    return tree


def _norms(tree: Params) -> Params:
    return jax.tree.map(lambda a: jnp.linalg.norm(a.astype(at_least_float32(a.dtype)).ravel()), tree)


def norm_of_all(tree: Any) -> Array:
    """Euclidean norm of all floating leaves together, in float32 or better."""
    squares = [jnp.vdot(w := a.astype(at_least_float32(a.dtype)), w) for a in floating(tree)]
    return jnp.sqrt(jnp.stack(squares).sum())


def floating(tree: Any) -> list[Array]:
    """The floating leaves."""
    return [a for a in jax.tree.leaves(tree) if jnp.issubdtype(a.dtype, jnp.floating)]


def _updates(optimizer: Optimizer, opt_state: Any, params: Params, grads: Params, key: Key | None) -> Params:
    """What `train_step` would add to params: in float32 or better, as there; None in place of integers."""
    optimizer = as_numbers(optimizer, at_least_float32(parameter_dtype(params)), "trace")
    grads, params = trainable((grads, params))
    return optimizer.update(grads, opt_state, params, key=None if key is None else jax.random.fold_in(key, 0))[0]


def _dead(y: Array, counts: Array) -> Array:
    silent = jnp.where(counts.reshape((-1,) + (1,) * (y.ndim - 1)), y == 0, True).all(0)
    return silent.mean(dtype=at_least_float32(y.dtype))


def _saturated(layer: Layer, residuals: Any, y: Array, counts: Array) -> Array | None:
    if type(layer) not in _STEEPEST:
        return None
    wide = at_least_float32(y.dtype)
    flat = jnp.abs(slope(layer, residuals, y)) < SATURATED * _STEEPEST[type(layer)]
    fractions = flat.reshape(y.shape[0], -1).mean(1, dtype=wide)
    return (fractions * counts.astype(wide)).sum() / jnp.maximum(counts.sum(dtype=wide), 1)


def slope(layer: Layer, residuals: Any, y: Array) -> Any:
    """f'(x) of an activation at every entry, shaped like its output y: dy_c/dx_c, from its own backward.

    An elementwise activation answers dy = 1 with f'(x). A Softmax mixes its row, so it is asked once for
    each class c, with a 1 there and 0 elsewhere.
    """
    if not isinstance(layer, Softmax):
        return layer.backward((), residuals, jnp.ones_like(y))[1]
    classes = jnp.eye(y.shape[-1], dtype=y.dtype)
    return jax.vmap(lambda c: layer.backward((), residuals, jnp.broadcast_to(c, y.shape))[1] @ c, 0, -1)(classes)


def kind_of(layer: object) -> str:
    """What a spec is called in a trace: the name of its class."""
    return type(layer).__name__
