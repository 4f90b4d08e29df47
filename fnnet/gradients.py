"""The gradient checker: hand-derived against automatic differentiation and against differences.

    fnnet.check_gradients(MyLayer(), in_shape=(5,), key=jax.random.key(0)).raise_if_failed()

This is the one file of fnnet that differentiates automatically. For a random cotangent dy it compares every
gradient that `backward` returns with

    jax.vjp       of the same forward, in float64 and float32
    differences   (L(t + h v) - L(t - h v)) / 2h of L = <dy, forward>, in float64, h = 1e-5: every entry of a
                  small tensor, 32 random directions v of a large one

and checks what must hold of any backward: it is linear in dy, the same under jit, its gradients have the
structure, shape and dtype of what they are gradients of, and, where rows do not mix, the gradient of a batch is
the sum of its rows' gradients and no row's dx depends on another row.

How far apart. For a gradient a and its reference b the error is |a - b| / max(|b|, n / limit), with |.| the
Euclidean norm of the tensor and n the noise: 16 eps times the size of what was summed (the largest tensor of the
pass), or 10 eps |L| / h per entry for differences. So a gradient that is truly zero, and comes out as rounding on
both sides, passes, and every other is held to the limit relative to its own size.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from fnnet import differences
from fnnet.batch import Batch
from fnnet.layers import Dense, Serial
from fnnet.model import Model, backprop, forward, loss
from fnnet.spec import as_numbers, is_built

LIMITS = {"float64": 1e-12, "float32": 5e-6}
DIFFERENCE_LIMIT = 1e-7


class Check(NamedTuple):
    """One comparison: a line of the report.

    tensor   what was compared, `params[0].w` or `x`; with its shape
    mode     "prediction" (no key) or "training" (with the key)
    against  what it was compared with
    error, limit, passed   see the module
    note     for a failure: where, both values, and what to do
    """

    tensor: str
    shape: tuple[int, ...]
    mode: str
    against: str
    error: float
    limit: float
    passed: bool
    note: str = ""


class Report(NamedTuple):
    """All comparisons of one subject; `print` shows a table."""

    subject: str
    checks: tuple[Check, ...]
    left_out: tuple[str, ...]

    @property
    def failed(self) -> tuple[Check, ...]:
        """The comparisons that did not hold."""
        return tuple(check for check in self.checks if not check.passed)

    def raise_if_failed(self) -> "Report":
        """The report itself, or AssertionError with the table and every failure's worst entry."""
        if self.failed:
            raise AssertionError(str(self))
        return self

    def worst(self, against: str) -> float:
        """The largest error among the comparisons with `against`, NaN if there was none."""
        return max((check.error for check in self.checks if check.against == against), default=float("nan"))

    def __str__(self) -> str:
        """A line a tensor, a column a reference; then the failures in words, and what was left out."""
        columns = list(dict.fromkeys(check.against for check in self.checks))
        limits = {check.against: f"{check.limit:.0e}" for check in self.checks}
        cells = {(c.tensor, c.shape, c.mode): {} for c in self.checks}
        for c in self.checks:
            cells[c.tensor, c.shape, c.mode][c.against] = f"{c.error:.1e}" + ("" if c.passed else " !")
        rows = [("tensor", "shape", "mode", *columns, ""), ("limit", "", "", *(limits[c] for c in columns), "")]
        for (tensor, shape, mode), errors in cells.items():
            verdict = "FAILED" if any(cell.endswith("!") for cell in errors.values()) else "ok"
            rows.append((tensor, str(shape), mode, *(errors.get(c, "-") for c in columns), verdict))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        table = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
        failures = [f"FAILED {c.tensor} against {c.against} ({c.mode}): {c.note}" for c in self.failed]
        outcome = f"{len(self.failed)} of {len(self.checks)} comparisons failed"
        return "\n".join([self.subject, *table, *failures, *(f"left out: {text}" for text in self.left_out), outcome])


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


