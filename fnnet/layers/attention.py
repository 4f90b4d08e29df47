"""Attention: each step of a sequence takes a weighted mean of the values of all steps, or of those up to itself.

With queries Q, keys K and values V of one head, (T, D) each,

    S = Q K^T + M      P = softmax of every row of S      O = P V

where Q has been divided by sqrt(D), and M is -inf where a step may not look, else 0.

P is (T, T): for a long sequence it is larger than everything else together. So it is never stored. The forward pass
keeps the logarithm of every row's sum of exponentials, lse_t = log sum_u exp(S_tu), (T,), from which backward finds P
again as exp(S - lse), for a block of queries at a time; memory grows with T, not with T^2. Sources: Vaswani and others
2017, arXiv 1706.03762; Dao and others 2022, arXiv 2205.14135, for blocks; Dao 2023, arXiv 2307.08691, for the backward
pass from lse.
"""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from fnnet._spec import spec, static
from fnnet._values import at_least_float32
from fnnet._xla.products import product
from fnnet.initializers import GlorotUniform, Zeros
from fnnet.layers.dense import Dense, DenseParams, check_initializers, check_products, check_sizes
from fnnet.protocols import Initializer, Key, Shape

BLOCK = 256
"""Queries whose scores are in memory at once; sequences up to this long are one block."""

Heads = Float[Array, "B H T D"]
AllHeads = Float[Array, "B H U D"]  # where queries T are a block


class AttentionParams(NamedTuple):
    """Four `DenseParams`: w (F, F) and b (F,) of the projections to queries, keys, values, and of the result."""

    query: DenseParams
    key: DenseParams
    value: DenseParams
    out: DenseParams


class AttentionResiduals(NamedTuple):
    """x (B, T, F); q, k, v and o (B, H, T, D), q divided by sqrt(D), q and k turned if rotary; lse (B, H, T)."""

    x: Array
    q: Array
    k: Array
    v: Array
    o: Array
    lse: Array


