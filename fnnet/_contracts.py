"""Calls of the methods that anybody may have written: of layers, losses, penalties, optimizers and
selectors.

What does not keep its contract (see `fnnet.protocols`) is refused by name. Only structures and shapes are looked at,
which are known while a program is traced: nothing is added to it.
"""

import inspect
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

_WANTS_NUMBERS = (
    jax.errors.ConcretizationTypeError,
    jax.errors.NonConcreteBooleanIndexError,
    jax.errors.TracerArrayConversionError,
    jax.errors.TracerIntegerConversionError,
)


def init_layer(layer: Any, key: Any, in_shape: Any) -> tuple[Any, Any]:
    """layer.init: (params, out_shape)."""
    params, out_shape = _several(layer, "init(self, key, in_shape)", "params, out_shape", key, in_shape)
    if not isinstance(out_shape, tuple | list):
        raise TypeError(
            f"{type(layer).__name__}.init: expected out_shape to be a tuple of ints, got {out_shape!r:.200}"
        )
    return params, out_shape


def forward_layer(layer: Any, params: Any, x: Any, key: Any = None) -> tuple[Any, Any]:
    """layer.forward: (y, residuals)."""
    y, residuals = _several(layer, "forward(self, params, x, *, key=None)", "y, residuals", params, x, key=key)
    _check_rows(f"{type(layer).__name__}.forward", "y", y, x)
    return y, residuals


def backward_layer(layer: Any, params: Any, residuals: Any, dy: Any) -> tuple[Any, Any]:
    """layer.backward: (dparams, dx)."""
    dparams, dx = _several(layer, "backward(self, params, residuals, dy)", "dparams, dx", params, residuals, dy)
    _check_like(f"{type(layer).__name__}.backward", "dparams", dparams, "params", params)
    if dx is not None:
        _check_rows(f"{type(layer).__name__}.backward", "dx", dx, dy)
    return dparams, dx


def forward_cell(cell: Any, u: Any, v: Any, state: Any) -> tuple[Any, Any]:
    """cell.forward: (state, residuals)."""
    after, residuals = _several(cell, "forward(self, u, v, state)", "state, residuals", u, v, state)
    _check_like(f"{type(cell).__name__}.forward", "state", after, "the state before", state)
    return after, residuals


def backward_cell(cell: Any, residuals: Any, dstate: Any) -> tuple[Any, Any, Any]:
    """cell.backward: (du, dv, dstate)."""
    du, dv, before = _several(cell, "backward(self, residuals, dstate)", "du, dv, dstate", residuals, dstate)
    name, width = f"{type(cell).__name__}.backward", len(cell.gates) * cell.features
    for label, gradient in (("du", du), ("dv", dv)):
        _check_shape(name, label, gradient, (dstate[0].shape[0], width))
    has_no_dh = isinstance(before, tuple) and len(before) > 0 and before[0] is None
    like = (None, *dstate[1:]) if has_no_dh else dstate
    _check_like(name, "dstate", before, "the state", like)
    return du, dv, before


def forward_loss(loss: Any, outputs: Any, targets: Any) -> tuple[Any, Any]:
    """loss.forward: (per_example, residuals)."""
    per_example, residuals = _several(
        loss, "forward(self, outputs, targets)", "per_example, residuals", outputs, targets
    )
    _check_shape(f"{type(loss).__name__}.forward", "per_example, one loss per row,", per_example, outputs.shape[:1])
    return per_example, residuals


def backward_loss(loss: Any, residuals: Any, dper_example: Any, outputs: Any) -> Any:
    """loss.backward: doutputs."""
    doutputs = _called(loss, "backward(self, residuals, dper_example)", residuals, dper_example)
    _check_shape(f"{type(loss).__name__}.backward", "doutputs", doutputs, outputs.shape)
    return doutputs


def correct_rows(loss: Any, outputs: Any, targets: Any) -> Any:
    """loss.correct: (B,), bool or how many targets of the row."""
    correct = _called(loss, "correct(self, outputs, targets)", outputs, targets)
    _check_shape(f"{type(loss).__name__}.correct", "one bool or number per row,", correct, outputs.shape[:1])
    return correct


def count_targets(loss: Any, targets: Any) -> Any:
    """loss.count: (B,), or None for a loss that counts rows."""
    if not hasattr(loss, "count"):
        return None
    count = _called(loss, "count(self, targets)", targets)
    if count is not None:
        _check_shape(f"{type(loss).__name__}.count", "one number per row,", count, targets.shape[:1])
    return count


def penalty_value(penalty: Any, params: Any) -> Any:
    """penalty.value: ()."""
    value = _called(penalty, "value(self, params)", params)
    _check_shape(f"{type(penalty).__name__}.value", "one number", jnp.asarray(value), ())
    return value


