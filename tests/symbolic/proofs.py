"""What a proof is: fnnet's own forward and backward, run on `Scalar`s, and the exact derivative beside them."""

import dataclasses
import math
import random
from collections.abc import Callable
from fractions import Fraction
from types import SimpleNamespace
from typing import Any

import jax
import numpy as np
import sympy

import fnnet
from fnnet.layers import normalization
from fnnet.protocols import Statistics, is_statistics

from .namespace import EXACT, RANDOM, Exact, as_exact, constants, standing_in
from .scalars import Intervals, Rationals, Scalar, Symbols, computing_in, exact, lifted

TIMES = ("steps", "warmup", "stable", "decay", "rise", "growth", "width")
"""Numbers of schedules that decide at which step something happens: never symbols."""

LIMIT = 1e-40  # an interval around 0 of at most this width is 0


class Refuted(AssertionError):
    """A backward that is not the derivative of its forward."""


class Unproved(AssertionError):
    """A difference that may be 0, and that this way of proving cannot show to be."""


class Numbers:
    """Draws the numbers of a proof: rationals of both signs, of which none is 0, 1 or as large as another."""

    def __init__(self, ring: Any) -> None:
        self.ring, self.rng, self.count = ring, random.Random(0), 0
        self.seen = {Fraction(1)}

    def fraction(self, positive: bool) -> Fraction:
        while len(self.seen) < 4000:
            new = Fraction(self.rng.randint(1, 4500), 1024 if isinstance(self.ring, Intervals) else 1009)
            new = new if positive or self.rng.random() < 0.5 else -new
            if abs(new) not in self.seen:
                self.seen.add(abs(new))
                return new
        raise ValueError("a proof of more numbers than there are; choose smaller shapes")

    def variable(self, name: str, witness: Fraction) -> Scalar:
        """A number that the proof differentiates by, or a symbol."""
        self.count += 1
        if isinstance(self.ring, Symbols):
            return Scalar(self.ring.symbol(f"{name}{self.count}", witness))
        value = self.ring.constant(witness)
        return Scalar(value, {self.count: self.ring.constant(Fraction(1))})

    def array(self, name: str, shape: tuple[int, ...], positive: bool = False) -> Exact:
        witnesses = [self.fraction(positive) for _ in range(math.prod(shape))]
        if len({w > 0 for w in witnesses}) == 1 < len(witnesses) and not positive:
            witnesses[0] = -witnesses[0]  # both sides of 0, whatever was drawn
        array = np.empty(shape, object)
        for place, witness in zip(np.ndindex(shape), witnesses, strict=True):
            array[place] = self.variable(name, witness)
        return array.view(Exact)

    def tree(self, name: str, like: Any) -> Any:
        """For every floating array of a pytree new numbers of its shape; above 0 for variances."""

        def one(path: Any, leaf: Any) -> Any:
            last = getattr(path[-1], "name", "") if path else ""
            return self.array(last or name, leaf.shape, positive=last == "variance")

        return jax.tree_util.tree_map_with_path(one, like)


def plain(tree: Any) -> Any:
    """The same values, of which nothing knows the variables."""
    strip = np.frompyfunc(lambda scalar: Scalar(scalar.value), 1, 1)
    return jax.tree.map(lambda a: as_exact(strip(a)) if a.dtype == object else a, tree)


