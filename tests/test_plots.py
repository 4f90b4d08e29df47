"""Pictures say what they are given: lines, counts and names are read back from the figure."""

import numpy as np
import pytest

from fnnet import History, Metrics, plots

TRAINING = Metrics(np.array([1.0, 0.5, 0.25]), np.array([0.5, 0.75, 0.9]), np.full(3, 10.0))
VALIDATION = Metrics(np.array([1.2, 0.8, 0.7]), np.array([0.4, 0.6, 0.7]), np.full(3, 5.0))


def lines(axis):
    return {line.get_label(): line.get_ydata().tolist() for line in axis.get_lines()}


def test_the_learning_curve_shows_loss_and_error():
    loss, error = plots.learning_curve(History(TRAINING, VALIDATION), name="test").axes
    assert lines(loss) == {"training": [1, 0.5, 0.25], "test": [1.2, 0.8, 0.7]}
    np.testing.assert_allclose(lines(error)["training"], [50, 25, 10])
    np.testing.assert_allclose(lines(error)["test"], [60, 40, 30])
    assert loss.get_yscale() == "log"


def test_the_learning_curve_does_without_accuracy_and_validation():
    (loss,) = plots.learning_curve(History(TRAINING._replace(accuracy=None), None)).axes
    assert list(lines(loss)) == ["training"]


def test_the_confusion_matrix_shows_every_count_but_zeros():
    figure = plots.confusion_matrix([[5, 1], [0, 1200]], ("cat", "dog"))
    (axis,) = figure.axes
    assert {(t.get_position(), t.get_text()) for t in axis.texts} == {((0, 0), "5"), ((1, 0), "1"), ((1, 1), "1200")}
    assert axis.get_title() == "1 of 1,206 wrong"
    assert [t.get_text() for t in axis.get_xticklabels()] == ["cat", "dog"]


def test_the_confusion_matrix_wants_a_name_for_every_class():
    with pytest.raises(ValueError, match=r"expected \(3, 3\)"):
        plots.confusion_matrix([[5, 1], [0, 12]], ("a", "b", "c"))


def test_predictions_are_drawn_above_their_probabilities(tmp_path):
    figure = plots.predictions(np.zeros((2, 4, 4)), np.array([[0.9, 0.1], [0.8, 0.2]]), [0, 1], ("a", "b"))
    assert [axis.get_title() for axis in figure.axes[:2]] == ["a  90 %", "a  80 %"]
    figure.savefig(tmp_path / "predictions.png")
    assert (tmp_path / "predictions.png").stat().st_size > 1000