def check_gradients(
    subject: Any,
    in_shape: tuple[int, ...] | None = None,
    *,
    key: PRNGKeyArray,
    batch: int = 3,
    params: Any = None,
    x: Any = None,
    targets: Any = None,
) -> Report:
    """Compare every hand-derived gradient of a layer, loss, penalty or model with two independent ones.

    subject   a spec: a layer (init, forward, backward), a loss (forward, backward, predict), a penalty (value,
              gradient) or a `Model`; yours or fnnet's
    in_shape  of one input, without the batch axis: what a layer is given, or the outputs a loss is given.
              A Model knows its own; a penalty needs none
    key       draws inputs, parameters, cotangent and, in training mode, the layer's own noise
    batch     rows drawn
    params    instead of those that `init` draws. Those are moved a little, so that a bias of 0 hides nothing
    x         (B, ...) instead of inputs drawn from N(0, 1); integers for a layer that wants them
    targets   (B, ...) for a loss or model, instead of numbers drawn between 0.05 and 0.95 in the outputs' shape

    Layers are checked without a key and, if that changes the outputs, with one. Floating numbers are cast to
    float64 and float32; float64 is switched on for the duration. Points too near a kink for differences are
    left out and named. Errors of shape come as ValueError; wrong gradients are in the Report.
    """
    with jax.enable_x64(True), jax.default_matmul_precision("highest"):
        kind = _kind_of(subject)
        drawn = _draw(kind, subject, in_shape, key, batch, params, x, targets)
        parts = [_check_mode(kind, subject, mode, drawn) for mode in _modes(kind, subject, drawn)]
    checks = tuple(check for part, _ in parts for check in part)
    return Report(repr(subject), checks, tuple(text for _, texts in parts for text in texts))


class Drawn(NamedTuple):
    """What a subject is checked at, in float64."""

    params: Any
    x: Any
    targets: Any
    key: PRNGKeyArray


def _kind_of(subject: Any) -> str:
    if isinstance(subject, Model):
        return "model"
    if is_built(subject, "init", "forward", "backward"):
        return "layer"
    if is_built(subject, "forward", "backward", "predict"):
        return "loss"
    if is_built(subject, "value", "gradient"):
        return "penalty"
    raise TypeError(
        f"check_gradients: expected a layer (init, forward, backward), a loss (forward, backward, predict), "
        f"a penalty (value, gradient) or a Model, built with its settings; got {subject!r}"
    )


def _draw(
    kind: str, subject: Any, in_shape: Any, key: PRNGKeyArray, batch: int, params: Any, x: Any, targets: Any
) -> Drawn:
    """Inputs, parameters and targets, given or drawn."""
    init_key, x_key, target_key, jitter_key, noise_key = jax.random.split(key, 5)
    if kind == "model":
        in_shape = subject.input_shape
    if x is None and kind != "penalty":
        if in_shape is None:
            raise ValueError(
                f"check_gradients: a {kind} needs in_shape, the shape of one input without the batch axis: "
                f"check_gradients({type(subject).__name__}(...), in_shape=(3,), key=key), or x="
            )
        x = jax.random.normal(x_key, (batch, *in_shape), jnp.float64)
    x = None if x is None else _float64(jnp.asarray(x))
    if params is None:
        drawn = _initial(kind, subject, init_key, None if x is None else x.shape[1:])
        leaves, tree = jax.tree.flatten(drawn)
        keys = jax.random.split(jitter_key, max(1, len(leaves)))
        params = tree.unflatten(_jitter(p, k) for p, k in zip(leaves, keys, strict=False))
    params = jax.tree.map(lambda p: _float64(jnp.asarray(p)), params)
    if targets is None and kind in ("loss", "model"):
        targets = jax.random.uniform(target_key, _output_shape(kind, subject, params, x), jnp.float64, 0.05, 0.95)
    return Drawn(params, x, None if targets is None else _float64(jnp.asarray(targets)), noise_key)


def _output_shape(kind: str, subject: Any, params: Any, x: Any) -> tuple[int, ...]:
    return x.shape if kind == "loss" else jax.eval_shape(lambda: forward(subject, params, x)).shape


