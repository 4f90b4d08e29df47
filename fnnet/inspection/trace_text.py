"""A recorded pass as text: the chain rule with the numbers of a small network, a table of a larger one.

`print(fnnet.trace(...))` shows one or the other. What a layer or a loss computes is in its own `formulas`; here they
are filled with the symbols and numbers of the pass (see `fnnet.inspection.formulas`).
"""

import inspect
import textwrap
from collections.abc import Iterator
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from fnnet.inspection.formulas import Named, added, equation, four_digits, in_symbols, names_in, number, operation, read
from fnnet.inspection.recording import LayerTrace, Recording, kind_of
from fnnet.model import mean_weights
from fnnet.protocols import Layer, Loss

WIDTH = 79
"""No line of a printed trace is longer."""

COLUMNS = ("layer", "output", "mean", "std", "|dy|", "|grad|", "idle", "update")


def is_small(t: Recording) -> bool:
    """Whether it is small enough for a person to follow every number."""
    widths = [np.size(t.batch.x[0]), *(np.size(layer.y[0]) for layer in t.layers.values())]
    parameters = sum(np.size(p) for p in jax.tree.leaves(t.result.grads))
    return max(widths) <= 4 and parameters <= 24 and len(t.layers) <= 6 and len(t.batch.x) <= 4


def table(t: Recording) -> str:
    """One line per layer: its output, how the gradients flow, which units are dead or saturated. WIDTH characters.

    output       shape of one row; mean and standard deviation of its entries, over rows of weight above 0
    |dy| |grad|  norms of the output's cotangent and of all the layer's gradients
    idle         dead units of a Relu, saturated entries of a Sigmoid, HardSigmoid, Tanh or Softmax
    update       norm of the optimizer's update of all the layer's parameters / norm of these (about 1e-3 is usual)
    """
    return "\n".join([summary(t), "", *(_columns(*cells).rstrip() for cells in (COLUMNS, *table_rows(t)))])


def summary(t: Recording) -> str:
    """The loss, the number of rows and of parameters, and the norm of the gradient, in one line."""
    grads = jax.tree.leaves(t.result.grads)
    parameters, norm = sum(map(np.size, grads)), np.sqrt(sum((np.asarray(g, np.float64) ** 2).sum() for g in grads))
    rows = int(_counts(t).sum())
    over = f"{rows} row{'' if rows == 1 else 's'}"
    return f"loss {float(t.result.value):.4g} over {over}; {parameters:,} parameters, gradient norm {norm:.4g}"


def table_rows(t: Recording) -> list[tuple[str, ...]]:
    """The cells of COLUMNS for every layer."""
    return [_cells(name, layer, _counts(t)) for name, layer in t.layers.items()]


def _counts(t: Recording) -> np.ndarray:
    """(B,) bool: rows of weight above 0."""
    return np.ones(len(t.batch.x), bool) if t.batch.weights is None else np.asarray(t.batch.weights) != 0


def _columns(name: str, shape: str, *cells: str) -> str:
    """18 + 9 + 8 + 8 + 9 + 9 + 10 + 8 = 79 characters."""
    widths = (8, 8, 9, 9, 10, 8)
    return f"{name[:18]:<18}{shape[:9]:<9}" + "".join(f"{c:>{w}}" for c, w in zip(cells, widths, strict=True))


def _cells(name: str, layer: LayerTrace, counts: np.ndarray) -> tuple[str, ...]:
    *parents, own = name.split(" / ")
    y, shape = np.asarray(layer.y, np.float64)[counts], "x".join(map(str, layer.y.shape[1:]))
    dy = "" if layer.dy is None else f"{np.linalg.norm(np.asarray(layer.dy, np.float64)):.2e}"
    norms = [float(n) for n in jax.tree.leaves(layer.grad_norms)]
    grad = f"{np.linalg.norm(norms):.2e}" if norms else ""
    idle = "" if layer.dead is None else f"{100 * float(layer.dead):.0f}% dead"
    idle = idle if layer.saturated is None else f"{100 * float(layer.saturated):.0f}% sat."
    update = "" if layer.update_ratio is None else f"{float(layer.update_ratio):.1e}"
    mean, std = (_brief(f"{y.mean():.2g}"), _brief(f"{y.std():.3g}")) if y.size else ("", "")
    return "  " * len(parents) + own, shape, mean, std, dy, grad, idle, update


def _brief(text: str) -> str:
    """A number in at most 7 characters, so that columns stay apart: "-0.00055" becomes "-6e-04"."""
    value = float(text)
    return next(t for t in (text, f"{value:.1e}", f"{value:.0e}", "") if len(t) <= 7)


