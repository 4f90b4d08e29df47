"""A trace as text: the chain rule with the numbers of a small network, a table of a larger one.

`print(fnnet.trace(...))` shows one or the other. Numbers have four digits, so that pencil and paper keep up.
"""

import re
import textwrap
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, NamedTuple, TypeAlias

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array

from fnnet.layers import (
    Dense,
    Dropout,
    Elu,
    Exp,
    Flatten,
    Gelu,
    HardSigmoid,
    Identity,
    LeakyRelu,
    Relu,
    Rescale,
    Residual,
    Selu,
    Sigmoid,
    Silu,
    Softmax,
    Softplus,
    Tanh,
)  # fmt: skip
from fnnet.losses import SigmoidBinaryCrossEntropy, SoftmaxCrossEntropy, SquaredError
from fnnet.model import mean_weights

Trace: TypeAlias = Any
LayerTrace: TypeAlias = Any  # both of fnnet.tracing, which imports this file

WIDTH = 79
"""No line of a printed trace is longer."""


def is_small(t: Trace) -> bool:
    """Whether a person would follow every number of it."""
    widths = [np.size(t.batch.x[0]), *(np.size(layer.y[0]) for layer in t.layers.values())]
    parameters = sum(np.size(p) for p in jax.tree.leaves(t.result.grads))
    return max(widths) <= 4 and parameters <= 24 and len(t.layers) <= 6 and len(t.batch.x) <= 4


def table(t: Trace) -> str:
    """A line a layer: what it puts out, how the gradients flow, who is dead or saturated. WIDTH characters.

    output       shape of one row; mean and standard deviation of its entries, over rows of weight above 0
    |dy| |grad|  norms of the output's cotangent and of all the layer's gradients
    idle         dead units of a Relu, saturated entries of a Sigmoid, HardSigmoid, Tanh or Softmax
    update       norm of the weights' update / norm of the weights
    """
    result = t.result
    counts = np.ones(len(t.batch.x), bool) if t.batch.weights is None else np.asarray(t.batch.weights) != 0
    parameters = sum(np.size(p) for p in jax.tree.leaves(result.grads))
    norm = np.sqrt(sum((np.asarray(g, np.float64) ** 2).sum() for g in jax.tree.leaves(result.grads)))
    over = f"{counts.sum()} row{'' if counts.sum() == 1 else 's'}"
    lines = [
        f"loss {float(result.value):.4g} over {over}; {parameters:,} parameters, gradient norm {norm:.4g}",
        "",
        _columns("layer", "output", "mean", "std", "|dy|", "|grad|", "idle", "update"),
        *(_table_line(name, layer, counts) for name, layer in t.layers.items()),
    ]
    return "\n".join(line.rstrip() for line in lines)


def _columns(name: str, shape: str, *cells: str) -> str:
    """18 + 9 + 8 + 8 + 9 + 9 + 10 + 8 = 79 characters."""
    widths = (8, 8, 9, 9, 10, 8)
    return f"{name[:18]:<18}{shape[:9]:<9}" + "".join(f"{c:>{w}}" for c, w in zip(cells, widths, strict=True))


def _table_line(name: str, layer: LayerTrace, counts: np.ndarray) -> str:
    *parents, own = name.split(" / ")
    y, shape = np.asarray(layer.y, np.float64)[counts], "x".join(map(str, layer.y.shape[1:]))
    dy = "" if layer.dy is None else f"{np.linalg.norm(np.asarray(layer.dy, np.float64)):.2e}"
    norms = [float(n) for n in jax.tree.leaves(layer.grad_norms)]
    grad = f"{np.linalg.norm(norms):.2e}" if norms else ""
    idle = "" if layer.dead is None else f"{100 * float(layer.dead):.0f}% dead"
    idle = idle if layer.saturated is None else f"{100 * float(layer.saturated):.0f}% sat."
    ratio = getattr(layer.update_ratios, "w", None)
    update = "" if ratio is None else f"{float(ratio):.1e}"
    mean, std = (f"{y.mean():.2g}", f"{y.std():.3g}") if y.size else ("", "")
    return _columns("  " * len(parents) + own, shape, mean, std, dy, grad, idle, update)