def numbers_of(spec: Any, draw: Numbers, constant: tuple[str, ...] = ()) -> Any:
    """The spec with every number exact, and over symbols a symbol; built as JAX builds it, without checks.

    constant  names of numbers that are no symbols
    """

    def one(path: Any, value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return as_exact(value)
        name = getattr(path[-1], "name", "number")
        is_symbol = isinstance(draw.ring, Symbols) and value and name not in constant
        return as_exact(draw.variable(name, exact(value)) if is_symbol else lifted(value))

    return jax.tree_util.tree_map_with_path(one, spec)


def gradient(ring: Any, total: Scalar, array: Exact) -> Exact:
    """d total / d every entry of an array of variables."""

    def one(variable: Scalar) -> Scalar:
        if isinstance(ring, Symbols):
            return Scalar(sympy.diff(total.value, variable.value))
        (i,) = variable.slope
        return Scalar(total.slope.get(i, ring.constant(Fraction(0))))

    return np.frompyfunc(one, 1, 1)(array)


def compare(ring: Any, place: str, expected: Any, found: Any) -> str:
    """How the two are shown to be equal: "exact", "simplified" or "50 digits". Raises Refuted or Unproved."""
    expected, found = as_exact(expected), as_exact(found)
    if expected.shape != found.shape:
        raise Refuted(f"{place}: expected shape {expected.shape}, got {found.shape}")
    ways = {_equal(ring, f"{place}{[*i]}", expected[i], found[i]) for i in np.ndindex(expected.shape)}
    return weakest(ways)


def weakest(ways: Any) -> str:
    """Of several ways the one that proves least."""
    return next(way for way in ("50 digits", "simplified", "exact") if way in {*ways, "exact"})


def _equal(ring: Any, place: str, expected: Scalar, found: Scalar) -> str:
    difference = (expected + -found).value
    refuted = Refuted(f"{place}: expected {expected.value}, got {found.value}")
    if isinstance(ring, Rationals):
        if difference != 0:
            raise refuted
        return "exact"
    if isinstance(ring, Intervals):
        if not difference.a <= 0 <= difference.b:
            raise refuted
        if difference.delta > LIMIT:
            raise Unproved(f"{place}: the difference is {difference}")
        return "50 digits"
    if difference == 0:
        return _kind(expected.value)
    if abs(ring.at_witness(difference)) > 1e-25:
        raise refuted
    numerator, _ = sympy.fraction(sympy.together(difference))
    if sympy.expand(numerator) != 0 and sympy.simplify(difference) != 0:
        raise Unproved(f"{place}: SymPy does not find {difference} to be 0")
    return _kind(difference)


def _kind(value: sympy.Expr) -> str:
    return "exact" if value.is_rational_function(*value.free_symbols) else "simplified"


def total_of(dy: Exact, y: Exact) -> Scalar:
    """sum dy y, the loss of which dy is the gradient by y."""
    return lifted(as_exact(dy * y).sum())


def compare_trees(ring: Any, total: Scalar, variables: Any, found: Any) -> str:
    """The gradient of `total` by every array, against what a backward gave. Running statistics have zeros."""
    ways = set()
    rows = jax.tree_util.tree_leaves_with_path(variables, is_leaf=is_statistics)
    given = jax.tree.leaves(found, is_leaf=is_statistics)
    for (path, array), gave in zip(rows, given, strict=True):
        place = jax.tree_util.keystr(path)
        if isinstance(array, Statistics):
            for a, zeros in zip(array, gave, strict=True):
                compare(ring, place, a * 0, zeros)
        else:
            ways.add(compare(ring, place, gradient(ring, total, array), gave))
    return weakest(ways)


def prove_layer(
    ring: Any,
    layer: Any,
    in_shape: Any,
    *,
    rows: int = 2,
    x_shape: Any = None,
    key: Any = None,
    tokens: int | None = None,
    values: Any = None,
) -> str:
    """backward(forward's residuals, dy) is the derivative of sum dy y by parameters and x, for any dy.

    x_shape  of a row, where it is not in_shape
    key      for forward; what it draws is fixed
    tokens   x are integers below this
    values   of module constants, for this proof
    """
    params = jax.eval_shape(lambda k: layer.init(k, in_shape)[0], jax.random.key(0))
    with computing_in(ring), standing_in({**constants(), **(values or {})}):
        draw = Numbers(ring)
        layer, params = numbers_of(layer, draw), draw.tree("p", params)
        shape = (rows, *(x_shape or in_shape))
        x = draw.array("x", shape) if tokens is None else tokens_of(draw, tokens, shape)
        y, _ = layer.forward(params, x, key=key)
        dy = plain(draw.array("d", y.shape))
        layer = plain(layer)
        _, residuals = layer.forward(plain(params), plain(x), key=key)
        dparams, dx = layer.backward(plain(params), residuals, dy)
        if jax.tree.structure(dparams) != jax.tree.structure(params):
            raise Refuted(f"gradients of another structure: {dparams}")
        total = total_of(dy, y)
        if tokens is not None:
            assert dx is None
            return compare_trees(ring, total, {"params": params}, {"params": dparams})
        return compare_trees(ring, total, {"params": params, "x": x}, {"params": dparams, "x": dx})


def tokens_of(draw: Numbers, vocabulary: int, shape: tuple[int, ...]) -> Exact:
    """Integers, some of them equal."""
    return np.array([draw.rng.randrange(vocabulary) for _ in range(int(np.prod(shape)))]).reshape(shape).view(Exact)


def prove_cell(ring: Any, cell: Any) -> str:
    """One step: backward is the derivative of sum dstate state by u, v and the state before, h through v left out."""
    width = len(cell.gates) * cell.features
    with computing_in(ring), standing_in(constants()):
        draw = Numbers(ring)
        cell, u, v = numbers_of(cell, draw), draw.array("u", (1, width)), draw.array("v", (1, width))
        state = tuple(draw.array("s", (1, cell.features)) for _ in range(cell.states))
        after, _ = cell.forward(u, v, state)
        dstate = plain(tuple(draw.array("d", each.shape) for each in after))
        _, residuals = cell.forward(plain(u), plain(v), plain(state))
        du, dv, before = cell.backward(residuals, dstate)
        total = sum(total_of(d, y) for d, y in zip(dstate, after, strict=True))
        zeros = tuple(0 * s if d is None else d for d, s in zip(before, state, strict=True))
        return compare_trees(ring, total, (u, v, state), (du, dv, zeros))


def prove_absorb(ring: Any, layer: Any) -> str:
    """The running statistics become decay r + (1 - decay) of the batch: its mean, its mean squared deviation."""
    params = jax.eval_shape(lambda k: layer.init(k, (2,))[0], jax.random.key(0))
    with computing_in(ring), standing_in(constants()):
        draw = Numbers(ring)
        layer, params, x = numbers_of(layer, draw), plain(draw.tree("p", params)), plain(draw.array("x", (3, 2)))
        batch = normalization._batch_statistics(x)
        residuals = normalization.BatchNormResiduals(None, None, batch)
        (mean, variance), old = layer.absorb(params, residuals).statistics, params.statistics
        m = (x[0] + x[1] + x[2]) / 3
        v = ((x[0] - m) ** 2 + (x[1] - m) ** 2 + (x[2] - m) ** 2) / 3
        wanted = (layer.decay * r + (1 - layer.decay) * now for r, now in zip(old, (m, v), strict=True))
        return weakest({compare(ring, "running", w, f) for w, f in zip(wanted, (mean, variance), strict=True)})


def prove_loss(ring: Any, loss: Any, shape: tuple[int, ...], targets: Callable[[Numbers], Any]) -> str:
    """backward is the derivative of sum dl l by the outputs, for any dl."""
    with computing_in(ring), standing_in(constants()):
        draw = Numbers(ring)
        loss, z, t = numbers_of(loss, draw), draw.array("z", shape), targets(draw)
        per_example, _ = loss.forward(z, t)
        dl = plain(draw.array("d", per_example.shape))
        _, residuals = plain(loss).forward(plain(z), t)
        found = plain(loss).backward(residuals, dl)
        return compare_trees(ring, total_of(dl, per_example), {"z": z}, {"z": found})


def prove_model(ring: Any, model: Any, rows: int, targets: Callable[[Numbers], Any], weights: Any = None) -> str:
    """`backprop`'s gradients are the derivatives of its value: layers, loss, weights of rows and penalty together."""
    params = jax.eval_shape(lambda k: fnnet.init(model, k), jax.random.key(0))
    with computing_in(ring), standing_in(constants()):
        draw = Numbers(ring)
        model, params, x = numbers_of(model, draw), draw.tree("p", params), draw.array("x", (rows, *model.input_shape))
        batch = fnnet.Batch(x, targets(draw), None if weights is None else as_exact(weights))
        value = fnnet.backprop(model, params, batch).value
        found = fnnet.backprop(plain(model), plain(params), batch._replace(x=plain(x)))
        return compare_trees(ring, lifted(value), {"params": params, "x": x}, {"params": found.grads, "x": found.dx})


def prove_penalty(ring: Any, penalty: Any) -> str:
    """gradient is the derivative of value by every parameter."""
    with computing_in(ring), standing_in(constants()):
        draw = Numbers(ring)
        penalty = numbers_of(penalty, draw)
        params = ({"w": draw.array("w", (2, 2)), "b": draw.array("b", (2,))}, draw.array("other", (2,)))
        value = lifted(penalty.value(params))
        return compare_trees(ring, value, params, plain(penalty).gradient(plain(params)))


def prove_optimizer(
    ring: Any,
    optimizer: Any,
    expected: Callable[..., Any],
    steps: int = 3,
    state_expected: Any = None,
    read: Callable[[Any, Any], Any] = lambda state, params: state,
    shapes: Any = (("w", (1, 2, 2)), ("b", (2,))),
) -> str:
    """`steps` updates, each with a gradient of its own, are those of a formula of all gradients so far.

    state_expected  a formula of the state, for an optimizer whose updates say too little of it
    read            what of the state that is a formula of, from the state and the parameters after the update
    """
    with computing_in(ring), standing_in(constants()):
        draw = Numbers(ring)
        spec = plain(numbers_of(optimizer, draw))
        params = plain({name: draw.array(name, shape) for name, shape in shapes})
        optimizer = fnnet.at_step(spec, as_exact(0), EXACT)
        state, before, gradients, ways = optimizer.init(params), [], [], set()
        RANDOM.noise = lambda shape: as_exact(np.arange(1, 1 + math.prod(shape)).reshape(shape))
        for step in range(steps):
            before.append(params)
            gradients.append(plain(draw.tree("g", params)))
            optimizer = fnnet.at_step(spec, as_exact(step), EXACT)
            updates, state = optimizer.update(gradients[-1], state, params, key=jax.random.key(0))
            kept = read(state, params)
            for name, update in updates.items():
                so_far = [p[name] for p in before], [g[name] for g in gradients]
                numbers = SimpleNamespace(**vars(fields_of(spec)), grads=gradients[-1])
                wanted = expected(numbers, *so_far, name)
                ways.add(compare(ring, f"step {step}, {name}", wanted, update))
                if state_expected is not None:
                    ways.add(compare(ring, "state", state_expected(numbers, *so_far, name), kept[name]))
            params = {name: p + updates[name] for name, p in params.items()}
        return weakest(ways)


def prove_average(ring: Any, spec: Any, weight: Callable[..., Any], steps: int = 3) -> str:
    """After every update, `averaged` is the weighted mean of the parameters so far.

    weight  (numbers of the average, i, t) -> the weight of theta_i after t + 1 updates
    """
    with computing_in(ring), standing_in(constants()):
        draw = Numbers(ring)
        spec, params = plain(numbers_of(spec, draw, TIMES)), plain(draw.array("w", (2,)))
        state, seen, ways = spec.init(params), [], set()
        for step in range(steps):
            average = fnnet.at_step(spec, as_exact(step), EXACT)
            updates = plain(draw.array("u", (2,)))
            passed, state = average.update(updates, state, params)
            params = params + updates
            seen.append(params)
            weights = [lifted(weight(fields_of(spec), i, step)) for i in range(step + 1)]
            mean = sum(w * p for w, p in zip(weights, seen, strict=True)) / sum(weights)
            ways |= {compare(ring, "updates", updates, passed)}
            ways |= {compare(ring, f"step {step}", mean, fnnet.averaged(state, params))}
        return weakest(ways)


def prove_schedule(ring: Any, schedule: Any, expected: Callable[[Any, int], Any], steps: int) -> str:
    """value_at is a formula, at every step of a run."""
    with computing_in(ring), standing_in(constants()):
        schedule = numbers_of(schedule, Numbers(ring), TIMES)
        found = [schedule.value_at(as_exact(step)) for step in range(steps)]
        return weakest(
            compare(ring, f"step {t}", expected(fields_of(schedule), t), value) for t, value in enumerate(found)
        )


def fields_of(spec: Any) -> SimpleNamespace:
    """The fields of a spec, its numbers as `Scalar`s."""

    def one(value: Any) -> Any:
        if isinstance(value, np.ndarray):
            return plain(value)[()] if value.ndim else Scalar(value[()].value)
        return fields_of(value) if dataclasses.is_dataclass(value) else value

    fields = {f.name: getattr(spec, f.name) for f in dataclasses.fields(spec)}
    parts = {name: tuple(map(one, v)) if isinstance(v, tuple) else one(v) for name, v in fields.items()}
    return SimpleNamespace(**parts)