def explain(t: Recording, row: int = 0) -> str:
    """The chain rule with the numbers: one row of the batch, and the gradients that all rows add up to.

    Every line is `symbol = symbols = numbers = result`, broken where it would be longer than WIDTH. Symbols
    carry their layer's number: w0, b0 and a0 belong to layer 0. For networks of a few neurons; others get long.

    Raises IndexError for a row that the batch does not have.
    """
    rows = len(t.batch.x)
    if not 0 <= row < rows:
        raise IndexError(f"explain: expected a row from 0 to {rows - 1}, got {row}")
    steps = _steps(t)
    end = _ending(t, steps[-1].y if steps else _named("x", t.batch.x))
    shown = "" if rows == 1 else f", row {row} of {rows}"
    lines = [f"FORWARD{shown}, loss {kind_of(t.model.loss)}", *_given(t, end, row)]
    for step in steps:
        lines += _forward(step, row)
    lines += [*_loss_forward(t, end, row), "", "BACKWARD: dh stands for dL/dh", *_loss_backward(t, end, row)]
    for step in steps[::-1]:
        lines += _backward(step, row)
    return "\n".join(part for line in lines for part in _folded(line))


class Rules(NamedTuple):
    """What `explain` says that a layer or a loss computes, in symbols, without the numbers.

    number             the layer's place, which stands behind the names of its arrays; "" for a loss
    x, y               what its input and its output are called; the gradients have a d in front
    forward, backward  its two formulas, a rule for each equation; none where a layer has no formulas
    """

    number: str
    x: str
    y: str
    forward: list[str]
    backward: list[str]


def rules(t: Recording) -> tuple[dict[str, Rules], Rules]:
    """(Rules of every layer by its name, those of the loss). Of one row, the trace may be of any size."""
    steps = _steps(t)
    end = _ending(t, steps[-1].y if steps else _named("x", t.batch.x))
    by_name = {
        s.name: Rules(s.number, s.x.symbol, s.y.symbol, *_rules(s.layer.layer, s.known, s.number)) for s in steps
    }
    return by_name, Rules("", end.z.symbol, end.l.symbol, *_rules(t.model.loss, end.known, one_row=_is_one_row(end)))


def _rules(
    spec: Layer | Loss, known: dict[str, Named | None], number: str = "", *, one_row: bool = False
) -> tuple[list[str], list[str]]:
    forward, backward = _formulas(spec) or ("", "")
    backward = _without_m(backward) if one_row else backward
    return in_symbols(forward, known, number), in_symbols(backward, known, number)


def _folded(line: str) -> list[str]:
    """The line, or where it is too long its numbers on a line of their own; products stay in one piece."""
    if len(line) <= WIDTH:
        return [line]
    head, *sides = line.rsplit(" = ", 2) if line.startswith(" ") else [line]
    tail = [f"      = {' = '.join(sides)}"] if sides else []
    return [part for each in (head, *tail) for part in _wrapped(each)]


def _wrapped(line: str) -> list[str]:
    glued = line.replace(" * ", "~*~").replace(" = ", "~=~")
    if max(map(len, glued.split())) > WIDTH - 8:
        glued = line
    parts = textwrap.wrap(glued, WIDTH, subsequent_indent=" " * 8, break_on_hyphens=False)
    return [part.replace("~", " ") for part in parts]


def _named(symbol: str, value: Any, *, rows: bool = True) -> Named:
    return Named(symbol, np.asarray(value, np.float64), rows)


class _Step(NamedTuple):
    """A layer of the trace with its arrays named.

    number   its place: "2", or "3.0" inside of layer 3
    known    what the names of its formulas stand for; of a layer that was opened (Residual) also f, the output of what
             is inside, df, its gradient, and dx_f, the part of dx that comes back through it
    """

    name: str
    number: str
    layer: LayerTrace
    x: Named
    y: Named
    dx: Named | None
    dy: Named | None
    known: dict[str, Named | None]


