"""`jax.jit`, with the signature of what it wraps kept for type checkers."""

from collections.abc import Callable
from functools import partial
from typing import Any, ParamSpec, Protocol, TypeVar, runtime_checkable

import jax

_P = ParamSpec("_P")
_R_co = TypeVar("_R_co", covariant=True)


@runtime_checkable
class Compiled(Protocol[_P, _R_co]):
    """What `jax.jit` returns."""

    def __call__(self, *args: _P.args, **kwargs: _P.kwargs) -> _R_co: ...

    def lower(self, *args: _P.args, **kwargs: _P.kwargs) -> Any:
        """The program before it is compiled; see `jax.stages`."""
        ...


def jit(*static_argnames: str) -> Callable[[Callable[_P, _R_co]], Compiled[_P, _R_co]]:
    """A decorator: `@jit("epochs", "batch_size")` is `@partial(jax.jit, static_argnames=("epochs", "batch_size"))`."""
    return partial(jax.jit, static_argnames=static_argnames)
