"""Sweeps on many devices, on many hosts, and through interruptions."""

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from fnnet import sweeps
from fnnet.sweeps import sweep
from tests.sweeps.sweep_children import DATA, arguments, points

CHILD = [sys.executable, str(Path(__file__).with_name("sweep_children.py"))]
ROOT = Path(__file__).parents[2]


def child(*arguments, devices=1, **how):
    path = f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": str(devices), "PYTHONPATH": path}
    return subprocess.Popen([*CHILD, *map(str, arguments)], stdout=subprocess.PIPE, text=True, env=environment, **how)


def said(process, wait=300):
    out, _ = process.communicate(timeout=wait)
    assert process.returncode == 0, out
    return out


@pytest.mark.slow
def test_eight_devices_give_what_one_gives_without_communication():
    """Nine runs in portions of two, the last one padded; the program has no collective where a control has one."""
    seen = json.loads(said(child("on_devices", devices=8)))
    one, eight = np.array(seen["losses"], float)
    assert (seen["devices"], seen["partitions"], one.shape) == (8, "8", (9, 3))
    np.testing.assert_allclose(eight, one, rtol=1e-5)
    assert np.isnan(one).any(axis=1).tolist() == [False] * 8 + [True]
    assert seen["collectives"] == []
    assert seen["control"] == ["all-reduce"]


@pytest.mark.slow
def test_a_whole_sweep_on_eight_devices_is_the_sweep_on_one():
    """Thirteen points of two programs from two seeds, with dropout and validation."""
    tables = [json.loads(said(child("sweeping", devices=devices))) for devices in (1, 8)]
    np.testing.assert_allclose(*(np.array(table, float) for table in tables), rtol=1e-5)


@pytest.mark.slow
def test_killed_ten_times_and_restarted_is_as_never_killed(tmp_path):
    random.seed(0)
    said(child("sharing", tmp_path / "whole"))
    kills = 0
    while kills < 10:
        process = child("sharing", tmp_path / "killed")
        before = len(list((tmp_path / "killed").glob("*/*.jsonl")))
        if kills % 3:  # at work; else while it starts
            assert next(line for line in process.stdout if " s, " in line or "path" in line).startswith("sweep")
        time.sleep(random.uniform(0, 0.8 if kills % 3 else 3))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        kills += 1
        assert len(list((tmp_path / "killed").glob("*/*.jsonl"))) >= before
    said(child("sharing", tmp_path / "killed"))
    whole, killed = (
        {f.name: f.read_bytes() for f in folder.glob("*/*")} for folder in sorted(tmp_path.iterdir())[::-1]
    )
    assert whole == killed
    assert len(whole) == 40


@pytest.mark.slow
def test_two_processes_share_a_sweep(tmp_path):
    """Two that know of each other through 127.0.0.1, each with half of the chunks, against one alone."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    processes = [child("distributed", port, i, tmp_path) for i in range(2)]
    tables = [json.loads(said(process).splitlines()[-1]) for process in processes]
    alone = sweep(points(), DATA, **arguments()).metric("loss")
    for losses in tables:
        np.testing.assert_allclose(np.array(losses, float), alone, rtol=1e-5)
    assert np.isnan(alone).any()
    assert len(sweeps.read(tmp_path.glob("*/*.jsonl"))) == len(alone)