def explain(t: Trace, row: int = 0) -> str:
    """The chain rule with the numbers: one row of the batch, and the gradients that all rows add up to.

    Every line is `symbol = symbols = numbers = result`, broken where it would be longer than WIDTH. Symbols
    carry their layer's number: w0, b0 and a0 belong to layer 0. For networks of a few neurons; others get long.

    Raises IndexError for a row that the batch does not have.
    """
    rows = len(t.batch.x)
    if not 0 <= row < rows:
        raise IndexError(f"explain: expected a row from 0 to {rows - 1}, got {row}")
    steps = _steps(t, row)
    end = _ending(t, row, steps[-1].y if steps else _named("x", t.batch.x))
    shown = "" if rows == 1 else f", row {row} of {rows}"
    lines = [f"FORWARD{shown}, loss {kind_of(t.model.loss)}", *_given(end)]
    for step in steps:
        rule, *numbers = _text(step).forward(step)
        lines += [f"{step.name}: {rule}", *numbers]
    lines += [*_loss_forward(end), "", "BACKWARD: dh stands for dL/dh", *_loss_backward(end)]
    for step in steps[::-1]:
        rule, *numbers = _text(step).backward(step) if step.dy else ["no gradient arrives: what follows is integer"]
        lines += [f"{step.name}: {rule}", *numbers]
    return "\n".join(part for line in lines for part in _folded(line))


class _Term(NamedTuple):
    """One expression, read twice: in symbols and in numbers."""

    symbols: str
    numbers: str


class _Named(NamedTuple):
    """An array and what it is called; with `rows`, its first axis is the batch, left out where B = 1."""

    symbol: str
    value: np.ndarray
    rows: bool = True

    def at(self, *index: int) -> _Term:
        shown = index[1:] if self.rows and len(self.value) == 1 else index
        where = f"[{','.join(map(str, shown))}]" if shown else ""
        return _Term(f"{self.symbol}{where}", _number(self.value[index]))

    def equations(self, row: int, right: Callable[..., _Term]) -> Iterator[str]:
        """`h[0] = ... = ... = 0.5` for every entry of a row; right(*index) is the other side."""
        for index in np.ndindex(self.value.shape[1:]):
            yield _equation(self.at(row, *index), right(row, *index))


def _named(symbol: str, value: Any) -> _Named:
    return _Named(symbol, np.asarray(value, np.float64))


def _number(value: Any) -> str:
    return f"{float(value) + 0.0:.4g}"  # + 0.0 takes the sign off a zero


def _factor(numbers: str) -> str:
    return f"({numbers})" if numbers.startswith("-") and " " not in numbers else numbers


def _fill(template: str, **terms: _Term) -> _Term:
    """The template with its terms put in, in both readings; negative numbers get parentheses."""
    numbers = template.format(**{name: _factor(term.numbers) for name, term in terms.items()})
    symbols = template.format(**{name: term.symbols for name, term in terms.items()})
    return _Term(symbols, re.sub(r"\(\((-[^() ]+)\)\)", r"(\1)", numbers))


def _product(a: _Term, b: _Term) -> _Term:
    return _fill("{a} * {b}", a=a, b=b)


def _sum(terms: list[_Term]) -> _Term:
    if len(terms) > 8:
        return _Term(f"{terms[0].symbols} + ... ({len(terms)} terms)", f"{terms[0].numbers} + ...")
    first, *rest = (term.numbers for term in terms)
    return _Term(" + ".join(term.symbols for term in terms), " + ".join([first, *map(_factor, rest)]))


