"""Strictness for every test: no implicit rank or dtype promotion, float32 unless a test asks for more."""

import gc
import os
import subprocess
import sys

os.environ.setdefault("JAX_PLATFORMS", "cpu")
QUICK_TO_COMPILE = "--xla_cpu_use_fusion_emitters=false"


def are_known(flags):
    """Whether this version of XLA takes the flags: it ends a process that gives it others."""
    environment = os.environ | {"XLA_FLAGS": flags}
    command = [sys.executable, "-c", "import jax; jax.jit(lambda: 0)()"]
    return subprocess.run(command, env=environment, capture_output=True).returncode == 0


if "XLA_FLAGS" not in os.environ:  # `XLA_FLAGS= pytest` compiles as users do and takes half as long again
    os.environ["XLA_FLAGS"] = QUICK_TO_COMPILE if are_known(QUICK_TO_COMPILE) else ""

import jax  # noqa: E402
import jaxtyping  # noqa: E402
import pytest  # noqa: E402

gc.set_threshold(
    200_000, 20, 20
)  # tracing makes many small objects, and looking for cycles took a twentieth of the run
jax.config.update("jax_numpy_rank_promotion", "raise")
jax.config.update("jax_numpy_dtype_promotion", "strict")
jax.config.update("jax_default_matmul_precision", "highest")
jax.config.update("jax_disable_most_optimizations", True)  # a test's program runs for a moment and compiles for seconds


@pytest.fixture(params=["float32", "float64"])
def dtype(request):
    """The test runs once in each; float64 is switched on for that run alone."""
    with jax.enable_x64(request.param == "float64"):
        yield request.param


@pytest.fixture
def float64():
    """float64 switched on for one test."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def untyped():
    """fnnet's own errors, as seen by users, who run without the checks of jaxtyping."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)


@pytest.fixture(scope="module")
def optimized(_forget_programs):
    """Programs as users run them: for tests of the exact numbers, and for those that compute much."""
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", True)


@pytest.fixture(autouse=True, scope="module")
def _forget_programs():
    """Compiled programs of one file are no use to the next, and a thousand of them fill the memory."""
    yield
    jax.clear_caches()
