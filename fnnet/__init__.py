"""fnnet: neural networks as pure functions in JAX, with every gradient derived by hand and checked."""

import importlib
from typing import TYPE_CHECKING, Any

from fnnet import datasets, initializers, inspection, layers, losses, optimizers, penalties, schedules
from fnnet._spec import Number, Static, at_step, spec, static
from fnnet.architectures import *
from fnnet.checkpoints import *
from fnnet.datasets import DataError
from fnnet.generation import *
from fnnet.initializers import *
from fnnet.inspection import *
from fnnet.layers import *
from fnnet.losses import *
from fnnet.model import *
from fnnet.optimizers import *
from fnnet.page import *
from fnnet.penalties import *
from fnnet.protocols import *
from fnnet.schedules import *
from fnnet.training import *

from fnnet import architectures, checkpoints, generation, model, page, protocols, training  # isort: skip

if TYPE_CHECKING:
    from fnnet import metrics, plots, sweeps, tensorboard

__all__ = ["DataError", "Number", "Static", "at_step", "spec", "static"]
__all__ += ["datasets", "initializers", "inspection", "layers", "losses", "metrics", "optimizers", "penalties"]
__all__ += ["plots", "schedules", "sweeps", "tensorboard"]
__all__ += architectures.__all__
__all__ += checkpoints.__all__
__all__ += generation.__all__
__all__ += initializers.__all__
__all__ += inspection.__all__
__all__ += layers.__all__
__all__ += losses.__all__
__all__ += model.__all__
__all__ += optimizers.__all__
__all__ += page.__all__
__all__ += penalties.__all__
__all__ += protocols.__all__
__all__ += schedules.__all__
__all__ += training.__all__


def __getattr__(name: str) -> Any:
    """Packages that many programs never use are imported on first access."""
    if name in ("metrics", "plots", "sweeps", "tensorboard"):
        return importlib.import_module(f"fnnet.{name}")
    raise AttributeError(f"module 'fnnet' has no attribute {name!r}")
