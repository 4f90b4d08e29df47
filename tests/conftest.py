"""Strictness for every test: no silent rank or dtype promotion, warnings are errors, float32 unless asked."""

import os
from pathlib import Path

os.environ.setdefault("JAX_PLATFORMS", "cpu")
_data = Path(__file__).parents[2] / "shared" / "data"
if _data.is_dir():
    os.environ.setdefault("FNNET_DATA", str(_data))

import jax  # noqa: E402
import jaxtyping  # noqa: E402
import pytest  # noqa: E402

jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_default_matmul_precision", "highest")
jax.config.update("jax_disable_most_optimizations", True)  # a test's program runs for a moment and compiles for seconds


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    """The test runs once with each; float64 is switched on for that run alone."""
    with jax.enable_x64(request.param == "float64"):
        yield request.param


@pytest.fixture
def float64():
    """float64 switched on for one test."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def untyped():
    """The product's own errors, as users see them who do not check shapes with jaxtyping."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="module")
def optimized(_forget_programs):
    """Programs as users run them: where the numbers that come out are in question, or much is computed."""
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", True)


@pytest.fixture(autouse=True, scope="module")
def _forget_programs():
    """Compiled programs of one file are of no use to the next, and a thousand of them fill the memory."""
    yield
    jax.clear_caches()