def _initial(kind: str, subject: Any, key: PRNGKeyArray, in_shape: Any) -> Any:
    if kind == "loss":
        return ()
    if kind == "penalty":
        return Serial((Dense(4), Dense(2))).init(key, (3,))[0]
    network = subject.network if kind == "model" else subject
    return as_numbers(network, jnp.float64, "check_gradients").init(key, tuple(in_shape))[0]


def _jitter(p: Any, key: PRNGKeyArray) -> Any:
    """Moved by a tenth of a standard normal: nothing stays exactly 0 or 1."""
    p = jnp.asarray(p)
    return p + 0.1 * jax.random.normal(key, p.shape, p.dtype) if _is_float(p) else p


def _is_float(a: Any) -> bool:
    return jnp.issubdtype(a.dtype, jnp.floating)


def _float64(a: Array) -> Array:
    return a.astype(jnp.float64) if _is_float(a) else a


def _cast(tree: Any, dtype: str) -> Any:
    return jax.tree.map(lambda a: a.astype(dtype) if _is_float(a) else a, tree)


def _modes(kind: str, subject: Any, drawn: Drawn) -> tuple[str, ...]:
    """Without a key, and with one where that is another function."""
    if kind not in ("layer", "model"):
        return ("prediction",)
    network = as_numbers(subject.network if kind == "model" else subject, jnp.float64, "check_gradients")

    def differs(params: Any, x: Any, key: PRNGKeyArray) -> Array:
        return (network.forward(params, x)[0] != network.forward(params, x, key=key)[0]).any()

    return ("prediction", "training") if jax.jit(differs)(drawn.params, drawn.x, drawn.key) else ("prediction",)


def _case(kind: str, subject: Any, mode: str, drawn: Drawn, dtype: str) -> Case:
    """The subject's forward and backward as functions of (params, x), with its numbers in dtype."""
    subject, targets = as_numbers(subject, dtype, "check_gradients"), _cast(drawn.targets, dtype)
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
        return jax.tree.map(lambda g: dy * g, (p.grads, p.dx))

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


def _check_mode(kind: str, subject: Any, mode: str, drawn: Drawn) -> tuple[list[Check], list[str]]:
    """All comparisons in one mode, and what was left out."""
    checks: list[Check] = []
    left_out: list[str] = []
    for dtype, limit in LIMITS.items():
        case = _case(kind, subject, mode, drawn, dtype)
        params, x = _cast((drawn.params, drawn.x), dtype)
        dy = _cotangent(case, params, x, drawn.key)
        wrong = _structure(mode, jax.eval_shape(case.backward, params, x, dy), params, x)
        if wrong:
            return wrong, left_out
        found = _measure(case, params, x, dy, is_first=dtype == "float64")
        _refuse_nan(subject, found.outputs)
        size = max(float(jnp.linalg.norm(a.ravel())) for a in (*jax.tree.leaves(found.reference), dy))
        noise = 16 * float(jnp.finfo(dtype).eps) * size
        checks += _compare(mode, f"jax.vjp {dtype}", found.hand, found.reference, limit, noise)
        if dtype == "float64":
            checks += _compare(mode, "eager", found.hand, case.backward(params, x, dy), limit, noise)
            if found.linearity is not None:
                checks += _compare(mode, "linearity", *found.linearity, limit, 10 * noise)
            checks += _rows(mode, found, limit, noise, left_out)
            checks += _differences(mode, case, params, x, dy, found.hand, drawn.key, left_out)
    return checks, left_out


def _cotangent(case: Case, params: Any, x: Any, key: PRNGKeyArray) -> Array:
    y = jax.eval_shape(case.forward, params, x)
    return jax.random.normal(key, y.shape, y.dtype) if case.is_linear else jnp.ones(y.shape, y.dtype)


def _refuse_nan(subject: Any, outputs: Array) -> None:
    if not bool(jnp.isfinite(outputs).all()):
        raise ValueError(
            f"check_gradients: {type(subject).__name__}.forward gives NaN or infinity for these inputs; "
            f"pass x= (or params=, targets=) that it is defined for"
        )


class _Measured(NamedTuple):
    """What one compiled program computes of a case; gradients are (dparams, dx)."""

    outputs: Array
    hand: Any
    reference: Any
    linearity: tuple[Any, Any] | None
    rows: tuple[Array, Any] | None


