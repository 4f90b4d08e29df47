"""Event files, read back record by record: length, checksum, length bytes, checksum, as TensorBoard does."""

import io
import struct

import jax
import numpy as np
import pytest

import fnnet
from fnnet import History, Metrics

pytest.importorskip("tensorboardX", reason="needs the extra `tensorboard`: pip install 'fnnet[tensorboard]'")

from fnnet import plots
from fnnet.plots import learning_curve
from fnnet.tensorboard import Events


def history(*losses, accuracy=True):
    losses = np.float32(losses)
    return Metrics(losses, 1 - losses if accuracy else None, np.full(len(losses), 10.0))


def values(folder):
    """[(tag, step, value)] of every event in the one file of a folder."""
    from tensorboardX.proto.event_pb2 import Event

    (path,) = folder.iterdir()
    found, data = [], io.BytesIO(path.read_bytes())
    while head := data.read(12):
        event = Event.FromString(data.read(struct.unpack("<Q", head[:8])[0]))
        assert len(data.read(4)) == 4
        found += [(v.tag, event.step, v) for v in event.summary.value]
    return found


def scalars(folder):
    return [(tag, step, pytest.approx(v.simple_value)) for tag, step, v in values(folder) if v.HasField("simple_value")]


def test_what_was_written_is_read_back(tmp_path):
    with Events(tmp_path / "run") as events:
        events.write(5, History(history(0.5), history(0.75)))
        events.write(np.int32(10), History(history(9, 0.25), history(0.625), history(0.125)))
    assert scalars(tmp_path / "run" / "measured") == [("loss", 10, 0.125), ("accuracy", 10, 0.875)]
    assert scalars(tmp_path / "run" / "training") == [
        ("loss", 5, 0.5), ("accuracy", 5, 0.5), ("loss", 10, 0.25), ("accuracy", 10, 0.75),
    ]  # fmt: skip
    assert scalars(tmp_path / "run" / "validation") == [
        ("loss", 5, 0.75), ("accuracy", 5, 0.25), ("loss", 10, 0.625), ("accuracy", 10, 0.375),
    ]  # fmt: skip


def test_what_was_not_measured_is_not_written(tmp_path):
    with Events(tmp_path) as events:
        events.write(1, History(history(np.nan, accuracy=False), None))
    assert [path.name for path in tmp_path.iterdir()] == ["training"]
    ((tag, step, value),) = values(tmp_path / "training")
    assert (tag, step) == ("loss", 1)
    assert np.isnan(value.simple_value)


def test_a_figure_is_an_image(tmp_path):
    from PIL import Image

    figure = learning_curve(History(history(0.5, 0.25), None))
    with Events(tmp_path) as events:
        events.figure("curve", figure, 3)
    ((tag, step, value),) = values(tmp_path / "training")
    assert (tag, step, value.image.width, value.image.height) == ("curve", 3, 1080, 432)
    pixels = np.asarray(Image.open(io.BytesIO(value.image.encoded_image_string)))
    assert len(np.unique(pixels.reshape(-1, 3), axis=0)) > 10


def test_colors_of_a_figure_stay(tmp_path):
    from PIL import Image

    figure = plots.figure(1, 1)[0]
    figure.set_facecolor((1, 0.5, 0))
    with Events(tmp_path) as events:
        events.figure("orange", figure, 0)
    ((_, _, value),) = values(tmp_path / "training")
    assert np.asarray(Image.open(io.BytesIO(value.image.encoded_image_string)))[0, 0].tolist() == [255, 128, 0]


def test_nothing_is_written_after_the_end(tmp_path):
    with Events(tmp_path) as events:
        pass
    events.close()
    with pytest.raises(ValueError, match="before the files"):
        events.write(1, History(history(0.5), None))


def test_it_is_ready_for_fit_to_call(tmp_path):
    """`fit` calls on_epoch(state, history): the step is the state's."""
    state = fnnet.TrainState((), (), np.int32(7), jax.random.key(0))
    with fnnet.tensorboard.Events(tmp_path) as events:
        events.on_epoch(state, History(history(0.5), None))
    assert scalars(tmp_path / "training") == [("loss", 7, 0.5), ("accuracy", 7, 0.5)]


@pytest.mark.slow
def test_a_run_of_fit_is_logged_epoch_by_epoch(tmp_path):
    train, test = fnnet.datasets.stratified_split(fnnet.datasets.digits(), test_fraction=0.2, seed=0)
    model, optimizer = fnnet.mlp((64, 32, 10), input_shape=(8, 8), scale=1 / 16), fnnet.Adam(1e-3)
    state = fnnet.init_state(model, optimizer, jax.random.key(0))
    with Events(tmp_path) as events:
        _, run = fnnet.fit(
            model, optimizer, state, train, epochs=3, batch_size=100, shuffle=jax.random.key(1), validation=test,
            progress=False, on_epoch=events.on_epoch,
        )  # fmt: skip
    for part, metrics in (("training", run.training), ("validation", run.validation)):
        found = scalars(tmp_path / part)
        assert [step for tag, step, _ in found if tag == "loss"] == [15, 30, 45]
        assert [value for tag, _, value in found if tag == "loss"] == metrics.loss.tolist()
        assert [value for tag, _, value in found if tag == "accuracy"] == metrics.accuracy.tolist()
