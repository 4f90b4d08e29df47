"""The contracts as types: what a layer, a cell, a loss, an initializer, a penalty, a schedule and an optimizer are.

A class fulfills a contract by having its methods; there is nothing to inherit from and nowhere to register. Arguments
without a `*` in front are passed by position, so a class may name them as its mathematics does. `isinstance` accepts
the class itself (`Relu` has the methods of a layer); `is_spec_of` accepts only specs.
"""

import dataclasses
from typing import Any, NamedTuple, Protocol, TypeAlias, TypeGuard, TypeVar, runtime_checkable

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike
from jaxtyping import Array, PRNGKeyArray

__all__ = ["Batch", "Cell", "Initializer", "Layer", "Loss", "Optimizer", "Params", "Penalty", "Schedule", "Selector"]
__all__ += ["Statistics"]

Params: TypeAlias = Any
"""A pytree of arrays: NamedTuples in tuples in fnnet's own layers, anything in a user's. See `parameter_name`."""

OptState: TypeAlias = Any
"""What an optimizer remembers: a pytree of arrays, or None."""

Residuals: TypeAlias = Any
"""What a backward pass needs of its forward pass: a pytree of arrays; facts about shape are wrapped in `Static`."""

State: TypeAlias = Any
"""What a cell hands from one step to the next: a tuple of arrays, (B, H) each."""

Number: TypeAlias = Any
"""A number a person may sweep: a float, an array or tracer in its place, or a schedule. None leaves it out."""

Key: TypeAlias = PRNGKeyArray
Shape: TypeAlias = tuple[int, ...]


class Batch(NamedTuple):
    """Rows with their targets; a batch and a whole data set are the same thing.

    x        (B, ...)  inputs; images are uint8, a `Rescale` in the network makes them floats
    y        (B,) integer classes, (B, C) probabilities, or (B, O) values: what the loss expects
    weights  (B,) weights of the rows, or None. The value of a batch is sum(w * l) / sum(w).
             Rows of weight 0 are masked (another row is read in their place): whatever they contain, a NaN included,
             changes nothing. Only a layer that looks across rows counts the row in their place.
    """

    x: Any  # Any, since JAX also puts shapes, shardings and axes here
    y: Any
    weights: Any = None


class Statistics(NamedTuple):
    """Running statistics among a layer's parameters: numbers that follow the data by `absorb` and are never learned.

    Their gradients are zeros, no optimizer sees them, and they stay float32 or better whatever `init`'s dtype.
    """

    mean: Any
    variance: Any


def is_statistics(node: object) -> bool:
    """For `is_leaf`."""
    return isinstance(node, Statistics)


def check_batch(caller: str, data: object, name: str = "data") -> None:
    """Raise TypeError unless data is a Batch."""
    if not isinstance(data, Batch):
        raise TypeError(f"{caller}: expected {name} to be a Batch, got {type(data).__name__}; write fnnet.Batch(x, y)")


@runtime_checkable
class Layer(Protocol):
    """Three pure functions on a spec. Shapes are those of one row, without the batch axis.

    A layer with state that no gradient moves keeps it in `Statistics` among its parameters, and also has
    `absorb(params, residuals) -> params`, called after the update.

    A layer that can be given wrong values (tokens that do not exist) may have `check_inputs(x)`, which raises for them.
    `fit`, `sweep`, `evaluate` and `predict` call that of the first layer with x as a NumPy array.

    A layer may have `zero_gradients`, {parameter: why} of those whose gradient is 0 whatever the inputs: the checker
    expects that.

    A layer may say what it computes in two formulas, forward and backward, which `print(fnnet.trace(...))` fills with
    numbers; a class attribute, or a property where they depend on the spec:

        formulas = ("y = x w + b", "dw = x^T dy; db = sum_b(dy); dx = dy w^T")
        formulas = ("h = tanh(x / scale)", "dx = dh * (1 - h^2) / scale")

    Names are x and dx, the output (the last left side of the first formula) and its gradient, the fields of params
    and d before them, numbers of the spec, arrays as `backward` names its arguments, and whatever an equation before
    defines. A space between names is a matrix product. What cannot be read (`y = x sorted`) is printed unchanged,
    followed by the result. `fnnet.inspection.formulas` lists the functions.
    """

    def init(self, key: Key, in_shape: Shape, /) -> tuple[Params, Shape]:
        """(params, out_shape): parameters drawn with key, () where there is nothing to learn."""
        ...

    def forward(self, params: Params, x: Array, /, *, key: Key | None = None) -> tuple[Array, Residuals]:
        """(y, residuals): the output, and the arrays that backward needs. A key means training."""
        ...

    def backward(self, params: Params, residuals: Residuals, dy: Array, /) -> tuple[Params, Array | None]:
        """(dparams, dx): gradients of the loss, dparams like params; dx is None where x is integer."""
        ...