def _equation(left: _Term, right: _Term) -> str:
    """`  a = b * c = 2 * 3 = 6`; a number that would stand there twice stands once."""
    same = _factor(left.numbers) == _factor(right.numbers)
    return "  " + " = ".join([left.symbols, right.symbols, *([] if same else [right.numbers]), left.numbers])


def _folded(line: str) -> list[str]:
    """The line, or where it is too long its numbers on a line of their own; products stay in one piece."""
    if len(line) <= WIDTH:
        return [line]
    head, *sides = line.rsplit(" = ", 2) if line.startswith(" ") else [line]
    tail = [f"      = {' = '.join(sides)}"] if sides else []
    glued = [each.replace(" * ", "~*~").replace(" = ", "~=~") for each in (head, *tail)]
    wrapped = [
        part for each in glued for part in textwrap.wrap(each, WIDTH, subsequent_indent=" " * 8, break_on_hyphens=False)
    ]
    return [part.replace("~", " ") for part in wrapped]


class _Step(NamedTuple):
    """A layer of the trace with its arrays named.

    number   its place: "2", or "3.0" inside of layer 3
    inner    of a Residual, f(x) and the gradient that came back through f
    """

    name: str
    number: str
    layer: LayerTrace
    row: int
    x: _Named
    y: _Named
    dx: Any
    dy: Any
    inner: tuple[_Named, Any]

    def parameter(self, name: str) -> Any:
        return self._of(self.layer.params, name, name)

    def gradient(self, name: str) -> Any:
        return self._of(self.layer.grads, name, f"d{name}")

    def gradient_equations(self, name: str, right: Callable[..., _Term]) -> Iterator[str]:
        """A line for every entry of a parameter's gradient, with what the penalty P adds to it."""
        total, part = self.gradient(name), self._of(self.layer.loss_grads, name, "")
        if total is None or part is None:
            return
        penalty = _Named(f"dP/d{name}{self.number}", total.value - part.value, rows=False)
        for index in np.ndindex(total.value.shape):
            more = [penalty.at(*index)] if penalty.value[index] else []
            yield _equation(total.at(*index), _sum([right(*index), *more]))

    def _of(self, tree: Any, name: str, symbol: str) -> Any:
        value = getattr(tree, name, None)
        return None if value is None else _Named(f"{symbol}{self.number}", np.asarray(value, np.float64), rows=False)


def _steps(t: Trace, row: int) -> list[_Step]:
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
        y = _named(f"{_letter(layer.layer)}{number}", layer.y)
        dx = None if layer.dx is None else _named(f"d{x.symbol}" + "'" * ways, layer.dx)
        dy = None if layer.dy is None else _named(f"d{y.symbol}", layer.dy)
        back = next((s.dx for s in steps[first:] if s.dx and s.dx.symbol == f"d{x.symbol}'" + "'" * ways), dy)
        steps.append(_Step(name, number, layer, row, x, y, dx, dy, (current, back)))
        current = y
    return steps


def _places(name: str) -> list[str]:
    """["3 Residual", "3 Residual / 0 Dense"] for "3 Residual / 0 Dense": the layer with all it stands in."""
    parts = name.split(" / ")
    return [" / ".join(parts[:n]) for n in range(1, len(parts) + 1)]


def _letter(layer: Any) -> str:
    """Pre-activations are a, activations h, as in most textbooks; everything else is y."""
    return "a" if isinstance(layer, Dense) else "h" if isinstance(layer, (*_ACTIVATIONS, Softmax)) else "y"


class _Text(NamedTuple):
    """How a kind of layer is written down: functions of a step, the rule in symbols first, then the numbers."""

    forward: Callable[[_Step], list[str]]
    backward: Callable[[_Step], list[str]]


def _text(step: _Step) -> _Text:
    """The text of the layer's kind; of an unknown one, what goes in and what comes out."""
    return _TEXTS.get(type(step.layer.layer), _Text(_box_forward, _box_backward))


