"""The systems by name, each imported when it is first asked for."""

import importlib
from collections.abc import Callable

from experiments.benchmarks.task import Task, Trainer

OURS = "fnnet"
GRAD_SCAN = "jax.grad + optax, scan"
GRAD_LOOP = "jax.grad + optax, loop"
LOADER = "PyTorch, DataLoader"
MEMORY = "PyTorch, in memory"
SKLEARN = "scikit-learn"
NUMPY = "NumPy"
EQUINOX = "Equinox"
COMPILED = "PyTorch, torch.compile"

MODULES = {
    OURS: "fnnet_train",
    GRAD_SCAN: "jax_scan",
    GRAD_LOOP: "jax_loop",
    EQUINOX: "equinox_loop",
    MEMORY: "torch_memory",
    COMPILED: "torch_compiled",
    LOADER: "torch_loader",
    SKLEARN: "scikit_learn",
    NUMPY: "numpy_loop",
}
"""Name -> file in `peers/`, in the order of the tables."""


def mnist(name: str) -> Callable[[Task], Trainer]:
    """`mnist` of a system's file."""
    return _module(name).mnist


def xor(name: str) -> Callable[[Task], Trainer] | None:
    """`xor` of a system's file; None where it has none of its own."""
    return getattr(_module(name), "xor", None)


def missing(error: ModuleNotFoundError) -> str:
    """What to do where another system is not installed."""
    return f"{error.name} is not installed, and the benchmarks compare with it: pip install -e '.[benchmarks]'"


def _module(name: str):
    try:
        return importlib.import_module(f"experiments.benchmarks.peers.{MODULES[name]}")
    except ModuleNotFoundError as error:
        raise SystemExit(missing(error)) from None