@runtime_checkable
class Cell(Protocol):
    """One step of a `Recurrent` layer, entry by entry: two pure functions on a spec. The matrices are the layer's.

    u      (B, k H)  x_t input.w + input.b, k gates side by side
    v      (B, k H)  h_(t-1) recurrent.w (+ recurrent.b, where the cell has `recurrent_biases = True`)
    state  a tuple of arrays (B, H), the first of which is h, the output. All start as 0

    It may also have `bias_starts`, k numbers that are added to what the biases of its gates start at, and `formulas`,
    text as a Layer's: of u_t, v_t and h_t, and of dh_t, the gradient of all that h_t leads to.

        @fnnet.spec
        class Leaky:                        # h' = h + rate (tanh(u + v) - h)
            features: int = fnnet.static()
            rate: fnnet.Number = 0.1

            gates, states = ("state",), 1

            def forward(self, u, v, state):
                (h,), t = state, jnp.tanh(u + v)
                return (h + self.rate * (t - h),), t

            def backward(self, t, dstate):
                (dh,) = dstate
                da = self.rate * dh * (1 - t * t)
                return da, da, (dh * (1 - self.rate),)

    `Recurrent(Leaky(128))` is a layer then, and `check_gradients` checks it. A cell with parameters besides the two
    matrices and their biases is a layer of its own.
    """

    @property
    def features(self) -> int:
        """H, the size of the output and of each state."""
        ...

    @property
    def gates(self) -> tuple[str, ...]:
        """What the k parts of u and v are called, in order."""
        ...

    @property
    def states(self) -> int:
        """How many arrays the state has."""
        ...

    def forward(self, u: Array, v: Array, state: State, /) -> tuple[State, Residuals]:
        """(state, residuals): the state after the step, and the arrays that backward needs."""
        ...

    def backward(self, residuals: Residuals, dstate: State, /) -> tuple[Array, Array, State]:
        """(du, dv, dstate): from the gradients of the state after the step those of u, v and the state before.

        What comes back through v = h recurrent.w is not part of the gradient of h: the layer adds it. Where h reaches
        the new state through v alone, its gradient is None. Where du equals dv, return the same array twice.
        """
        ...


@runtime_checkable
class Loss(Protocol):
    """How far outputs are from targets, row by row. The loss knows the output function, so outputs are logits.

    A classification loss also has `correct(outputs, targets) -> (B,) bool`, from which accuracy is measured.

    Where a row has many targets (one per step of a sequence), a loss may have `count(targets) -> (B,)`, how many. Then
    the loss of a row and `correct` are sums over its targets, and the value of a batch is the mean over targets,
    sum(w * l) / sum(w * count).

    A loss may have `formulas`, as a Layer may: z are the outputs, t the targets (classes one-hot), C the size of
    the last axis of z, l the loss of every row, and dl what `backward` is given:

        formulas = ("l = sum_o((z - t)^2)", "dz = 2 * (z - t) * dl")
    """

    def forward(self, outputs: Array, targets: Array, /) -> tuple[Array, Residuals]:
        """(per_example, residuals): the loss of every row, (B,)."""
        ...

    def backward(self, residuals: Residuals, dper_example: Array, /) -> Array:
        """doutputs: the gradient of sum_b dper_example_b l_b."""
        ...

    def predict(self, outputs: Array, /) -> Array:
        """What the outputs mean to a person: probabilities or values."""
        ...


@runtime_checkable
class Penalty(Protocol):
    """A term of the loss that depends on the parameters alone.

    One that acts only on parameters with certain names also has `acts_on() -> names`; see `check_names`.
    """

    def value(self, params: Params, /) -> Array:
        """What it adds to the loss, ()."""
        ...

    def gradient(self, params: Params, /) -> Params:
        """Its derivative with respect to every parameter, like params."""
        ...


@runtime_checkable
class Initializer(Protocol):
    """How a parameter starts: `HeNormal()(key, (fan_in, fan_out), jnp.float32, fan_in, fan_out)` is a matrix."""

    def __call__(self, key: Key, shape: Shape, dtype: DTypeLike, fan_in: int, fan_out: int, /) -> Array:
        """An array of this shape and dtype, for a neuron of fan_in inputs in a layer of fan_out."""
        ...