@spec
class Attention:
    """Self-attention with several heads, (B, T, F) to (B, T, F).

    heads    H; each works on D = F / H features
    causal   whether a step sees only itself and the steps before it. Sequences padded at the end need no mask then;
             otherwise padding is a step like any other
    rotary   rotary position embedding (RoPE): turns queries and keys by angles proportional to their position, so that
             scores depend on relative positions. Source: Su and others 2021, arXiv 2104.09864
    weights, biases   initializers of the four projections; biases None: none
    out_weights       initializer of the last projection (None: as the others)
    products          "bfloat16": the factors of all products are rounded to it first, as in `Dense`

    Parameters: `AttentionParams`, fields query, key, value, out, each (w, b).
    """

    heads: int = static()
    causal: bool = static(default=True)
    rotary: bool = static(default=False)
    weights: Initializer = GlorotUniform()
    biases: Initializer | None = Zeros()
    out_weights: Initializer | None = None
    products: str | None = static(default=None)

    @property
    def formulas(self) -> tuple[str, str]:
        rounded = "" if self.products is None else f", of factors rounded to {self.products}"
        turned = "; q, k = q and k turned by their positions" if self.rotary else ""
        back = "; dq, dk = dq and dk turned back" if self.rotary else ""
        shown = "u <= t" if self.causal else "all u"
        has_biases = self.biases is not None
        q, k, v, out = (f" + {name}.b" if has_biases else "" for name in AttentionParams._fields)
        into = {"out": ("o", "dy"), "query": ("x", "dq"), "key": ("x", "dk"), "value": ("x", "dv")}
        dw = [f"d{name}.w = {a}_t^T {d}_t summed over t" for name, (a, d) in into.items()]
        db = [f"d{name}.b = {d}_t summed over rows and t" for name, (_, d) in into.items()] if has_biases else []
        return (
            f"q, k, v = x query.w{q}, x key.w{k}, x value.w{v}{turned}; "
            f"s_tu = q_t k_u^T / sqrt(D); p_tu = softmax of s_tu over {shown}; o = p v; y = o out.w{out}{rounded}",
            "do = dy out.w^T; dv = p^T do; dp = do v^T; ds = p * (dp - sum_c(do * o)); "
            f"dq = ds k / sqrt(D); dk = ds^T q / sqrt(D){back}; "
            f"dx = dq query.w^T + dk key.w^T + dv value.w^T; {'; '.join((*dw, *db))}{rounded}",
        )

    @property
    def zero_gradients(self) -> dict[str, str]:
        """What the checker expects: a vector added to all keys moves all scores of a query alike, unless it turns."""
        return {} if self.rotary else {"key.b": "it moves all scores of a query alike, and softmax ignores that"}

    def check(self) -> None:
        check_sizes(self, "heads")
        for name in ("causal", "rotary"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"Attention: expected {name} to be True or False, got {getattr(self, name)!r}")
        check_initializers(self, ("weights", "biases", "out_weights"))
        check_products(self)

    def init(self, key: Key, in_shape: Shape) -> tuple[AttentionParams, Shape]:
        """(AttentionParams, in_shape); in_shape (T, F) with F a multiple of heads, of twice as many if rotary."""
        if len(in_shape) != 2:
            raise ValueError(
                f"Attention.init: expected in_shape (T, F), got {tuple(in_shape)}; tokens are embedded first"
            )
        features, parts = in_shape[-1], self.heads * (2 if self.rotary else 1)
        if features % parts:
            rotary = " and rotary" if self.rotary else ""
            expected = f"expected a multiple of {parts} features for heads={self.heads}{rotary}"
            raise ValueError(f"Attention.init: {expected}, got {features}")
        out = Dense(features, self.weights if self.out_weights is None else self.out_weights, self.biases)
        projections = [Dense(features, self.weights, self.biases)] * 3 + [out]
        keys = jax.random.split(key, 4)
        return AttentionParams(*(f.init(k, in_shape)[0] for f, k in zip(projections, keys, strict=True))), in_shape

    def forward(
        self, params: AttentionParams, x: Float[Array, "B T F"], *, key: Key | None = None
    ) -> tuple[Float[Array, "B T F"], AttentionResiduals]:
        """Per head, with u over the steps that t sees:

            S_tu = sum_d q_td k_ud          lse_t = log sum_u e^S_tu      with q / sqrt(D) for q
            P_tu = e^(S_tu - lse_t)         o_td = sum_u P_tu v_ud

        and y = [o of all heads] w_out + b_out. Keeps x, q, k, v, o and lse.
        """
        if x.ndim != 3 or x.shape[-1] % self.heads:
            raise ValueError(f"Attention.forward: expected (B, T, F), F a multiple of {self.heads}, got {x.shape}")
        features = x.shape[-1]
        projected, _ = Dense(3 * features, products=self.products).forward(_side_by_side(params), x)
        q, k, v = map(self._split, jnp.split(projected, 3, -1))
        if self.rotary:
            q, k = rotated(q), rotated(k)
        q = q * (1 / math.sqrt(q.shape[-1]))
        o, lse = attend(q, k, v, self.causal, self.products)
        y, _ = Dense(features, products=self.products).forward(params.out, _merged(o))
        return y, AttentionResiduals(x, q, k, v, o, lse)

    def backward(
        self, params: AttentionParams, residuals: AttentionResiduals, dy: Float[Array, "B T F"]
    ) -> tuple[AttentionParams, Float[Array, "B T F"]]:
        """(AttentionParams of gradients, dx).

        The projections are `Dense` layers, and so are their gradients; between them stands `attend_backward`. x reaches
        y as queries, keys and values, and the gradients of paths add up:

            dx = dq w_query^T + dk w_key^T + dv w_value^T

        which is one product, [dq dk dv] [w_query w_key w_value]^T, as the forward pass has one of x and the three side
        by side. q was divided by sqrt(D) after its projection, so its gradient is, too: dq = dS K / sqrt(D);
        dk = dS^T Q needs no factor, since the q that was kept has it. A rotation is orthogonal, so its backward pass is
        the rotation by the negative angle. Without one, the gradient of key.b is 0: one vector added to all keys moves
        all scores of a query alike, and softmax ignores it.
        """
        x, q, k, v, o, lse = residuals
        features = x.shape[-1]
        dout, do = Dense(features, products=self.products).backward(params.out, _merged(o), dy)
        dq, dk, dv = attend_backward(q, k, v, o, lse, self._split(do), self.causal, self.products)
        dq = dq * (1 / math.sqrt(q.shape[-1]))
        if self.rotary:
            dq, dk = rotated(dq, -1), rotated(dk, -1)
        dprojected = jnp.concatenate([_merged(d) for d in (dq, dk, dv)], -1)
        grads, dx = Dense(3 * features, products=self.products).backward(_side_by_side(params), x, dprojected)
        query, key, value = _apart(grads)
        return AttentionParams(query, key, value, dout), dx

    def _split(self, x: Float[Array, "B T F"]) -> Heads:
        """Features as heads: head h has features h D to (h + 1) D."""
        return x.reshape(*x.shape[:-1], self.heads, -1).swapaxes(1, 2)


