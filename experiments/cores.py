"""One device per core of the processor, for sweeps of small networks, which cannot use more than one core."""

import os

import jax


def use_all_cores() -> None:
    """Make one CPU device per core, unless JAX_NUM_CPU_DEVICES says how many; call it before anything is computed."""
    if "JAX_NUM_CPU_DEVICES" not in os.environ:
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        jax.config.update("jax_num_cpu_devices", cores)
