"""Programs that run once, compiled without optimizing.

Works around: XLA spends most of its time on making a program fast, which is wasted on one that runs once.
Gains:        a seventh to a half of the checker's time (`python -m experiments.benchmarks.tricks`).
Can go:       when XLA compiles as fast without options; the plain version is `jax.jit`.
"""

import functools
from collections.abc import Callable
from typing import Any

import jax

_OPTIONS = {
    "xla_backend_optimization_level": 0,
    "xla_llvm_disable_expensive_passes": True,
    "xla_cpu_use_fusion_emitters": False,
}


def jit_once(f: Callable[..., Any]) -> Any:
    """`jax.jit(f)`, compiled in half the time on a CPU, to a program that is slower to run; elsewhere as usual."""
    return jax.jit(f, compiler_options=known_options(**_OPTIONS) if jax.default_backend() == "cpu" else None)


@functools.cache
def known_options(**options: Any) -> dict[str, Any]:
    """Those of the options that this version of XLA has; an option that it does not know is an error."""
    return {name: value for name, value in options.items() if _is_known({name: value})}


def _is_known(option: dict[str, Any]) -> bool:
    try:
        jax.jit(lambda: 0, compiler_options=option).lower().compile()
    except jax.errors.JaxRuntimeError:
        return False
    return True