def _measure(case: Case, params: Any, x: Any, dy: Array, is_first: bool) -> _Measured:
    """Everything that is compared, from one program; linearity and rows in the first dtype only.

    linearity   backward(2 dy + 3 e) and 2 backward(dy) + 3 backward(e), for another cotangent e
    rows        outputs of the rows one by one, and the sum of their gradients with dx row by row
    """

    def program(params: Any, x: Any, dy: Array) -> _Measured:
        hand, linearity, rows = case.backward(params, x, dy), None, None
        if is_first and case.is_linear:
            e = jnp.flip(dy) + 1
            parts = jax.tree.map(lambda a, b: 2 * a + 3 * b, hand, case.backward(params, x, e))
            linearity = case.backward(params, x, 2 * dy + 3 * e), parts
        if is_first and case.row is not None:
            rows = _row_by_row(case.row, params, x, dy)
        return _Measured(case.forward(params, x), hand, _vjp(case.forward, params, x, dy), linearity, rows)

    return jax.jit(program)(params, x, dy)


def _row_by_row(row: Callable[[int], Case], params: Any, x: Any, dy: Array) -> tuple[Array, Any]:
    singles = [(row(i), x[i : i + 1], dy[i : i + 1]) for i in range(x.shape[0])]
    outputs = jnp.concatenate([single.forward(params, one) for single, one, _ in singles])
    grads = [single.backward(params, one, d) for single, one, d in singles]
    dparams = jax.tree.map(lambda *parts: sum(parts), *(g for g, _ in grads))
    dx = None if grads[0][1] is None else jnp.concatenate([dx for _, dx in grads])
    return outputs, (dparams, dx)


def _vjp(forward: Callable[[Any, Any], Array], params: Any, x: Any, dy: Array) -> tuple[Any, Any]:
    """(dparams, dx) by automatic differentiation; None in place of what is integer or absent."""
    leaves, tree = jax.tree.flatten((params, x))
    floating = [i for i, leaf in enumerate(leaves) if _is_float(leaf)]

    def of_floating(*values: Array) -> Array:
        full = list(leaves)
        for i, value in zip(floating, values, strict=True):
            full[i] = value
        return forward(*tree.unflatten(full))

    _, pullback = jax.vjp(of_floating, *(leaves[i] for i in floating))
    grads: list[Any] = [None] * len(leaves)
    for i, grad in zip(floating, pullback(dy), strict=True):
        grads[i] = grad
    return tree.unflatten(grads)


def _structure(mode: str, hand: Any, params: Any, x: Any) -> list[Check]:
    """Failures of structure, shape and dtype: nothing can be compared before they are mended."""

    def failure(tensor: str, shape: tuple[int, ...], note: str) -> Check:
        return Check(tensor, shape, mode, "structure", float("inf"), 0.0, False, note)

    if not isinstance(hand, tuple) or len(hand) != 2:
        return [failure("backward", (), f"expected it to return (dparams, dx), got {type(hand).__name__}")]
    dparams, dx = hand
    if jax.tree.structure(dparams) != jax.tree.structure(params):
        expected, got = jax.tree.structure(params), jax.tree.structure(dparams)
        return [failure("params", (), f"expected gradients in the structure of params, {expected}, got {got}")]
    found = []
    if x is not None and _is_float(x) and dx is None:
        found.append(failure("x", x.shape, "expected dx, since x is floating; got None: return (dparams, dx)"))
    if x is not None and not _is_float(x) and dx is not None:
        found.append(failure("x", x.shape, "expected dx to be None, since x is integer"))
    for name, g, value in _named((dparams, dx), (params, x)):
        if g is not None and (g.shape, g.dtype) != (value.shape, value.dtype):
            note = f"expected {value.dtype} of shape {value.shape}, got {g.dtype} of shape {g.shape}"
            found.append(failure(name, value.shape, note))
    return found