def _steps(t: Recording) -> list[_Step]:
    """Every layer with its symbols. What goes in is called what came out before, d in front of it its gradient.

    x of a Residual is used twice, so its gradient dx is a sum; the part that comes back through f is dx'.
    """
    steps, entered, current = [], {}, _named("x", t.batch.x)
    for name, layer in t.layers.items():
        *parents, _ = _places(name)
        ways = 0
        for parent in parents:
            if parent not in entered:
                entered[parent] = (current, len(steps), ways)
                ways += parent in t.layers
        x, first, ways = entered.get(name, (current, len(steps), ways))
        number = ".".join(part.split()[0] if part[0].isdigit() else "r" for part in name.split(" / "))
        y = _named(f"{_output(layer.layer)}{number}", layer.y)
        dx = None if layer.dx is None else _named(f"d{x.symbol}" + "'" * ways, layer.dx)
        dy = None if layer.dy is None else _named(f"d{y.symbol}", layer.dy)
        back = next((s.dx for s in steps[first:] if s.dx and s.dx.symbol == f"d{x.symbol}'" + "'" * ways), dy)
        df = None if layer.dy is None else _named(f"d{current.symbol}", layer.dy)
        known = _known(layer, number) | {"f": current, "df": df, "dx_f": back}
        known |= {"x": x, "dx": dx, _output(layer.layer): y, f"d{_output(layer.layer)}": dy}
        steps.append(_Step(name, number, layer, x, y, dx, dy, known))
        current = y
    return steps


def _places(name: str) -> list[str]:
    """["3 Residual", "3 Residual / 0 Dense"] for "3 Residual / 0 Dense": the layers that contain it, then itself."""
    parts = name.split(" / ")
    return [" / ".join(parts[:n]) for n in range(1, len(parts) + 1)]


def _formulas(spec: Layer | Loss) -> tuple[str, str] | None:
    formulas = getattr(spec, "formulas", None)
    if formulas is None or (isinstance(formulas, tuple) and [type(f) for f in formulas] == [str, str]):
        return formulas
    raise TypeError(f"{kind_of(spec)}.formulas: expected two strings, (forward, backward), got {formulas!r:.100}")


def _output(layer: Layer) -> str:
    """What the layer's own formula calls its output: a before an activation, h after it, y where nothing is said."""
    formulas = _formulas(layer)
    return "y" if formulas is None else formulas[0].split(";")[-1].partition("=")[0].strip()


def _known(layer: LayerTrace, number: str) -> dict[str, Named | None]:
    """Numbers of the spec, parameters with their gradients, and arrays as `backward` names its arguments."""
    params_name, residuals_name, *_ = inspect.signature(layer.layer.backward).parameters
    known: dict[str, Named | None] = dict(_attributes(layer.layer))
    if hasattr(layer.residuals, "dtype"):
        known[residuals_name] = _named(f"{residuals_name}{number}", layer.residuals)
    grads = jax.tree.leaves(layer.grads)
    for (path, value), grad in zip(jax.tree_util.tree_leaves_with_path(layer.params), grads, strict=True):
        name = jax.tree_util.keystr(path, simple=True, separator=".") or params_name
        known[name] = _named(f"{name}{number}", value, rows=False)
        known[f"d{name}"] = _named(f"d{name}{number}", grad, rows=False)
    return known


def _attributes(spec: Layer | Loss) -> Iterator[tuple[str, Named]]:
    """Numbers and arrays in the formulas of a spec that are attributes of it or of its class."""
    for name in names_in(";".join(_formulas(spec) or ())):
        value = getattr(spec, name, None)
        if isinstance(value, float | int | np.ndarray | jax.Array):
            yield name, _named(name, value, rows=False)


def _forward(s: _Step, row: int) -> list[str]:
    formulas = _formulas(s.layer.layer)
    if formulas is None:
        return [f"{s.name}: {s.y.symbol} from {s.x.symbol}", *_results(s.y, row)]
    equations = [each for _, each in read(formulas[0], s.known, s.number)]
    rule = "; ".join(each.rule for each in equations)
    return [f"{s.name}: {rule}", *(line for each in equations for line in each.lines(row))]


def _backward(s: _Step, row: int) -> list[str]:
    formulas = _formulas(s.layer.layer)
    if s.dy is None:
        return [f"{s.name}: no gradient arrives: the input of the layer after it is integer"]
    if formulas is None:
        return [f"{s.name}: {_box_rule(s)}", *_gradient_norms(s), *([] if s.dx is None else _results(s.dx, row))]
    equations = list(read(formulas[1], s.known, s.number))
    rule = "; ".join(each.rule for _, each in equations)
    lines = [f"{s.name}: {rule or _box_rule(s)}"]
    for left, each in equations:
        penalty = _penalty(s, left)
        lines += each.lines(row) if penalty is None else each.lines(row, penalty)
    return lines


def _penalty(s: _Step, left: str) -> Any:
    """What the penalty P adds to an entry of a parameter's gradient, as a term; None for anything else."""
    paths = [path for path, _ in jax.tree_util.tree_leaves_with_path(s.layer.params)]
    names = [f"d{jax.tree_util.keystr(path, simple=True, separator='.')}" for path in paths]
    if left not in names:
        return None
    total, part = (jax.tree.leaves(tree)[names.index(left)] for tree in (s.layer.grads, s.layer.loss_grads))
    added_by_it = np.asarray(total, np.float64) - np.asarray(part, np.float64)
    penalty = Named(f"dP/{left}{s.number}", added_by_it, rows=False)
    return lambda *index: [penalty.at(*index)] if added_by_it[index] else []