def _side_by_side(params: AttentionParams) -> DenseParams:
    """The projections to queries, keys and values as one: w (F, 3 F), b (3 F,)."""
    w, b = zip(*params[:3], strict=True)
    return DenseParams(jnp.concatenate(w, 1), None if b[0] is None else jnp.concatenate(b))


def _apart(grads: DenseParams) -> list[DenseParams]:
    """What `_side_by_side` joined."""
    b = [None] * 3 if grads.b is None else jnp.split(grads.b, 3)
    return [DenseParams(*each) for each in zip(jnp.split(grads.w, 3, 1), b, strict=True)]


def _merged(heads: Heads) -> Float[Array, "B T F"]:
    batch, _, steps, _ = heads.shape
    return heads.swapaxes(1, 2).reshape(batch, steps, -1)


def attend(
    q: Heads, k: Heads, v: Heads, causal: bool, products: str | None = None
) -> tuple[Heads, Float[Array, "B H T"]]:
    """(o, lse) of O = softmax(Q K^T + M) V, a block of queries at a time; factors are rounded to `products`, if any."""

    def block(q: Heads, rows: Int[Array, "T"]) -> tuple[Heads, Float[Array, "B H T"]]:
        s = _scores(q, k, rows, causal, products)
        largest = s.max(-1, keepdims=True)
        e = jnp.exp(s - largest)
        total = e.sum(-1, keepdims=True)
        o = product(e.astype(v.dtype), v, products).astype(s.dtype) / total
        return o.astype(v.dtype), (largest + jnp.log(total))[..., 0]

    steps = q.shape[2]
    if steps <= BLOCK:
        return block(q, jnp.arange(steps, dtype=jnp.int32))
    o, lse = jax.lax.map(lambda each: block(*each), (_blocks(q), _rows(steps)))
    return _whole(o, steps), _whole(lse, steps)


