"""The gradient checker: hand-derived gradients against automatic differentiation and against finite differences.

    fnnet.check_gradients(MyLayer(), in_shape=(5,), key=jax.random.key(0)).raise_if_failed()

This is the one file of fnnet that differentiates automatically. For a random cotangent dy it compares every
gradient that `backward` returns with

    jax.vjp             of the same forward, in float64 and float32
    finite differences  slopes of L = <dy, forward> along every entry of a small tensor, or 32 random directions of a
                        large one, in float64 (see `fnnet.inspection.finite_differences`)

and checks what must hold of any backward: it is linear in dy, the same under jit, its gradients have the
structure, shape and dtype of what they are gradients of, and, where rows do not mix, the gradient of a batch is
the sum of its rows' gradients and no row's dx depends on another row.

How far apart. For a gradient a and its reference b the error is |a - b| / max(|b|, n / limit), with |.| the
Euclidean norm of the tensor and n the noise: 64 times as far as a or b moves when every input is changed in its last
bit (the largest of three such draws), or 30 eps |L| / h per probe for finite differences. So a gradient that is truly
zero, and comes out as rounding on both sides, passes, and every other is held to the limit relative to its own size,
however the sizes of the tensors differ.

What shows nothing. A comparison can agree for want of trying: where the reference is 0 or the same in every entry, or
where forward chooses between two formulas and the inputs took one of them only (`fnnet.inspection.branches`). There up
to eight wider draws are compared as well, of what the caller did not give; what they do not reach fails the report,
unless the call says that it must be so, and why. Branches inside fnnet count for the layer that they belong to only.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, PRNGKeyArray

from fnnet._values import check_key
from fnnet._xla.compile_once import jit_once
from fnnet.inspection import finite_differences, vacuity
from fnnet.inspection.branches import Branch, both_sides
from fnnet.inspection.report import Check, Report
from fnnet.inspection.subjects import Case, Drawn, case_of, cast, draw, is_float, kind_of_subject, modes_of
from fnnet.layers.composition import zero_gradients
from fnnet.model import Model
from fnnet.protocols import Layer, Loss, Params, Penalty, is_statistics

LIMITS = {"float64": 1e-12, "float32": 5e-6}
DIFFERENCE_LIMIT = 1e-7
SECOND_ORDER_LIMIT = 1e-10


def check_gradients(
    subject: Layer | Loss | Penalty | Model,
    in_shape: tuple[int, ...] | None = None,
    *,
    key: PRNGKeyArray,
    batch: int = 3,
    params: Params = None,
    x: Any = None,
    targets: Any = None,
    expected_zero: Mapping[str, str] | None = None,
    expected_one_sided: Mapping[str, str] | None = None,
    second_order: bool = False,
) -> Report:
    """Compare every hand-derived gradient of a layer, loss, penalty or model with two independent ones.

    Columns of the printed Report: `jax.vjp` (in float64 and float32) and `finite differences` are those two; `eager`,
    the same without jit; `linearity`, that of 2 dy + 3 e against its parts; `rows`, a batch against its rows one by
    one; `wider draws`, at larger inputs and other signs, where the first draw shows nothing; `second order`.

    subject   a spec: a layer (init, forward, backward), a loss (forward, backward, predict), a penalty (value,
              gradient) or a `Model`; yours or fnnet's
    in_shape  of one input, without the batch axis: what a layer is given, or the outputs a loss is given.
              A Model knows its own; a penalty needs none
    key       draws inputs, parameters, cotangent and, in training mode, the layer's own noise
    batch     rows drawn
    params    instead of those that `init` draws, to which noise is added, so that a bias of 0 hides nothing
    x         (B, ...) instead of inputs drawn from N(0, 1); integers for a layer that wants them
    targets   (B, ...) for a loss or model, instead of numbers drawn between 0.05 and 0.95 in the outputs' shape
    expected_zero       {"params[0].b": "the bias before a batch norm"}: tensors whose gradient is 0, or the same in
                        every entry, whatever the inputs, and why
    expected_one_sided  {"MyLayer.forward: where": "x is never negative"}: branches that inputs take one side of
    second_order        also differentiate `backward` itself along a random direction, in float64, and compare with the
                        same derivative of the gradient of `jax.vjp` (a Hessian-vector product): what people rely on
                        who differentiate through fnnet. Limit 1e-10

    Layers are checked without a key and, if that changes the outputs, with one. Floating numbers are cast to
    float64 and float32; float64 is switched on for the duration. Points too close to a kink for finite
    differences are left out and named. Raises ValueError for shapes that do not fit; wrong gradients are in the Report.
    """
    check_key("check_gradients", key)
    with jax.enable_x64(True), jax.default_matmul_precision("highest"):
        kind = kind_of_subject(subject)
        drawn = draw(kind, subject, in_shape, key, batch, params, x, targets)
        drawn, modes = modes_of(kind, subject, drawn)
        known = zero_gradients(subject.network if isinstance(subject, Model) else subject)
        expected = {*known, *(expected_zero or ()), *(expected_one_sided or ())}
        parts = {mode: _check_mode(kind, subject, mode, drawn, expected, second_order) for mode in modes}
    checks = tuple(check for part in parts.values() for check in part.checks)
    texts = [text for part in parts.values() for text in part.left_out]
    found = {mode: part.vacuous for mode, part in parts.items()}
    seen = {what for notes in found.values() for what in notes}
    zero = {what: why for what, why in known.items() if what in seen} | dict(expected_zero or {})
    vacuous = vacuity.explained(found, {c.tensor for c in checks}, zero, expected_one_sided or {})
    if kind in ("loss", "model") and targets is None:
        texts.append("targets other than numbers between 0.05 and 0.95: pass targets= (integer classes, say)")
    return Report(repr(subject), checks, tuple(texts), vacuous)


class _Part(NamedTuple):
    """All comparisons in one mode, what was left out, and what shows nothing, with a note."""

    checks: list[Check]
    left_out: list[str]
    vacuous: dict[str, str]


def _check_mode(kind: str, subject: Any, mode: str, drawn: Drawn, expected: set[str], second_order: bool) -> _Part:
    checks: list[Check] = []
    left_out: list[str] = []
    vacuous: dict[str, str] = {}
    for dtype, limit in LIMITS.items():
        case = case_of(kind, subject, mode, drawn, dtype)
        params, x = cast((drawn.params, drawn.x), dtype)
        dy = _cotangent(case, params, x, drawn.key)
        wrong = _structure(mode, jax.eval_shape(case.backward, params, x, dy), params, x)
        if wrong:
            return _Part(wrong, left_out, vacuous)
        branches: list[Branch] = []
        program = _program(case, branches, is_first=dtype == "float64")
        found = program(params, x, dy)
        _refuse_nan(subject, found.outputs)
        noise = _noise(lambda *args, p=program: _both(p(*args)), params, x, dy, drawn.key)
        checks += _compare(mode, f"jax.vjp {dtype}", found.hand, found.reference, limit, noise)
        if dtype == "float64":
            checks += _eager(mode, case, params, x, dy, found.hand, limit, noise, drawn.key)
            if found.linearity is not None:
                checks += _compare(mode, "linearity", *found.linearity, limit, noise)
            checks += _rows(mode, found, limit, noise, left_out)
            checks += _differences(mode, case, params, x, dy, found.hand, drawn.key, left_out)
            checks += _second_order(mode, case, params, x, dy, drawn.key) if second_order else []
            seen = partial(_seen, kind, subject, branches)
            vacuous = seen(found, noise)
            more, left = _wider(mode, program, drawn, dy, vacuous.keys() - expected, seen)
            checks += more
            vacuous = {what: note for what, note in vacuous.items() if what in expected | left}
    return _Part(checks, left_out, vacuous)


def _seen(
    kind: str, subject: Any, branches: list[Branch], found: "_Measured", noise: dict[str, float]
) -> dict[str, str]:
    """What one draw shows nothing of, with a note; a penalty may leave parameters alone."""
    tensors = [] if kind == "penalty" else _references(found.reference)
    own = [(b, sides) for b, sides in zip(branches, found.sides, strict=True) if vacuity.counts(b, subject)]
    return vacuity.seen(tensors, noise, own)


def _wider(
    mode: str, program: Callable, drawn: Drawn, dy: Array, vacuous: set[str], seen: Callable
) -> tuple[list[Check], set[str]]:
    """Comparisons at wider draws until each has shown something of all that is vacuous; and what is so still."""
    checks: list[Check] = []
    for number in range(vacuity.WIDER if drawn.free else 0):
        if not vacuous:
            break
        params, x = vacuity.wider(drawn, number)
        found = program(params, x, dy)
        if all(bool(jnp.isfinite(a).all()) for a in jax.tree.leaves((found.outputs, found.reference))):
            noise = _noise(lambda *args: _both(program(*args)), params, x, dy, drawn.key)
            checks += _compare(mode, "wider draws", found.hand, found.reference, LIMITS["float64"], noise)
            vacuous = vacuous & seen(found, noise).keys()
    return checks, vacuous


def _second_order(mode: str, case: Case, params: Any, x: Any, dy: Array, key: PRNGKeyArray) -> list[Check]:
    """The derivative of backward along a random direction against that of the gradient of `jax.vjp`."""
    _, values = _of_learned(case.forward, params, x)
    keys = jax.random.split(key, len(values))
    direction = tuple(jax.random.normal(k, value.shape, value.dtype) for k, value in zip(keys, values, strict=True))

    def along(gradients: Callable[[Any, Any], Any], params: Any, x: Any) -> Any:
        f, values = _of_learned(gradients, params, x)
        return jax.jvp(f, tuple(values), direction)[1]

    def both(params: Any, x: Any, dy: Array) -> list[Any]:
        hand = along(lambda params, x: case.backward(params, x, dy), params, x)
        return [hand, along(lambda params, x: _vjp(case.forward, params, x, dy), params, x)]

    program = jit_once(both)
    hand, reference = program(params, x, dy)
    noise = _noise(program, params, x, dy, key)
    return _compare(mode, "second order", hand, reference, SECOND_ORDER_LIMIT, noise)


def _references(reference: Any) -> Iterator[tuple[str, Array]]:
    """(name, tensor) of every gradient but those of running statistics, which are 0."""
    learned = _without_statistics(reference)
    return ((name, tensor) for name, tensor, _ in _named(learned, learned))


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
    sides: list[Array]


def _program(case: Case, branches: list[Branch], is_first: bool) -> Callable[[Any, Any, Array], _Measured]:
    """Everything that is compared, as one compiled program; linearity, rows and sides in the first dtype only.

    linearity   backward(2 dy + 3 e) and 2 backward(dy) + 3 backward(e), for another cotangent e
    rows        outputs of the rows one by one, and the sum of their gradients with dx row by row
    sides       which sides of the branches of forward are taken; tracing fills `branches` with their names
    """

    def program(params: Any, x: Any, dy: Array) -> _Measured:
        hand, linearity, rows, sides = case.backward(params, x, dy), None, None, []
        if is_first:
            branches[:], sides = both_sides(case.forward, params, x)
        if is_first and case.is_linear:
            e = jnp.flip(dy) + 1
            parts = jax.tree.map(lambda a, b: 2 * a + 3 * b, hand, case.backward(params, x, e))
            linearity = case.backward(params, x, 2 * dy + 3 * e), parts
        if is_first and case.row is not None:
            rows = _row_by_row(case.row, params, x, dy)
        return _Measured(case.forward(params, x), hand, _vjp(case.forward, params, x, dy), linearity, rows, sides)

    return jit_once(program)


def _both(found: _Measured) -> list[tuple[Any, Any]]:
    return [found.hand, found.reference]


def _noise(
    gradients: Callable[[Any, Any, Array], list[tuple[Any, Any]]], params: Any, x: Any, dy: Array, key: PRNGKeyArray
) -> dict[str, float]:
    """Name -> how uncertain a tensor is: 64 times its change when inputs change in the last bit, in any computation."""
    eps = float(jnp.finfo(dy.dtype).eps)
    still = gradients(params, x, dy)
    noise = {name: 0.0 for name, _, _ in _named(still[0], still[0])}
    for i in range(3):
        for before, moved in zip(
            still, gradients(*_wobbled((params, x, dy), eps, jax.random.fold_in(key, i))), strict=True
        ):
            for name, a, b in _named(moved, before):
                noise[name] = max(noise[name], 64 * float(jnp.linalg.norm((a - b).ravel())))
    return noise


def _eager(
    mode: str,
    case: Case,
    params: Any,
    x: Any,
    dy: Array,
    hand: Any,
    limit: float,
    noise: dict[str, float],
    key: PRNGKeyArray,
) -> list[Check]:
    """The compiled backward against the same one operation at a time, whose own noise counts where they differ."""
    eager = case.backward(params, x, dy)
    checks = _compare(mode, "eager", hand, eager, limit, noise)
    if all(check.passed for check in checks):
        return checks
    own = _noise(lambda *args: [case.backward(*args)], params, x, dy, key)
    return _compare(mode, "eager", hand, eager, limit, {name: max(noise[name], own[name]) for name in noise})


def _wobbled(tree: Any, eps: float, key: PRNGKeyArray) -> Any:
    """Every floating number up or down by eps times itself, at random."""
    leaves, structure = jax.tree.flatten(tree)
    keys = jax.random.split(key, len(leaves))

    def one(a: Any, key: PRNGKeyArray) -> Any:
        return a + eps * a * jax.random.rademacher(key, a.shape, a.dtype) if is_float(a) else a

    return structure.unflatten(map(one, leaves, keys))


def _row_by_row(row: Callable[[int], Case], params: Any, x: Any, dy: Array) -> tuple[Array, Any]:
    singles = [(row(i), x[i : i + 1], dy[i : i + 1]) for i in range(x.shape[0])]
    outputs = jnp.concatenate([single.forward(params, one) for single, one, _ in singles])
    grads = [single.backward(params, one, d) for single, one, d in singles]
    dparams = jax.tree.map(lambda *parts: sum(parts), *(g for g, _ in grads))
    dx = None if grads[0][1] is None else jnp.concatenate([dx for _, dx in grads])
    return outputs, (dparams, dx)


def _vjp(forward: Callable[[Any, Any], Array], params: Any, x: Any, dy: Array) -> tuple[Any, Any]:
    """(dparams, dx) by automatic differentiation; None for what is integer or absent, zeros for running statistics."""
    of_learned, values = _of_learned(forward, params, x)
    _, pullback = jax.vjp(of_learned, *values)
    leaves, tree = jax.tree.flatten((params, x))
    grads: list[Any] = [jnp.zeros_like(leaf) if is_float(leaf) else None for leaf in leaves]
    for i, grad in zip(_learned(params, x), pullback(dy), strict=True):
        grads[i] = grad
    return tree.unflatten(grads)


def _of_learned(f: Callable[[Any, Any], Any], params: Any, x: Any) -> tuple[Callable[..., Any], list[Array]]:
    """f as a function of the tensors that have a gradient, and those tensors; the others stay as they are."""
    leaves, tree = jax.tree.flatten((params, x))
    moved = _learned(params, x)

    def of_learned(*values: Array) -> Any:
        full = list(leaves)
        for i, value in zip(moved, values, strict=True):
            full[i] = value
        return f(*tree.unflatten(full))

    return of_learned, [leaves[i] for i in moved]


def _structure(mode: str, hand: Any, params: Any, x: Any) -> list[Check]:
    """Failures of structure, shape and dtype: nothing can be compared before they are corrected."""

    def failure(tensor: str, shape: tuple[int, ...], note: str) -> Check:
        return Check(tensor, shape, mode, "structure", float("inf"), 0.0, False, note)

    if not isinstance(hand, tuple) or len(hand) != 2:
        got = "a single array" if hasattr(hand, "shape") else type(hand).__name__
        return [failure("backward", (), f"expected (dparams, dx), got {got}; write `return dparams, dx`")]
    dparams, dx = hand
    if jax.tree.structure(dparams) != jax.tree.structure(params):
        expected, got = jax.tree.structure(params), jax.tree.structure(dparams)
        return [failure("params", (), f"expected gradients in the structure of params, {expected}, got {got}")]
    found = []
    if x is not None and is_float(x) and dx is None:
        found.append(failure("x", x.shape, "expected dx, since x is floating; got None: return (dparams, dx)"))
    if x is not None and not is_float(x) and dx is not None:
        found.append(failure("x", x.shape, "expected dx to be None, since x is integer"))
    for name, g, value in _named((dparams, dx), (params, x)):
        if g is not None and (g.shape, g.dtype) != (value.shape, value.dtype):
            note = f"expected {value.dtype} of shape {value.shape}, got {g.dtype} of shape {g.shape}"
            extra = g.ndim - value.ndim
            if name != "x" and extra > 0 and g.shape[extra:] == value.shape:
                axes = "0" if extra == 1 else f"({', '.join(map(str, range(extra)))})"
                note += f"; sum over the rows, and over the steps of a sequence: .sum({axes})"
            found.append(failure(name, value.shape, note))
    return found


def _learned(params: Any, x: Any) -> list[int]:
    """Numbers of the leaves of (params, x) that have a gradient: what is floating and no running statistic."""
    nodes = jax.tree.leaves((params, x), is_leaf=is_statistics)
    leaves = [(leaf, is_statistics(node)) for node in nodes for leaf in jax.tree.leaves(node)]
    return [i for i, (leaf, runs) in enumerate(leaves) if is_float(leaf) and not runs]


def _without_statistics(tree: Any) -> Any:
    """The tree with None for running statistics."""
    return jax.tree.map(
        lambda g: jax.tree.map(lambda _: None, g) if is_statistics(g) else g, tree, is_leaf=is_statistics
    )


def _named(hand: tuple[Any, Any], other: tuple[Any, Any]) -> Iterator[tuple[str, Any, Any]]:
    """(name, hand-derived tensor, reference tensor) for every floating parameter, and for x."""
    others = jax.tree.leaves(other[0], is_leaf=lambda a: a is None)
    named = jax.tree_util.tree_leaves_with_path(hand[0], is_leaf=lambda a: a is None)
    for (path, mine), theirs in zip(named, others, strict=True):
        if mine is not None and theirs is not None and is_float(mine):
            yield f"params{jax.tree_util.keystr(path)}", mine, theirs
    if hand[1] is not None and other[1] is not None:
        yield "x", hand[1], other[1]


def _compare(mode: str, against: str, hand: Any, reference: Any, limit: float, noise: dict[str, float]) -> list[Check]:
    """One Check per tensor."""
    return [_check(name, mode, against, a, b, limit, noise[name]) for name, a, b in _named(hand, reference)]


def _check(name: str, mode: str, against: str, a: Any, b: Any, limit: float, noise: float) -> Check:
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    apart = float(np.linalg.norm(a - b))
    scale = max(float(np.linalg.norm(b)), noise / limit)
    error = 0.0 if apart == 0 else apart / scale if scale else float("inf")
    passed = bool(error <= limit)
    return Check(name, a.shape, mode, against, error, limit, passed, "" if passed else _worst_entry(a, b, against))


def _worst_entry(a: np.ndarray, b: np.ndarray, against: str) -> str:
    """Where the two differ most, with both values; and the constant factor between them, if there is one."""
    apart = np.where(np.isfinite(a - b), np.abs(a - b), np.inf)
    index = tuple(map(int, np.unravel_index(apart.argmax(), a.shape)))
    where = f"entry {list(index)}: backward gives {a[index]:.9g}, {against} gives {b[index]:.9g}"
    factor = float((a * b).sum() / (b * b).sum()) if (b * b).sum() > 0 else float("nan")
    if np.isfinite(factor) and abs(factor - 1) > 1e-9 and np.linalg.norm(a - factor * b) <= 1e-5 * np.linalg.norm(a):
        where += f"; the whole tensor is {factor:.6g} times what it should be"
    return where


def _worst_place(found: finite_differences.Slopes, used: np.ndarray) -> str:
    """Where gradient and finite differences are furthest apart, with both values."""
    apart = np.where(used, np.abs(np.nan_to_num(found.mine - found.measured, nan=np.inf)), -1)
    i = int(apart.argmax())
    place = found.places[i]
    where = place if place.startswith("direction") else f"entry {place}"
    return f"{where}: backward gives {found.mine[i]:.9g}, finite differences give {found.measured[i]:.9g}"


def _rows(mode: str, found: _Measured, limit: float, noise: dict[str, float], left_out: list[str]) -> list[Check]:
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
    terms, values = _of_learned(lambda params, x: dy * case.forward(params, x), params, x)
    named = list(_named(_without_statistics(hand), (params, x)))
    measured = finite_differences.slopes(lambda tensors: terms(*tensors), values, [g for _, g, _ in named], key)
    checks = []
    for (name, _, value), found in zip(named, measured, strict=True):
        used = ~found.kinked
        if found.kinked.any():
            places = [place for place, kinked in zip(found.places, found.kinked, strict=True) if kinked]
            shown = ", ".join(places[:8]) + (", ..." if len(places) > 8 else "")
            left_out.append(
                f"finite differences of {name} ({mode}), {len(places)} of {len(used)} at a kink or too sharp: {shown}"
            )
        check = _check(
            name, mode, "finite differences", found.mine[used], found.measured[used], DIFFERENCE_LIMIT, found.noise
        )
        if not check.passed and used.any():
            check = check._replace(note=_worst_place(found, used))
        if not used.any():
            note = "every point lies at a kink; pass x= or params= away from it"
            check = check._replace(error=float("inf"), passed=False, note=note)
        checks.append(check._replace(shape=value.shape))
    return checks