def _dense_forward(s: _Step) -> list[str]:
    w, b = s.parameter("w"), s.parameter("b")

    def right(*index: int) -> _Term:
        *place, o = index
        terms = [_product(s.x.at(*place, i), w.at(i, o)) for i in range(len(w.value))]
        return _sum(terms if b is None else [*terms, b.at(o)])

    bias = "" if b is None else f" + {b.symbol}"
    return [f"{s.y.symbol} = {s.x.symbol} {w.symbol}{bias}", *s.y.equations(s.row, right)]


def _dense_backward(s: _Step) -> list[str]:
    w, x, dy, n = s.parameter("w"), s.x, s.dy, s.number
    places = list(np.ndindex(dy.value.shape[:-1]))
    rule = f"dw{n} = {x.symbol}^T {dy.symbol}"
    rule += "" if s.parameter("b") is None else f", db{n} = {'sum of ' * (len(places) > 1)}{dy.symbol}"
    lines = [rule if s.dx is None else f"{rule}, {s.dx.symbol} = {dy.symbol} w{n}^T"]
    lines += s.gradient_equations("w", lambda i, o: _sum([_product(x.at(*p, i), dy.at(*p, o)) for p in places]))
    lines += s.gradient_equations("b", lambda o: _sum([dy.at(*p, o) for p in places]))
    outputs = range(w.value.shape[1])
    return lines + _dx_equations(s, lambda *p: _sum([_product(dy.at(*p[:-1], o), w.at(p[-1], o)) for o in outputs]))


def _dx_equations(s: _Step, right: Callable[..., _Term]) -> list[str]:
    return [] if s.dx is None else [*s.dx.equations(s.row, right)]


_FORMULAS = {  # f(x), and f' from x and y = f(x), as a person writes them down
    Identity: ("{x}", "1"),
    Sigmoid: ("1 / (1 + exp(-{x}))", "{y} * (1 - {y})"),
    Tanh: ("tanh({x})", "(1 - {y}^2)"),
    Relu: ("max({x}, 0)", "({x} > 0)"),
    Softplus: ("log(1 + exp({x}))", "1 / (1 + exp(-{x}))"),
    Exp: ("exp({x})", "{y}"),
}
_ACTIVATIONS = (*_FORMULAS, HardSigmoid, LeakyRelu, Elu, Selu, Gelu, Silu)


def _activation_forward(s: _Step) -> list[str]:
    formula = _FORMULAS.get(type(s.layer.layer), ("f({x})",))[0]
    rule = f"{s.y.symbol} = {formula.format(x=s.x.symbol)}"
    if type(s.layer.layer) in _FORMULAS:
        return [rule, *s.y.equations(s.row, lambda *p: _fill(formula, x=s.x.at(*p)))]
    return [rule, *s.y.equations(s.row, lambda *p: _Term(f"f({s.x.at(*p).symbols})", s.y.at(*p).numbers))]


def _activation_backward(s: _Step) -> list[str]:
    layer = s.layer
    known, rule = type(layer.layer) in _FORMULAS, f"{s.dx.symbol} = {s.dy.symbol} * f'({s.x.symbol})"
    slopes = _named("", slope(layer.layer, layer.residuals, layer.y))
    if not known:
        return [
            rule,
            *_dx_equations(
                s, lambda *p: _product(s.dy.at(*p), _Term(f"f'({s.x.at(*p).symbols})", slopes.at(*p).numbers))
            ),
        ]
    formula = _FORMULAS[type(layer.layer)][1]
    rule += f", f' = {formula.format(x=s.x.symbol, y=s.y.symbol)}"
    return [rule, *_dx_equations(s, lambda *p: _fill("{d} * " + formula, d=s.dy.at(*p), x=s.x.at(*p), y=s.y.at(*p)))]


def _softmax_forward(s: _Step) -> list[str]:
    rule = f"{s.y.symbol} = exp({s.x.symbol}) / (sum of exp({s.x.symbol}))"
    return [rule, *s.y.equations(s.row, _softmax_of(s.x))]


