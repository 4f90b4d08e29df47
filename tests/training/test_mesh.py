"""One training shared by many devices, and by many processes: the same as on one device."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

import fnnet
from fnnet.training.rows import Rows
from fnnet.training.sources import OnMesh, Streamed
from tests.training import mesh_children

HERE = Path(__file__).parent


def shared(folder, devices, processes=1):
    """What each process came to, after training on so many devices each."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": str(devices), "PYTHONPATH": str(HERE.parents[1])}
    commands = [
        [sys.executable, str(HERE / "mesh_children.py"), str(folder), str(rank), str(processes), str(port)]
        for rank in range(processes)
    ]
    running = [
        subprocess.Popen(c, env=environment, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True)
        for c in commands
    ]
    errors = [process.communicate(timeout=300)[1] for process in running]
    assert [process.returncode for process in running] == [0] * processes, errors
    return [dict(np.load(folder / f"{rank}.npz")) for rank in range(processes)]


def assert_as_on_one_device(results, devices):
    state, history = mesh_children.trained(None)
    assert state.step == 55
    for result in results:
        assert result.pop("devices") == devices
        leaves = jax.tree.leaves((state.params, history))
        assert len(result) == len(leaves)
        for have, want in zip(result.values(), leaves, strict=True):
            np.testing.assert_allclose(have, want, rtol=1e-5, atol=1e-5)


@pytest.mark.slow
def test_eight_devices_train_as_one(tmp_path):
    """Batches of 20 do not divide by 8: they are filled up to 24 with rows of weight 0."""
    assert_as_on_one_device(shared(tmp_path, devices=8), 8)


@pytest.mark.slow
def test_two_processes_train_as_one_device(tmp_path):
    assert_as_on_one_device(shared(tmp_path, devices=4, processes=2), 8)


def test_a_mesh_of_one_device_fills_nothing_up():
    mesh = fnnet.data_mesh()
    rows, state = Rows(mesh_children.DATA), fnnet.init_state(mesh_children.MODEL, fnnet.Sgd(0.1), jax.random.key(0))
    plain = Streamed(rows).batches(state, 41, jax.random.key(0))
    for have, want in zip(OnMesh(rows, mesh=mesh).batches(state, 41, jax.random.key(0)), plain, strict=True):
        assert have.weights is None
        np.testing.assert_array_equal(have.x, want.x)


def test_a_mesh_has_one_automatic_axis():
    explicit = jax.make_mesh((1,), ("data",), axis_types=(jax.sharding.AxisType.Explicit,))
    two = jax.make_mesh((1, 1), ("a", "b"), axis_types=(jax.sharding.AxisType.Auto,) * 2)
    for mesh in (explicit, two):
        with pytest.raises(ValueError, match="a mesh of one automatic axis"):
            mesh_children.trained(mesh)


@pytest.mark.slow
def test_the_sum_over_devices_is_put_in_by_the_compiler():
    """An all-reduce in the program of eight devices, none in that of one; the code says nothing of either."""
    source = (
        "import jax, fnnet, mesh_children as m; from fnnet.training.rows import Rows\n"
        "from fnnet.training.sources import OnMesh, replicated\n"
        "mesh = fnnet.data_mesh()\n"
        "state = replicated(fnnet.init_state(m.MODEL, m.OPTIMIZER, jax.random.key(0)), mesh)\n"
        "source = OnMesh(Rows(m.DATA), mesh=mesh)\n"
        "batch = next(source._chunks(state, 16, jax.random.key(9), 2))\n"
        "text = source._program(m.MODEL).lower(m.MODEL, m.OPTIMIZER, state, batch).compile().as_text()\n"
        "print('all-reduce(' in text, 'all-gather(' in text)"
    )

    def collectives(devices):
        environment = os.environ | {"JAX_NUM_CPU_DEVICES": str(devices), "PYTHONPATH": f"{HERE.parents[1]}:{HERE}"}
        done = subprocess.run(
            [sys.executable, "-c", source], env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout.split()

    assert collectives(8) == ["True", "False"]
    assert collectives(1) == ["False", "False"]