def _box_rule(s: _Step) -> str:
    if s.dx is None:
        return f"{s.x.symbol} is integer, so there is no d{s.x.symbol}"
    return f"{s.dx.symbol} from {'' if s.dy is None else s.dy.symbol}"


def _gradient_norms(s: _Step) -> list[str]:
    norms = jax.tree_util.tree_leaves_with_path(s.layer.grad_norms)
    return [f"  gradient of {jax.tree_util.keystr(path)} has norm {four_digits(norm)}" for path, norm in norms]


def _results(array: Named, row: int) -> Iterator[str]:
    return (equation(array.at(row, *index), None) for index in np.ndindex(array.value.shape[1:]))


class _Ending(NamedTuple):
    """The loss of a trace with its arrays named.

    z, t     outputs and targets
    m, l     weights of the rows, which sum to 1, and their losses
    known    what the names of the loss's formulas stand for
    """

    z: Named
    t: Named
    m: Named
    l: Named  # noqa: E741  the formulas' own letter
    known: dict[str, Named | None]


def _ending(t: Recording, z: Named) -> _Ending:
    outputs, targets = t.result.outputs, jnp.asarray(t.batch.y)
    if jnp.issubdtype(targets.dtype, jnp.integer) and targets.ndim == outputs.ndim - 1:
        targets = jax.nn.one_hot(targets, outputs.shape[-1])
    m = Named("m", np.asarray(mean_weights(t.model, t.batch, t.result.per_example.dtype), np.float64), spread=True)
    is_value = m.value.tolist() == [1.0] and t.model.penalty is None
    losses = _named("L" if is_value else "l", t.result.per_example)
    known: dict[str, Named | None] = dict(_attributes(t.model.loss))
    known |= {"z": z, "dz": _named(f"d{z.symbol}", t.doutputs), "t": _named("t", targets), "l": losses, "dl": m}
    known["C"] = _named("C", outputs.shape[-1], rows=False)
    return _Ending(z, _named("t", targets), m, losses, known)


def _given(t: Recording, end: _Ending, row: int) -> Iterator[str]:
    for name, array in (("input  x", t.batch.x), ("target t", end.t.value)):
        yield f"  {name} = ({', '.join(map(four_digits, np.asarray(array, np.float64)[row].ravel()))})"


def _loss_forward(t: Recording, end: _Ending, row: int) -> list[str]:
    """The loss of the row, and the value of the batch."""
    formulas = _formulas(t.model.loss)
    if formulas is None:
        lines = [f"Loss: {end.l.symbol} of {end.z.symbol} and t", *_results(end.l, row)]
    else:
        equations = [each for _, each in read(formulas[0], end.known)]
        rule = "; ".join(each.rule for each in equations)
        lines = [f"Loss: {rule}", *(line for each in equations for line in each.lines(row))]
    return lines if end.l.symbol == "L" else [*lines, _batch_value(t, end)]


def _batch_value(t: Recording, end: _Ending) -> str:
    m, losses, total = end.m.value, end.l.value, float(t.result.value)
    counts = np.flatnonzero(m).tolist()
    terms = [end.l.at(b) if m.tolist() == [1.0] else operation("*")(end.l.at(b), end.m.at(b)) for b in counts]
    if t.model.penalty is not None:
        terms.append(number(total - m[counts] @ losses[counts], "P"))
    return equation(number(total, "L"), added(terms))


def _loss_backward(t: Recording, end: _Ending, row: int) -> list[str]:
    """The gradient of the outputs; m is 1, and left out, where there is one row."""
    formulas, dz = _formulas(t.model.loss), end.known["dz"]
    if formulas is None and dz is not None:
        return [f"Loss: {dz.symbol}, by the loss's own backward", *_results(dz, row)]
    backward = "" if formulas is None else formulas[1]
    backward = _without_m(backward) if _is_one_row(end) else backward
    equations = [each for _, each in read(backward, end.known)]
    rule = "; ".join(each.rule for each in equations)
    return [f"Loss: {rule}", *(line for each in equations for line in each.lines(row))]


def _is_one_row(end: _Ending) -> bool:
    return end.m.value.tolist() == [1.0]


def _without_m(backward: str) -> str:
    """A loss's formula where the weight of the row is 1."""
    return backward.replace(" * dl", "")