def attend_backward(
    q: Heads,
    k: Heads,
    v: Heads,
    o: Heads,
    lse: Float[Array, "B H T"],
    do: Heads,
    causal: bool,
    products: str | None = None,
) -> tuple[Heads, Heads, Heads]:
    """(dq, dk, dv), a block of queries at a time; factors are rounded to `products`, if any.

    o_td = sum_u P_tu v_ud is linear in P and in v:

        dv_ud = sum_t P_tu do_td      dV = P^T dO
        dP_tu = sum_d do_td v_ud      dP = dO V^T

    The softmax P_tu = e^S_tu / sum_w e^S_tw has ∂P_tu/∂S_tw = P_tu ([u = w] - P_tw), so

        dS_tw = P_tw (dP_tw - sum_u P_tu dP_tu)
        sum_u P_tu dP_tu = sum_ud P_tu do_td v_ud = sum_d do_td o_td

    where the last sum runs over D numbers and needs no P: dS = P * (dP - rowsum(dO * O)). With S = Q K^T + M,

        dq_td = sum_u dS_tu k_ud      dQ = dS K
        dk_ud = sum_t dS_tu q_td      dK = dS^T Q

    Every block of queries adds its part to dK and dV. A score that causality hides has P = 0, so dS = 0.
    """

    def block(q: Heads, o: Heads, lse: Array, do: Heads, rows: Int[Array, "T"]) -> tuple[Heads, AllHeads, AllHeads]:
        p = jnp.exp(_scores(q, k, rows, causal, products) - lse[..., None])
        dp = product(do, v, products, transposed="b").astype(p.dtype)
        ds = p * (dp - (do * o).sum(-1, keepdims=True).astype(p.dtype))
        p, ds = p.astype(q.dtype), ds.astype(q.dtype)
        dk, dv = product(ds, q, products, transposed="a"), product(p, do, products, transposed="a")
        return product(ds, k, products), dk, dv

    steps = q.shape[2]
    if steps <= BLOCK:
        return block(q, o, lse, do, jnp.arange(steps, dtype=jnp.int32))

    def add(sums: tuple[AllHeads, AllHeads], each: tuple) -> tuple[tuple[AllHeads, AllHeads], Heads]:
        dq, dk, dv = block(*each)
        return (sums[0] + dk, sums[1] + dv), dq

    blocks = (*map(_blocks, (q, o, lse, do)), _rows(steps))
    (dk, dv), dq = jax.lax.scan(add, (jnp.zeros_like(k), jnp.zeros_like(v)), blocks)
    return _whole(dq, steps), dk, dv


def _scores(
    q: Heads, k: AllHeads, rows: Int[Array, "T"], causal: bool, products: str | None
) -> Float[Array, "B H T U"]:
    """S = Q K^T + M in float32 or better; M is -inf where query t, at position rows[t], may not see key u."""
    s = product(q, k, products, transposed="b").astype(at_least_float32(q.dtype))
    if not causal:
        return s
    is_seen = jnp.arange(k.shape[2], dtype=jnp.int32)[None] <= rows[:, None]
    return s + jnp.where(is_seen, 0, -jnp.inf).astype(s.dtype)[None, None]


def _blocks(a: Array) -> Array:
    """(B, H, T, ...) as (blocks, B, H, BLOCK, ...), zeros after the end."""
    count = -(-a.shape[2] // BLOCK)
    a = jnp.pad(a, [(0, count * BLOCK - n if i == 2 else 0) for i, n in enumerate(a.shape)])
    return jnp.moveaxis(a.reshape(*a.shape[:2], count, BLOCK, *a.shape[3:]), 2, 0)


def _rows(steps: int) -> Int[Array, "N T"]:
    """Positions of the queries of every block."""
    return jnp.arange(-(-steps // BLOCK) * BLOCK, dtype=jnp.int32).reshape(-1, BLOCK)


def _whole(blocks: Array, steps: int) -> Array:
    """What `_blocks` took apart."""
    a = jnp.moveaxis(blocks, 0, 2)
    return a.reshape(*a.shape[:2], -1, *a.shape[4:])[:, :, :steps]


def rotated(x: Heads, direction: int = 1) -> Heads:
    """Feature pairs (i, i + D/2) of step t turned by the angle t / 10000^(2i/D), as points of the plane.

    Then q_t k_u^T depends on q, k and t - u only. (The paper pairs 2i with 2i + 1: the same but for the order of the
    columns of the projections.)
    """
    steps, half = x.shape[2], x.shape[3] // 2
    dtype = at_least_float32(x.dtype)
    rates = jnp.asarray(10000.0, dtype) ** (-jnp.arange(half, dtype=dtype) / half)
    angles = direction * jnp.arange(steps, dtype=dtype)[:, None] * rates[None]
    cos, sin = (f(angles).astype(x.dtype)[None, None] for f in (jnp.cos, jnp.sin))
    a, b = x[..., :half], x[..., half:]
    return jnp.concatenate([a * cos - b * sin, a * sin + b * cos], -1)