def _softmax_of(x: _Named) -> Callable[..., _Term]:
    def right(*index: int) -> _Term:
        exps = [_fill("exp({x})", x=x.at(*index[:-1], c)) for c in range(x.value.shape[-1])]
        return _fill("{e} / ({total})", e=exps[index[-1]], total=_sum(exps))

    return right


def _softmax_backward(s: _Step) -> list[str]:
    dy, y, total = s.dy, s.y, f"s{s.number}"
    sums, classes = _named(total, (dy.value * y.value).sum(-1, keepdims=True)), range(y.value.shape[-1])
    rule = f"{s.dx.symbol} = {y.symbol} * ({dy.symbol} - {total}), {total} = sum of {dy.symbol} * {y.symbol}"
    mixed = sums.equations(s.row, lambda *p: _sum([_product(dy.at(*p[:-1], c), y.at(*p[:-1], c)) for c in classes]))
    each = _dx_equations(s, lambda *p: _fill("{y} * ({d} - {s})", y=y.at(*p), d=dy.at(*p), s=sums.at(*p[:-1], 0)))
    return [rule, *mixed, *each]


def _flatten_forward(s: _Step) -> list[str]:
    rest = s.x.value.shape[1:]
    lines = s.y.equations(s.row, lambda row, i: s.x.at(row, *map(int, np.unravel_index(i, rest))))
    return [f"{s.y.symbol} = {s.x.symbol} in one line", *lines]


def _flatten_backward(s: _Step) -> list[str]:
    rest = s.x.value.shape[1:]
    lines = _dx_equations(s, lambda row, *p: s.dy.at(row, int(np.ravel_multi_index(p, rest))))
    return [f"{s.dx.symbol} = {s.dy.symbol} in the shape of {s.x.symbol}", *lines]


def _multiplier(s: _Step) -> Any:
    """m of a layer y = m x: the scale, or the mask of a Dropout while training."""
    layer, shape = s.layer.layer, s.x.value.shape
    m = layer.scale if isinstance(layer, Rescale) else s.layer.residuals
    return None if m is None else _Named(f"m{s.number}", np.broadcast_to(np.asarray(m, np.float64), shape))


def _multiplied_forward(s: _Step) -> list[str]:
    m = _multiplier(s)
    if m is None:
        return [f"{s.y.symbol} = {s.x.symbol}, no key, no noise", *s.y.equations(s.row, s.x.at)]
    lines = s.y.equations(s.row, lambda *p: _product(m.at(*p), s.x.at(*p)))
    return [f"{s.y.symbol} = {m.symbol} * {s.x.symbol}", *lines]


def _multiplied_backward(s: _Step) -> list[str]:
    m = _multiplier(s)
    if s.dx is None:
        return [f"{s.x.symbol} is integer, so there is no d{s.x.symbol}"]
    if m is None:
        return [f"{s.dx.symbol} = {s.dy.symbol}", *_dx_equations(s, s.dy.at)]
    lines = _dx_equations(s, lambda *p: _product(m.at(*p), s.dy.at(*p)))
    return [f"{s.dx.symbol} = {m.symbol} * {s.dy.symbol}", *lines]


def _residual_forward(s: _Step) -> list[str]:
    f = s.inner[0]
    return [f"{s.y.symbol} = {s.x.symbol} + {f.symbol}", *s.y.equations(s.row, lambda *p: _sum([s.x.at(*p), f.at(*p)]))]


def _residual_backward(s: _Step) -> list[str]:
    back = s.inner[1]
    rule = (
        f"d{s.inner[0].symbol} = {s.dy.symbol}, {s.dx.symbol} = {s.dy.symbol} + {back.symbol}, which comes back below"
    )
    return [rule, *_dx_equations(s, lambda *p: _sum([s.dy.at(*p), back.at(*p)]))]


def _box_forward(s: _Step) -> list[str]:
    return [f"{s.y.symbol} from {s.x.symbol}", *s.y.equations(s.row, s.y.at)]


