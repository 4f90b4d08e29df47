"""How a run from the shell ends: faulty data in one line, Ctrl-C with what was trained and exit code 130."""

import dataclasses
import sys

import jax
import numpy as np
import pytest

import fnnet
from experiments import command_line, digits
from experiments.run_folder import RunFolder


@dataclasses.dataclass(frozen=True)
class Settings:
    """No settings."""


def raising(error):
    def main(config):
        raise error

    return main


def from_shell(main, monkeypatch):
    """The exit code, or the message, of a script without arguments."""
    monkeypatch.setattr(sys, "argv", ["script"])
    with pytest.raises(SystemExit) as end:
        command_line.run(main, Settings, "A script.")
    return end.value.code


def test_faulty_data_end_in_one_line(monkeypatch):
    assert from_shell(raising(fnnet.DataError("a.csv", "is empty")), monkeypatch) == "a.csv: is empty"


def test_ctrl_c_anywhere_ends_with_130(monkeypatch, capsys):
    assert from_shell(raising(KeyboardInterrupt()), monkeypatch) == 130
    assert capsys.readouterr().out == "interrupted\n"


class Stopped(KeyboardInterrupt):
    """What `fnnet.Interrupted` promises: a state and a history."""

    def __init__(self, state, history):
        super().__init__()
        self.state, self.history = state, history


def small_run():
    """Model, optimizer, state and data."""
    data = fnnet.Batch(np.ones((8, 3), np.float32), np.zeros(8, np.int32))
    model, optimizer = fnnet.mlp((3, 2)), fnnet.Sgd(0.1)
    state = fnnet.init_state(model, optimizer, jax.random.key(0))
    return model, optimizer, state, data


def test_an_interrupted_fit_is_saved(tmp_path, monkeypatch, capsys):
    def fit(model, optimizer, state, data, **settings):
        raise Stopped(*fnnet.train(model, optimizer, state, data, epochs=1, batch_size=4, shuffle=None))

    monkeypatch.setattr(fnnet, "Interrupted", Stopped, raising=False)
    monkeypatch.setattr(fnnet, "fit", fit)
    with RunFolder("a", digits.Config(runs=tmp_path)) as run, pytest.raises(SystemExit) as end:
        run.fit(*small_run())
    assert end.value.code == 130
    saved = fnnet.restore(run.path / "interrupted.safetensors")
    assert int(saved.state.step) == 2
    assert len(saved.history.training.loss) == 1
    assert "interrupted.safetensors" in capsys.readouterr().out


def test_ctrl_c_in_a_script_that_trains_ends_with_130(tmp_path, monkeypatch):
    """Here in the second epoch of the first of two networks."""
    log, calls = RunFolder.log_epoch, []

    def log_epoch(*args):
        calls.append(args)
        if len(calls) == 2:
            raise KeyboardInterrupt
        log(*args)

    monkeypatch.setattr(RunFolder, "log_epoch", log_epoch)
    with pytest.raises(SystemExit) as end:
        digits.main(digits.Config(seeds=2, epochs=4, hidden=(8,), runs=tmp_path, progress=False))
    assert end.value.code == 130
    (saved,) = tmp_path.rglob("interrupted.safetensors")
    assert int(fnnet.restore(saved).state.step) > 0
    assert len(calls) == 2