def _named(hand: tuple[Any, Any], other: tuple[Any, Any]) -> Iterator[tuple[str, Any, Any]]:
    """(name, hand's tensor, other's tensor) for every parameter that is a number, and for x."""
    others = jax.tree.leaves(other[0], is_leaf=lambda a: a is None)
    named = jax.tree_util.tree_leaves_with_path(hand[0], is_leaf=lambda a: a is None)
    for (path, mine), theirs in zip(named, others, strict=True):
        if mine is not None and theirs is not None and _is_float(mine):
            yield f"params{jax.tree_util.keystr(path)}", mine, theirs
    if hand[1] is not None and other[1] is not None:
        yield "x", hand[1], other[1]


def _compare(mode: str, against: str, hand: Any, reference: Any, limit: float, noise: float) -> list[Check]:
    """One Check a tensor."""
    return [_check(name, mode, against, a, b, limit, noise) for name, a, b in _named(hand, reference)]


def _check(name: str, mode: str, against: str, a: Any, b: Any, limit: float, noise: float) -> Check:
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    apart = float(np.linalg.norm(a - b))
    scale = max(float(np.linalg.norm(b)), noise / limit)
    error = 0.0 if apart == 0 else apart / scale if scale else float("inf")
    passed = bool(error <= limit)
    return Check(name, a.shape, mode, against, error, limit, passed, "" if passed else _worst_entry(a, b, against))


def _worst_entry(a: np.ndarray, b: np.ndarray, against: str) -> str:
    """Where the two differ most, with both values; and the one factor between them, if there is one."""
    apart = np.where(np.isfinite(a - b), np.abs(a - b), np.inf)
    index = tuple(map(int, np.unravel_index(apart.argmax(), a.shape)))
    where = f"entry {list(index)}: backward gives {a[index]:.9g}, {against} gives {b[index]:.9g}"
    factor = float((a * b).sum() / (b * b).sum()) if (b * b).sum() > 0 else float("nan")
    if np.isfinite(factor) and np.linalg.norm(a - factor * b) <= 1e-5 * np.linalg.norm(a):
        where += f"; the whole tensor is {factor:.6g} times what it should be"
    return where


def _rows(mode: str, found: _Measured, limit: float, noise: float, left_out: list[str]) -> list[Check]:
    """The gradient of a batch against the sum over its rows, dx row by row; unless forward mixes rows."""
    if found.rows is None:
        return []
    outputs, grads = found.rows
    if not np.allclose(outputs, found.outputs, rtol=1e-9, atol=1e-12):
        left_out.append("rows: forward mixes the rows of a batch, so its gradient is not the sum of theirs")
        return []
    return _compare(mode, "rows", found.hand, grads, limit, noise)


def _differences(
    mode: str, case: Case, params: Any, x: Any, dy: Array, hand: Any, key: PRNGKeyArray, left_out: list[str]
) -> list[Check]:
    """Central differences of L = <dy, forward> along every entry, or 32 directions, of every tensor."""
    leaves, tree = jax.tree.flatten((params, x))
    moved = [i for i, leaf in enumerate(leaves) if _is_float(leaf)]

    def terms(tensors: list[Array]) -> Array:
        full = list(leaves)
        for i, tensor in zip(moved, tensors, strict=True):
            full[i] = tensor
        return dy * case.forward(*tree.unflatten(full))

    named = list(_named(hand, (params, x)))
    measured = differences.slopes(terms, [leaves[i] for i in moved], [g for _, g, _ in named], key)
    checks = []
    for (name, _, value), found in zip(named, measured, strict=True):
        used = ~found.kinked
        if found.kinked.any():
            places = [place for place, kinked in zip(found.places, found.kinked, strict=True) if kinked]
            shown = ", ".join(places[:8]) + (", ..." if len(places) > 8 else "")
            left_out.append(f"differences of {name} ({mode}), {len(places)} of {len(used)} at a kink: {shown}")
        check = _check(name, mode, "differences", found.mine[used], found.measured[used], DIFFERENCE_LIMIT, found.noise)
        if not used.any():
            note = "every point lies at a kink; pass x= or params= away from it"
            check = check._replace(error=float("inf"), passed=False, note=note)
        checks.append(check._replace(shape=value.shape))
    return checks