def _box_backward(s: _Step) -> list[str]:
    norms = jax.tree_util.tree_leaves_with_path(s.layer.grad_norms)
    lines = [f"  gradient of {jax.tree_util.keystr(path)} has norm {_number(norm)}" for path, norm in norms]
    if s.dx is None:
        return [f"no gradient goes on to {s.x.symbol}", *lines]
    return [f"{s.dx.symbol} from {s.dy.symbol}", *lines, *_dx_equations(s, s.dx.at)]


_TEXTS = {
    **dict.fromkeys(_ACTIVATIONS, _Text(_activation_forward, _activation_backward)),
    **dict.fromkeys((Rescale, Dropout), _Text(_multiplied_forward, _multiplied_backward)),
    Dense: _Text(_dense_forward, _dense_backward),
    Softmax: _Text(_softmax_forward, _softmax_backward),
    Flatten: _Text(_flatten_forward, _flatten_backward),
    Residual: _Text(_residual_forward, _residual_backward),
}


class _Ending(NamedTuple):
    """The loss of a trace with its arrays named: outputs z, predictions p, targets t, shares m and losses l."""

    trace: Trace
    row: int
    z: _Named
    p: _Named
    t: _Named
    m: _Named
    losses: _Named

    def shared(self, term: _Term, row: int) -> _Term:
        """The term times the row's share of the batch, which is 1 where there is no other row."""
        return term if len(self.m.value) == 1 else _product(term, self.m.at(row))


def _ending(t: Trace, row: int, z: _Named) -> _Ending:
    outputs, targets = t.result.outputs, jnp.asarray(t.batch.y)
    if isinstance(t.model.loss, SoftmaxCrossEntropy):
        targets = t.model.loss.forward(outputs, targets)[1][1]  # classes as probabilities, smoothed
    m = _named("m", mean_weights(t.batch, t.result.per_example.dtype))
    letter = "L" if len(t.batch.x) == 1 and t.model.penalty is None else "l"
    p, losses = _named("p", t.model.loss.predict(outputs)), _named(letter, t.result.per_example)
    return _Ending(t, row, z, p, _named("t", targets), m, losses)


def _given(e: _Ending) -> Iterator[str]:
    for name, array in (("input  x", e.trace.batch.x), ("target t", e.t.value)):
        yield f"  {name} = ({', '.join(map(_number, np.asarray(array, np.float64)[e.row].ravel()))})"


def _loss_forward(e: _Ending) -> list[str]:
    """p where the loss has a link, the loss of the row, and the value of the batch."""
    link, rule, value, _ = _loss_text(e)
    lines = [f"Loss: {rule.format(z=e.z.symbol, l=e.losses.symbol)}"]
    lines += [] if link is None else e.p.equations(e.row, link(e.z))
    lines += [_equation(e.losses.at(e.row), value(e, e.row))]
    return lines if e.losses.symbol == "L" else [*lines, _batch_value(e)]


def _batch_value(e: _Ending) -> str:
    m, losses, total = e.m.value, e.losses.value, float(e.trace.result.value)
    counts = np.flatnonzero(m).tolist()
    terms = [e.shared(e.losses.at(b), b) for b in counts]
    if e.trace.model.penalty is not None:
        terms.append(_Term("P", _number(total - m[counts] @ losses[counts])))
    return _equation(_Term("L", _number(total)), _sum(terms or [_Term("0", "0")]))


def _loss_backward(e: _Ending) -> list[str]:
    *_, gradient = _loss_text(e)
    dz, share = _named(f"d{e.z.symbol}", e.trace.doutputs), "" if len(e.m.value) == 1 else " * m"
    if gradient is None:
        return [f"Loss: {dz.symbol} by the loss's own backward", *dz.equations(e.row, dz.at)]

    def right(*index: int) -> _Term:
        return e.shared(_fill(gradient, z=e.z.at(*index), p=e.p.at(*index), t=e.t.at(*index)), e.row)

    rule = gradient.format(z=e.z.symbol, p="p", t="t")
    return [f"Loss: {dz.symbol} = {rule}{share}", *dz.equations(e.row, right)]