@runtime_checkable
class Schedule(Protocol):
    """A number that changes with the step; it may take the place of any number of a spec."""

    def value_at(self, step: Array, /) -> Number:
        """The number at a step; step is a 0-d floating array, 0 at the first update."""
        ...


@runtime_checkable
class Optimizer(Protocol):
    """A gradient transformation: from gradients to updates, which are added to the parameters.

    One that acts only on parameters with certain names also has `acts_on() -> names`; see `check_names`.
    """

    def init(self, params: Params, /) -> OptState:
        """The state before the first update."""
        ...

    def update(
        self, grads: Params, opt_state: OptState, params: Params, /, *, key: Key | None = None
    ) -> tuple[Params, OptState]:
        """(updates, opt_state): updates like params. key is for a transformation that draws noise."""
        ...


@runtime_checkable
class Selector(Protocol):
    """Which parameters the first of the two optimizers of a `Partition` moves.

        @fnnet.spec
        class Hidden:                       # all matrices but those of the first layer and the last
            def selects(self, path, parameter):
                return parameter.ndim == 2 and jax.tree_util.keystr(path) not in ("[0].w", "[4].w")

    A path is shown as `[4].w`: the weight of the fifth layer of a Serial.
    """

    def selects(self, path: jax.tree_util.KeyPath, parameter: Array, /) -> bool:
        """Whether the parameter at this path is selected; of the array, only shape and dtype are known."""
        ...


_Contract = TypeVar("_Contract")


def is_spec_of(value: object, contract: type[_Contract]) -> TypeGuard[_Contract]:
    """Whether value is a spec that fulfills the contract: `Relu()` is a Layer; the class `Relu` is not, nor is a
    NamedTuple of functions or a class without `@fnnet.spec`.
    """
    is_spec = dataclasses.is_dataclass(value) and not isinstance(value, type)
    return is_spec and not jax.tree_util.all_leaves([value]) and isinstance(value, contract)


def why_not(value: object, contract: type) -> str:
    """What keeps value from being a spec of the contract, as the end of an error message."""
    if isinstance(value, type):
        return f"got the class {value.__name__}; build it with its settings: {value.__name__}(...)"
    if contract is Layer and isinstance(value, Cell):
        return f"got the cell {value!r}; write Recurrent({value!r})"
    missing = [name for name in _methods(contract) if not callable(getattr(value, name, None))]
    missing += [
        name for name, what in vars(contract).items() if isinstance(what, property) and not hasattr(value, name)
    ]
    if missing:
        return f"got {value!r}, which has no {missing[0]}"
    if isinstance(value, tuple):
        return f"got {value!r}, which is a tuple and not a spec; wrap it in a class with @fnnet.spec"
    return f"got {value!r}; write @fnnet.spec above class {type(value).__name__}"


def _methods(contract: type) -> list[str]:
    return [name for name, what in vars(contract).items() if callable(what) and (name == "__call__" or name[0] != "_")]


def parameter_name(path: jax.tree_util.KeyPath) -> str:
    """The name of a parameter: the last entry of its path where that is a field or a dict key, else "".

    A parameter named `w` is a *weight*, one named `b` a *bias*. Penalties, weight decay and max-norm go by this name.
    """
    match path[-1:]:
        case (jax.tree_util.GetAttrKey(name=name),) | (jax.tree_util.DictKey(key=str(name)),):
            return name
    return ""


def check_names(caller: str, specs: object, params: Params) -> None:
    """Raise ValueError where a spec that acts only on parameters with certain names finds none of them.

    specs is any pytree of specs: those with `acts_on()` are found however deep. A network without any parameters
    passes: there is nothing to miss.
    """
    leaves = jax.tree_util.tree_leaves_with_path(params)
    paths = [path for path, p in leaves if jnp.issubdtype(jnp.result_type(p), jnp.floating)]
    names = {parameter_name(path) for path in paths}
    for spec in jax.tree.leaves(specs, is_leaf=lambda node: hasattr(node, "acts_on")):
        wanted = spec.acts_on() if hasattr(spec, "acts_on") else ()
        if paths and wanted and names.isdisjoint(wanted):
            kind, shown = type(spec).__name__, [f"params{jax.tree_util.keystr(path)}" for path in paths]
            listed = ", ".join(shown[:6]) + (f" and {len(shown) - 6} more" if len(shown) > 6 else "")
            raise ValueError(
                f"{caller}: {kind} acts on parameters named {' or '.join(wanted)} only, and finds none among {listed}; "
                f"name them so (a NamedTuple's field or a dict key), or leave {kind} out"
            )
