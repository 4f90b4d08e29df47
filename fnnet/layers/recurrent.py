"""Recurrence: the same small network at every step of a sequence; it sees the input and its own last output.

    Recurrent(Rnn(128))    Recurrent(Gru(128))    Recurrent(Lstm(128))

`Recurrent` has the two matrices and goes through time. A cell says, entry by entry, how the next state comes from the
two products; one of your own is a spec with two functions in any file (see `fnnet.Cell`).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import lax
from jaxtyping import Array, Float, Num

from fnnet._contracts import backward_cell, forward_cell
from fnnet._spec import spec, static
from fnnet._xla.channel_sums import channel_sums
from fnnet._xla.products import factor, product
from fnnet.initializers import GlorotUniform, Orthogonal, Zeros
from fnnet.layers.dense import DenseParams, check_initializers, check_products, check_sizes
from fnnet.protocols import Cell, Initializer, Key, Number, Params, Shape, is_spec_of, why_not

Entries = Float[Array, "B H"]
Gates = Float[Array, "B kH"]


@spec
class Rnn:
    """h' = tanh(u + v): the plain recurrent network. Source: Elman 1990, Finding structure in time.

    features  H, the size of the state, which is the output
    """

    features: int = static()

    gates = ("state",)
    states = 1
    formulas = ("h_t = tanh(u_t + v_t)", "du_t = dv_t = dh_t * (1 - h_t^2)")

    def check(self) -> None:
        check_sizes(self, "features")

    def forward(self, u: Gates, v: Gates, state: tuple[Entries]) -> tuple[tuple[Entries], Entries]:
        """h' = tanh(u + v). Keeps h'."""
        h = jnp.tanh(u + v)
        return (h,), h

    def backward(self, h: Entries, dstate: tuple[Entries]) -> tuple[Gates, Gates, tuple[None]]:
        """du = dv = dh' (1 - h'^2), since tanh' = 1 - tanh^2. h reaches h' through v alone."""
        (dh,) = dstate
        da = dh * (1 - h * h)
        return da, da, (None,)


@spec
class Gru:
    """h' = (1 - z) n + z h: the update gate z chooses between the old state and a new one.

    features  H, the size of the state, which is the output

    Of the two variants in use this is the first, and PyTorch's: the reset gate r multiplies the recurrent product and
    its bias, n = tanh(u_n + r v_n), and not the state before the product. Gates side by side: r, z, n. Source: Cho and
    others 2014, arXiv 1406.1078, version 1.
    """

    features: int = static()

    gates = ("reset", "update", "new")
    states = 1
    recurrent_biases = True
    formulas = (
        "r = sigmoid(ur_t + vr_t); z = sigmoid(uz_t + vz_t); n = tanh(un_t + r * vn_t); "
        "h_t = (1 - z) * n + z * h_(t-1)",
        "dun_t = dh_t * (1 - z) * (1 - n^2); dvn_t = r * dun_t; dur_t = dvr_t = dun_t * vn_t * r * (1 - r); "
        "duz_t = dvz_t = dh_t * (h_(t-1) - n) * z * (1 - z); dh_(t-1) gets dh_t * z, too",
    )

    def check(self) -> None:
        check_sizes(self, "features")

    def forward(self, u: Gates, v: Gates, state: tuple[Entries]) -> tuple[tuple[Entries], tuple[Entries, ...]]:
        """r = s(u_r + v_r), z = s(u_z + v_z), n = tanh(u_n + r v_n), h' = n + z (h - n); s is the sigmoid.

        Keeps r, z, n, v_n and h.
        """
        (h,) = state
        (ur, uz, un), (vr, vz, vn) = jnp.split(u, 3, 1), jnp.split(v, 3, 1)
        r, z = lax.logistic(ur + vr), lax.logistic(uz + vz)
        n = jnp.tanh(un + r * vn)
        return (n + z * (h - n),), (r, z, n, vn, h)

    def backward(self, residuals: tuple[Entries, ...], dstate: tuple[Entries]) -> tuple[Gates, Gates, tuple[Entries]]:
        """(du, dv, (dh,)), where dh is the part that does not come through v.

        du_n = dh' (1 - z) (1 - n^2)                since ∂h'/∂n = 1 - z and tanh' = 1 - tanh^2
        dv_n = du_n r                               v_n enters with factor r
        du_r = dv_r = (du_n v_n) r (1 - r)          r enters n with factor v_n; a sigmoid s has slope s (1 - s)
        du_z = dv_z = (dh' (h - n)) z (1 - z)       since ∂h'/∂z = h - n
        dh   = dh' z
        """
        (r, z, n, vn, h), (dh,) = residuals, dstate
        dun = dh * (1 - z) * (1 - n * n)
        dur = dun * vn * r * (1 - r)
        duz = dh * (h - n) * z * (1 - z)
        return jnp.concatenate([dur, duz, dun], 1), jnp.concatenate([dur, duz, dun * r], 1), (dh * z,)


@spec
class Lstm:
    """c' = f c + i g and h' = o tanh(c'): a memory c that is only scaled and added to, so that gradients last.

    features     H, the size of the output h and of the memory c
    forget_bias  what the biases of f start at, on top of `biases`: 1 lets the memory last from the first step on

    Gates side by side, as in PyTorch: input i, forget f, cell g, output o. There is one bias per gate; PyTorch's two
    add up to it. Sources: Hochreiter, Schmidhuber 1997; the forget gate: Gers, Schmidhuber, Cummins 2000; its bias:
    Jozefowicz, Zaremba, Sutskever 2015, ICML.
    """

    features: int = static()
    forget_bias: Number = 1.0

    gates = ("input", "forget", "cell", "output")
    states = 2
    formulas = (
        "i = sigmoid(ui_t + vi_t); f = sigmoid(uf_t + vf_t); g = tanh(ug_t + vg_t); o = sigmoid(uo_t + vo_t); "
        "c_t = f * c_(t-1) + i * g; h_t = o * tanh(c_t)",
        "dc_t = dh_t * o * (1 - tanh(c_t)^2) + dc_(t+1) * f_(t+1); dui_t = dc_t * g * i * (1 - i); "
        "duf_t = dc_t * c_(t-1) * f * (1 - f); dug_t = dc_t * i * (1 - g^2); duo_t = dh_t * tanh(c_t) * o * (1 - o); "
        "dv_t = du_t",
    )

    def check(self) -> None:
        check_sizes(self, "features")

    @property
    def bias_starts(self) -> tuple[Number, ...]:
        return 0.0, self.forget_bias, 0.0, 0.0

    def forward(
        self, u: Gates, v: Gates, state: tuple[Entries, Entries]
    ) -> tuple[tuple[Entries, Entries], tuple[Entries, ...]]:
        """i, f, o = s(u + v), g = tanh(u + v), each of its part; c' = f c + i g, h' = o tanh(c'); s is the sigmoid.

        Keeps i, f, g, o, c and tanh(c').
        """
        _, c = state
        i, f, g, o = jnp.split(u + v, 4, 1)
        i, f, g, o = lax.logistic(i), lax.logistic(f), jnp.tanh(g), lax.logistic(o)
        new = f * c + i * g
        t = jnp.tanh(new)
        return (o * t, new), (i, f, g, o, c, t)

    def backward(
        self, residuals: tuple[Entries, ...], dstate: tuple[Entries, Entries]
    ) -> tuple[Gates, Gates, tuple[None, Entries]]:
        """(du, dv, (None, dc)): h reaches the new state through v alone. A sigmoid s has slope s (1 - s). With
        t = tanh(c') and

        dc'' = dc' + dh' o (1 - t^2)       c' is seen by the step after, and by h'

        du_i = dv_i = dc'' g i (1 - i)
        du_f = dv_f = dc'' c f (1 - f)
        du_g = dv_g = dc'' i (1 - g^2)
        du_o = dv_o = dh' t o (1 - o)
        dc   = dc'' f                      no matrix and no tanh between c' and c: this is what lasts
        """
        (i, f, g, o, c, t), (dh, dc) = residuals, dstate
        dc = dc + dh * o * (1 - t * t)
        dui, duf = dc * g * i * (1 - i), dc * c * f * (1 - f)
        dug, duo = dc * i * (1 - g * g), dh * t * o * (1 - o)
        du = jnp.concatenate([dui, duf, dug, duo], 1)
        return du, du, (None, dc * f)


class RecurrentParams(NamedTuple):
    """input.w (I, kH), recurrent.w (H, kH), and b (kH,) of each, or None; the k gates of the cell side by side."""

    input: DenseParams
    recurrent: DenseParams


class RecurrentResiduals(NamedTuple):
    """x (T, B, I), the outputs h (T, B, H), and what the cell keeps of every step, time first."""

    x: Params
    h: Params
    kept: Params


@spec
class Recurrent:
    """h_t = cell(x_t w_x + b, h_(t-1) w_h, state_(t-1)) for every step t; (B, T, I) becomes (B, T, H), from zeros.

    cell       `Rnn(H)`, `Gru(H)`, `Lstm(H)` or one of your own
    weights    initializer of input.w, gate by gate
    recurrent  initializer of recurrent.w, gate by gate; an orthogonal matrix neither stretches nor shrinks the state
    biases     initializer of input.b (and of recurrent.b, where the cell has it); None: a layer without biases
    products   "bfloat16": the factors of all products are rounded to it first, as in `Dense`; states are not

    The output at t does not depend on later inputs. `LastStep()` takes the last output of every sequence.
    """

    cell: Cell
    weights: Initializer = GlorotUniform()
    recurrent: Initializer = Orthogonal()
    biases: Initializer | None = Zeros()
    products: str | None = static(default=None)

    def check(self) -> None:
        if not is_spec_of(self.cell, Cell):
            raise TypeError(f"Recurrent: expected a cell such as Lstm(128), {why_not(self.cell, Cell)}")
        check_initializers(self, ("weights", "recurrent", "biases"))
        check_products(self)

    @property
    def formulas(self) -> tuple[str, str]:
        """The cell's, whose h_t is the output at t and dh_t the gradient of all that it leads to, in those of time."""
        has = zip(("input", "recurrent"), self._biases(), strict=True)
        b, b_h = (f" + {name}.b" if there else "" for name, there in has)
        rounded = "" if self.products is None else f", of factors rounded to {self.products}"
        unknown = "h_t = cell(u_t, v_t, state_(t-1))", "du_t, dv_t = backward of the cell, given dh_t"
        forward, backward = getattr(self.cell, "formulas", unknown)
        return (
            f"u = x input.w{b}; v_t = h_(t-1) recurrent.w{b_h}; {forward}; h = h_t of every step{rounded}",
            f"dh_t = dh at t + dv_(t+1) recurrent.w^T; {backward}; dx = du input.w^T; "
            + "dinput.w = x_t^T du_t summed over t; "
            + ("dinput.b = du_t summed over rows and t; " if b else "")
            + "drecurrent.w = h_(t-1)^T dv_t summed over t"
            + ("; drecurrent.b = dv_t summed over rows and t" if b_h else "")
            + rounded,
        )

    def _biases(self) -> tuple[bool, bool]:
        """Whether there are input.b and recurrent.b."""
        has_any = self.biases is not None
        return has_any, has_any and getattr(self.cell, "recurrent_biases", False)

    def init(self, key: Key, in_shape: Shape) -> tuple[RecurrentParams, Shape]:
        """(RecurrentParams, (T, H)); in_shape (T, I). Every gate is drawn by itself, as a layer of H outputs."""
        if len(in_shape) != 2 or in_shape[0] < 1:
            raise ValueError(f"Recurrent.init: expected rows of (T, I), T above 0, got in_shape {in_shape}")
        fan_in, features = in_shape[-1], self.cell.features
        keys = jax.random.split(key, 4)
        has_input_biases, has_recurrent_biases = self._biases()
        b = self._drawn(self.biases, keys[1], (), fan_in) + self._bias_starts() if has_input_biases else None
        b_h = self._drawn(self.biases, keys[3], (), features) if has_recurrent_biases else None
        inputs = DenseParams(self._drawn(self.weights, keys[0], (fan_in,), fan_in), b)
        recurrent = DenseParams(self._drawn(self.recurrent, keys[2], (features,), features), b_h)
        return RecurrentParams(inputs, recurrent), (in_shape[0], features)

    def _drawn(self, initializer: Any, key: Key, rows: tuple[int, ...], fan_in: int) -> Array:
        """(*rows, k H)"""
        features, dtype = self.cell.features, jnp.result_type(float)

        def gate(key: Key) -> Array:
            return initializer(key, (*rows, features), dtype, fan_in, features)

        return jnp.concatenate(jax.vmap(gate)(jax.random.split(key, len(self.cell.gates))), -1)

    def _bias_starts(self) -> Array:
        """(k H,)"""
        starts = getattr(self.cell, "bias_starts", (0.0,) * len(self.cell.gates))
        dtype = jnp.result_type(float)
        return jnp.repeat(jnp.stack([jnp.asarray(start, dtype) for start in starts]), self.cell.features)

    def forward(
        self, params: RecurrentParams, x: Num[Array, "B ..."], *, key: Key | None = None
    ) -> tuple[Float[Array, "B T H"], RecurrentResiduals]:
        """u = x w_x for all steps in one product; then v_t = h_(t-1) w_h and the cell, step by step. h before x_0 is 0.

        Keeps x and h, time first, and what the cell keeps of every step. Raises TypeError for integers (put an
        `Embedding` first), ValueError for anything but (B, T, I) and for parameters of other sizes.
        """
        _check_inputs(self.cell, params, x)
        xs = x.swapaxes(0, 1)
        u = product(xs, params.input.w, self.products)
        w_h = factor(params.recurrent.w, self.products, is_transposed=False)

        def step(state: Any, u: Array) -> Any:
            v = _biased(product(state[0], w_h, self.products), params.recurrent.b)
            state, kept = forward_cell(self.cell, _biased(u, params.input.b), v, state)
            return state, (state[0], kept)

        start = (jnp.zeros((x.shape[0], self.cell.features), u.dtype),) * self.cell.states
        _, (h, kept) = lax.scan(step, start, u)
        return h.swapaxes(0, 1), RecurrentResiduals(xs, h, kept)

    def backward(
        self, params: RecurrentParams, residuals: RecurrentResiduals, dy: Float[Array, "B T H"]
    ) -> tuple[RecurrentParams, Float[Array, "B T I"]]:
        """(RecurrentParams of gradients, dx), by back-propagation through time. Source: Werbos 1990.

        The loss depends on h_t directly, through the output y_t = h_t, and through every later step; all of these go
        through step t + 1, where h_t enters through v_(t+1) = h_t w_h, and in some cells also beside it. So with D for
        what the cell's own backward gives for the second way,

            dh_t,bi = dy_t,bi + sum_j dv_(t+1),bj w_h,ij + D_(t+1),bi        dh_t = dy_t + dv_(t+1) w_h^T + D_(t+1)

        is known once step t + 1 is done, and is dy_t at the last step: one scan from the last step to the first, in
        which the cell turns dh_t (and the gradients of its other states) into du_t and dv_t. Between dh_t and dh_s lie
        t - s products with w_h^T and with the cell's slopes: where these are small, gradients vanish, which the dx of a
        loss on the last step shows.

        A weight is used at every step of every row, so its gradient is a sum over t and b. Rows of all steps stand
        below each other, and the sums are one product each, after the scan:

            dw_x,ij = sum_tb x_t,bi du_t,bj          dw_x = x^T du             db_x,j = sum_tb du_t,bj
            dw_h,ij = sum_tb h_(t-1),bi dv_t,bj      dw_h = (h before)^T dv    db_h,j = sum_tb dv_t,bj
            dx_t,bi = sum_j du_t,bj w_x,ij           dx = du w_x^T
        """
        (w, b), (w_h, b_h) = params
        w_back = factor(w_h, self.products, is_transposed=True)

        def step(dstate: Any, now: Any) -> Any:
            dy, kept = now
            du, dv, (beside, *others) = backward_cell(self.cell, kept, (dstate[0] + dy, *dstate[1:]))
            through = product(dv, w_back, self.products)
            dh = through if beside is None else through + beside
            return (dh, *others), (dv, None if du is dv else du)  # one array where they are the same

        start = (jnp.zeros_like(residuals.h[0]),) * self.cell.states
        _, (dv, du) = lax.scan(step, start, (dy.swapaxes(0, 1), residuals.kept), reverse=True)
        du = dv if du is None else du
        before = jnp.concatenate([start[0][None], residuals.h[:-1]])
        grads = RecurrentParams(
            DenseParams(self._summed(residuals.x, du), None if b is None else channel_sums(du)),
            DenseParams(self._summed(before, dv), None if b_h is None else channel_sums(dv)),
        )
        return grads, product(du, w, self.products, transposed="b").swapaxes(0, 1)

    def _summed(self, a: Array, d: Array) -> Array:
        """(I, O): a^T d of all steps and rows."""
        return product(_rows(a), _rows(d), self.products, transposed="a")


def _biased(a: Array, b: Array | None) -> Array:
    return a if b is None else a + b[None]


def _rows(a: Array) -> Array:
    """(T B, ...): the rows of all steps below each other."""
    return a.reshape(-1, a.shape[-1])


def _check_inputs(cell: Cell, params: RecurrentParams, x: Array) -> None:
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError(
            f"Recurrent.forward: expected floating numbers, got {x.dtype}; put Embedding(vocabulary, features) before "
            f"it, or Rescale(scale) where integers are amounts"
        )
    if x.ndim != 3:
        raise ValueError(f"Recurrent.forward: expected x of shape (B, T, I), got {x.shape}")
    width = len(cell.gates) * cell.features
    expected, got = ((x.shape[-1], width), (cell.features, width)), (params.input.w.shape, params.recurrent.w.shape)
    if got != expected:
        raise ValueError(
            f"Recurrent.forward: expected input.w and recurrent.w of shapes {expected[0]} and {expected[1]} for x of "
            f"shape {x.shape}, got {got[0]} and {got[1]}; are the parameters from another network?"
        )