def penalty_gradient(penalty: Any, params: Any) -> Any:
    """penalty.gradient: like params."""
    gradient = _called(penalty, "gradient(self, params)", params)
    _check_like(f"{type(penalty).__name__}.gradient", "the gradient", gradient, "params", params)
    return gradient


def update_with(optimizer: Any, grads: Any, opt_state: Any, params: Any, key: Any) -> tuple[Any, Any]:
    """optimizer.update: (updates, opt_state)."""
    method, arguments = "update(self, grads, opt_state, params, *, key=None)", (grads, opt_state, params)
    updates, new_state = _several(optimizer, method, "updates, opt_state", *arguments, key=key)
    name = f"{type(optimizer).__name__}.update"
    _check_like(name, "updates", updates, "params", params)
    _check_like(name, "opt_state", new_state, "the opt_state before", opt_state)
    return updates, new_state


def select_with(selector: Any, params: Any) -> Any:
    """selector.selects of every parameter: bools, like params."""

    def one(path: Any, parameter: Any) -> bool:
        answer = _called(selector, "selects(self, path, parameter)", path, parameter)
        if not isinstance(answer, bool | np.bool_):
            raise TypeError(f"{type(selector).__name__}.selects: expected True or False, got {_shown(answer)}")
        return bool(answer)

    return jax.tree_util.tree_map_with_path(one, params)


def _several(spec: Any, method: str, returns: str, *args: Any, **kwargs: Any) -> Any:
    """The values that a method returns, as many as `returns` names, or TypeError."""
    returned = _called(spec, method, *args, **kwargs)
    count = returns.count(",") + 1
    if not isinstance(returned, tuple | list) or len(returned) != count:
        raise TypeError(
            f"{type(spec).__name__}.{method.partition('(')[0]}: expected {('two', 'three')[count - 2]} values, "
            f"got {_shown(returned)}; end it with `return {returns}`"
        )
    return returned


def _called(spec: Any, method: str, *args: Any, **kwargs: Any) -> Any:
    """What a method, named as it should be defined, returns.

    Raises TypeError where it takes other arguments, and where it asks a traced array for its numbers.
    """
    name = method.partition("(")[0]
    try:
        return getattr(spec, name)(*args, **kwargs)
    except _WANTS_NUMBERS as error:
        raise TypeError(
            f"{type(spec).__name__}.{name}: expected nothing but jax.numpy on arrays, whose numbers are not known yet "
            f"while a program is compiled; write jnp.tanh for np.tanh, jnp.where(c, a, b) for if c. "
            f"{str(error).splitlines()[0]}"
        ) from error
    except TypeError:
        signature = inspect.signature(getattr(spec, name))
        if not _takes(signature, args, kwargs):
            raise TypeError(
                f"{type(spec).__name__}.{name}: expected `def {method}`, got the arguments {signature}"
            ) from None
        raise


def _takes(signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    try:
        signature.bind(*args, **kwargs)
    except TypeError:
        return False
    return True


def _shown(value: Any) -> str:
    """What a value is, in a word or two."""
    if hasattr(value, "shape"):
        return f"an array of shape {value.shape}"
    sized = isinstance(value, tuple | list | dict)
    return f"a {type(value).__name__} of {len(value)}" if sized else type(value).__name__


def _check_rows(method: str, name: str, value: Any, rows: Any) -> None:
    shape = getattr(value, "shape", None)
    if shape is None or shape[:1] != rows.shape[:1]:
        raise ValueError(f"{method}: expected {name} of shape ({rows.shape[0]}, ...), got {_shown(value)}")


def _check_shape(method: str, name: str, value: Any, shape: tuple[int, ...]) -> None:
    if getattr(value, "shape", None) != shape:
        raise ValueError(f"{method}: expected {name} of shape {shape}, got {_shown(value)}")


def _check_like(method: str, name: str, tree: Any, other: str, expected: Any) -> None:
    """Raise ValueError unless two trees have the same structure and shapes."""
    if jax.tree.structure(tree) != jax.tree.structure(expected):
        raise ValueError(
            f"{method}: expected {name} in the structure of {other}, {jax.tree.structure(expected)!s:.500}, "
            f"got {jax.tree.structure(tree)!s:.500}"
        )
    for (path, e), leaf in zip(jax.tree_util.tree_leaves_with_path(expected), jax.tree.leaves(tree), strict=True):
        if jnp.shape(leaf) != jnp.shape(e):
            raise ValueError(
                f"{method}: expected {name}{jax.tree_util.keystr(path)} of shape {jnp.shape(e)}, got {jnp.shape(leaf)}"
            )
