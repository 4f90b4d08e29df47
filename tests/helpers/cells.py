"""What gradient tests share: one compiled program per cell, both dtypes, and errors per tensor by name."""

import jax
import jax.numpy as jnp
import numpy as np

from fnnet._xla.compile_once import jit_once

LIMITS = {"float32": 5e-6, "float64": 1e-12}


def cast(tree, dtype):
    """Floating arrays in dtype, everything else as it is."""
    return jax.tree.map(lambda a: a.astype(dtype) if jnp.issubdtype(a.dtype, jnp.floating) else a, tree)


def run_cell(pairs, *args):
    """pairs(*args) -> (hand, auto), compiled once for both dtypes; float64 must be on. Asserts every tensor."""
    program = jit_once(lambda *args: {dtype: pairs(*cast(args, dtype)) for dtype in LIMITS})
    for dtype, (hand, auto) in program(*args).items():
        assert_close(hand, auto, dtype)


def assert_close(hand, auto, dtype):
    """|hand - auto| <= limit max(|auto|, noise), tensor by tensor; under the noise both count as zero.

    Noise is eps times the size of what was summed, for which the largest tensor of the pass stands.
    """
    assert jax.tree.structure(hand) == jax.tree.structure(auto)
    named = jax.tree_util.tree_leaves_with_path(hand)
    largest = max((float(jnp.linalg.norm(b.ravel())) for b in jax.tree.leaves(auto) if b.size), default=0.0)
    for (path, a), b in zip(named, jax.tree.leaves(auto), strict=True):
        name = jax.tree_util.keystr(path)
        assert (a.shape, a.dtype) == (b.shape, b.dtype), f"{name}: {a.dtype}{a.shape}, expected {b.dtype}{b.shape}"
        assert a.dtype == dtype, f"{name}: {a.dtype} in a {dtype} pass"
        a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
        noise = largest * float(np.finfo(dtype).eps)
        error = np.linalg.norm(a - b) / max(np.linalg.norm(b), noise, np.finfo(np.float64).tiny)
        if np.linalg.norm(b) <= noise:
            assert np.linalg.norm(a) <= noise, f"{name}: expected zero, got norm {np.linalg.norm(a):.3g}"
            continue
        assert error <= LIMITS[dtype], f"{dtype} {name} {a.shape}: error {error:.3g} > {LIMITS[dtype]:.0e}"