def _sigmoid_of(z: _Named) -> Callable[..., _Term]:
    return lambda *index: _fill(_FORMULAS[Sigmoid][0], x=z.at(*index))


def _cross_entropy(e: _Ending, row: int, *, both: bool) -> _Term:
    """-sum t log p, and with both sides of a yes or no also (1 - t) log(1 - p); terms of weight 0 left out."""
    terms = []
    for index in np.ndindex(e.t.value.shape[1:]):
        t, p = e.t.at(row, *index), e.p.at(row, *index)
        miss = _Term(f"(1 - {p.symbols})", f"({_number(1 - e.p.value[(row, *index)])})")
        rest = _Term(f"(1 - {t.symbols})", _number(1 - e.t.value[(row, *index)]))
        terms += [_log_term(t, p)] + ([_log_term(rest, miss)] if both else [])
    total = _sum([term for term in terms if term.numbers] or [_Term("0", "0")])
    return _fill("-{s}" if sum(bool(term.numbers) for term in terms) == 1 else "-({s})", s=total)


def _log_term(weight: _Term, p: _Term) -> _Term:
    """t log p, as log p where t is 1, as nothing where it is 0."""
    if weight.numbers in ("0", "-0"):
        return _Term("", "")
    inner = _Term(p.symbols.strip("()"), p.numbers.strip("()"))
    log = _fill("log({p})", p=inner)
    return log if weight.numbers == "1" else _product(weight, log)


def _squares(e: _Ending, row: int) -> _Term:
    places = np.ndindex(e.t.value.shape[1:])
    return _sum([_fill("({z} - {t})^2", z=e.z.at(row, *i), t=e.t.at(row, *i)) for i in places])


_LOSSES = {  # link of the prediction, rule, loss of a row, gradient of an output
    SigmoidBinaryCrossEntropy: (
        _sigmoid_of,
        "p = 1 / (1 + exp(-{z})), {l} = -(t log p + (1 - t) log(1 - p))",
        partial(_cross_entropy, both=True),
        "({p} - {t})",
    ),
    SoftmaxCrossEntropy: (
        _softmax_of,
        "p = softmax({z}), {l} = -sum of t log p",
        partial(_cross_entropy, both=False),
        "({p} - {t})",
    ),
    SquaredError: (None, "{l} = sum of ({z} - t)^2", _squares, "2 * ({z} - {t})"),
}


def _loss_text(e: _Ending) -> tuple:
    """The loss in symbols; of one without a text here, or with targets that need another, its numbers alone."""
    text = _LOSSES.get(type(e.trace.model.loss))
    odd = isinstance(e.trace.model.loss, SoftmaxCrossEntropy) and not np.allclose(e.t.value.sum(-1), 1)
    return (None, "{l} of {z} and t", lambda e, row: e.losses.at(row), None) if text is None or odd else text


def slope(layer: Any, residuals: Any, y: Array) -> Array:
    """f'(x) of an activation at every entry, shaped like its output y: dy_c/dx_c, read off its own backward.

    An elementwise activation answers dy = 1 with f'(x). A Softmax mixes its row, so it is asked once for
    each class c, with a 1 there and 0 elsewhere.
    """
    if not isinstance(layer, Softmax):
        return layer.backward((), residuals, jnp.ones_like(y))[1]
    classes = jnp.eye(y.shape[-1], dtype=y.dtype)
    return jax.vmap(lambda c: layer.backward((), residuals, jnp.broadcast_to(c, y.shape))[1] @ c, 0, -1)(classes)


def kind_of(layer: Any) -> str:
    """What a spec is called in a trace: the name of its class."""
    return type(layer).__name__
