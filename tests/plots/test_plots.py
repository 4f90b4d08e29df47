"""Figures show what they are given: lines, counts and names are read back from them."""

import io
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from matplotlib.collections import PathCollection
from matplotlib.colors import to_hex

import fnnet
from fnnet import History, Metrics, plots
from fnnet.plots import theme

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


def test_the_learning_curve_shows_training_rows_measured_after_the_epoch():
    loss, error = plots.learning_curve(History(TRAINING, None, TRAINING._replace(loss=np.array([3.0, 2, 1])))).axes
    assert lines(loss) == {"training": [1, 0.5, 0.25], "training, after the epoch": [3, 2, 1]}
    assert len(lines(error)) == 2


def along(axis):
    """What the lines of an axis have along x."""
    return [np.asarray(line.get_xdata()).tolist() for line in axis.get_lines() if len(line.get_xdata())]


def test_curves_begin_at_epoch_1():
    for figure in (
        plots.learning_curve(History(TRAINING, VALIDATION, TRAINING)),
        plots.learning_curves({"one": History(TRAINING, VALIDATION)}),
    ):
        for axis in figure.axes:
            assert along(axis) == [[1, 2, 3]] * len(along(axis)) != []


def test_solid_is_the_second_data_set_and_dotted_is_training():
    loss, error = plots.learning_curves({"one": History(TRAINING, VALIDATION)}).axes
    drawn = {line.get_linestyle(): line.get_ydata().tolist() for line in loss.get_lines() if len(line.get_ydata())}
    assert drawn == {"-": [1.2, 0.8, 0.7], ":": [1, 0.5, 0.25]}
    drawn = {line.get_linestyle(): line.get_ydata() for line in error.get_lines()}
    np.testing.assert_allclose([drawn["-"], drawn[":"]], [[60, 40, 30], [50, 25, 10]])


def test_the_learning_curve_does_without_accuracy_and_validation():
    (loss,) = plots.learning_curve(History(TRAINING._replace(accuracy=None), None)).axes
    assert list(lines(loss)) == ["training"]


def test_the_confusion_matrix_shows_every_count_but_zeros():
    figure = plots.confusion_matrix([[5, 1], [0, 1200]], ("cat", "dog"))
    (axis,) = figure.axes
    assert {(t.get_position(), t.get_text()) for t in axis.texts} == {((0, 0), "5"), ((1, 0), "1"), ((1, 1), "1200")}
    assert axis.get_title() == "1 of 1,206 wrong"
    assert [t.get_text() for t in axis.get_xticklabels()] == ["cat", "dog"]


def test_the_color_of_a_mistake_stands_where_its_count_does():
    (axis,) = plots.confusion_matrix([[5, 7], [2, 1200]], ("cat", "dog")).axes
    assert shown(axis).get_array().tolist() == [[0, 7], [2, 0]]


def test_the_truth_is_blue_and_the_answer_says_whether_it_is_right():
    p = np.array([[0.9, 0.1, 0], [0.8, 0.15, 0.05], [0.3, 0.4, 0.3]])
    figure = plots.predictions(np.zeros((3, 4, 4)), p, [0, 1, 1], ("a", "b", "c"))
    assert [axis.title.get_color() for axis in figure.axes[:3]] == [theme.RIGHT, theme.WRONG, theme.RIGHT]
    for axis, true in zip(figure.axes[3:], (0, 1, 1), strict=True):
        colors = [to_hex(bar.get_facecolor()) for bar in axis.patches]
        assert [color == to_hex(theme.TRAINING) for color in colors] == [c == true for c in range(3)]


def test_the_confusion_matrix_wants_a_name_for_every_class():
    with pytest.raises(ValueError, match=r"expected \(3, 3\)"):
        plots.confusion_matrix([[5, 1], [0, 12]], ("a", "b", "c"))


def test_predictions_are_drawn_above_their_probabilities(tmp_path):
    figure = plots.predictions(np.zeros((2, 4, 4)), np.array([[0.9, 0.1], [0.8, 0.2]]), [0, 1], ("a", "b"))
    assert [axis.get_title() for axis in figure.axes[:2]] == ["a  90 %", "a  80 %\nis b"]
    figure.savefig(tmp_path / "predictions.png")
    assert (tmp_path / "predictions.png").stat().st_size > 1000


def test_many_predictions_are_wrapped_into_rows():
    count = 120
    p = np.full((count, 2), 0.5)
    figure = plots.predictions(
        np.arange(count)[:, None, None] * np.ones((1, 2, 2)), p, np.zeros(count, int), ("a", "b")
    )
    width, height = figure.get_size_inches() * figure.dpi
    assert width <= 1600
    assert height <= 12 * 400
    drawn = [float(shown(axis).get_array().mean()) for axis in figure.axes if axis.get_images()]
    assert drawn == list(range(count))
    three = plots.predictions(np.zeros((3, 2, 2)), p[:3], np.zeros(3, int), ("a", "b"), columns=2)
    assert len([axis for axis in three.axes if axis.axison or axis.get_images()]) == 6
    assert len(three.axes) == 8


@pytest.mark.parametrize(("count", "columns", "message"), [(0, 10, "expected images"), (2, 0, "columns above 0")])
def test_predictions_want_images_and_columns(count, columns, message):
    with pytest.raises(ValueError, match=message):
        plots.predictions(np.zeros((count, 2, 2)), np.zeros((count, 2)), np.zeros(count, int), ("a", "b"), columns)


def test_a_notebook_shows_a_figure_by_itself():
    from PIL import Image

    figure = plots.learning_curve(History(TRAINING, VALIDATION))
    image = Image.open(io.BytesIO(figure._repr_png_()))
    assert image.size == tuple(figure.get_size_inches() * 120)
    assert len(np.unique(np.asarray(image.convert("RGB")).reshape(-1, 3), axis=0)) > 10


def test_plots_are_imported_when_they_are_touched():
    script = (
        "import sys, fnnet\n"
        "assert not {'matplotlib', 'tensorboardX', 'fnnet.plots', 'fnnet.tensorboard'} & set(sys.modules)\n"
        "fnnet.plots.learning_curve, fnnet.tensorboard.Events\n"
        "assert not {'matplotlib', 'tensorboardX'} & set(sys.modules)\n"
        "fnnet.plots.figure(1, 1)\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
        "try:\n    fnnet.nonsense\nexcept AttributeError as error:\n    print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.stdout == "module 'fnnet' has no attribute 'nonsense'\n", done.stderr


def test_the_loss_is_drawn_in_every_scale_asked_for():
    linear, log, error = plots.learning_curve(History(TRAINING, VALIDATION), scales=("linear", "log")).axes
    assert [axis.get_yscale() for axis in (linear, log, error)] == ["linear", "log", "linear"]
    assert lines(linear) == lines(log) == {"training": [1, 0.5, 0.25], "validation": [1.2, 0.8, 0.7]}
    assert linear.get_ylim()[0] == 0


@pytest.mark.parametrize("scales", [(), ("logarithmic",), ("log", "symlog")])
def test_other_scales_are_refused(scales):
    with pytest.raises(ValueError, match="expected scales"):
        plots.learning_curve(History(TRAINING, None), scales=scales)


SEEDS = np.random.default_rng(0).uniform(0.1, 1, (3, 4))


def test_learning_curves_show_the_mean_and_the_spread_over_seeds():
    seeds = Metrics(SEEDS, 1 - SEEDS / 2, np.full((3, 4), 10.0))
    single = Metrics(SEEDS[0], 1 - SEEDS[0], np.full(4, 10.0))
    figure = plots.learning_curves({"three": History(single, seeds), "one": History(single, None)}, scales=("linear",))
    loss, error = figure.axes
    assert set(lines(loss)) >= {"three", "one", "validation", "training"}
    np.testing.assert_allclose(lines(loss)["three"], SEEDS.mean(0))
    np.testing.assert_allclose(lines(error)["three"], 50 * SEEDS.mean(0))
    np.testing.assert_allclose(lines(loss)["one"], SEEDS[0])
    dotted = [line for line in loss.get_lines() if line.get_linestyle() == ":" and len(line.get_ydata())]
    assert [line.get_ydata().tolist() for line in dotted] == [SEEDS[0].tolist()]
    (band,) = loss.collections
    spread = SEEDS.std(0, ddof=1)
    edges = np.clip(SEEDS.mean(0) + [[-1], [1]] * spread, SEEDS.min(0), SEEDS.max(0))
    corners = band.get_paths()[0].vertices
    for epoch in range(4):
        there = corners[corners[:, 0] == epoch + 1, 1]
        np.testing.assert_allclose([there.min(), there.max()], edges[:, epoch])


def test_learning_curves_want_runs():
    with pytest.raises(ValueError, match="at least one run"):
        plots.learning_curves({})


def shown(axis):
    (image,) = axis.get_images()
    return image


def test_weights_are_images_in_one_scale_symmetric_around_zero():
    w = np.arange(-5.0, 19).reshape(6, 4)
    params = ((), fnnet.layers.DenseParams(w, np.zeros(4)), fnnet.layers.DenseParams(np.ones((4, 2)), np.zeros(2)))
    limit = np.quantile(np.abs(w), 0.995)
    for given in (params, w):
        *images, bar = plots.weight_images(given, (2, 3), columns=3).axes
        assert [len(axis.get_images()) for axis in images] == [1, 1, 1, 1, 0, 0]
        for unit, axis in enumerate(images[:4]):
            np.testing.assert_array_equal(shown(axis).get_array(), w[:, unit].reshape(2, 3))
            assert shown(axis).get_clim() == (-limit, limit)
        assert bar.get_ylim() == (-limit, limit)


@pytest.mark.parametrize(("params", "got"), [((np.ones((6, 2)),), r"\(6, 2\)"), ((np.ones(6),), "no array")])
def test_weights_must_make_images(params, got):
    with pytest.raises(ValueError, match=got):
        plots.weight_images(params, (2, 4))


def arrows(figure):
    """(width, color) of every arrow of a diagram, from layer to layer."""
    (axis,) = figure.axes
    patches = [text.arrow_patch for text in axis.texts if getattr(text, "arrow_patch", None) is not None]
    return [(patch.get_linewidth(), patch.get_edgecolor()) for patch in patches]


def words(figure):
    return [text.get_text() for text in figure.axes[0].texts if text.get_text()]


def test_a_diagram_has_an_arrow_for_every_weight_as_thick_as_it_is_large():
    w = np.array([[1.0, -2.0, 0.5], [0.0, 1.0, -0.25]])
    params = fnnet.layers.DenseParams(w, np.zeros(3)), (), fnnet.layers.DenseParams(np.ones((3, 1)), np.zeros(1))
    figure = plots.network_diagram(params, inputs=("a", "b"), outputs=("y",))
    drawn = arrows(figure)
    assert len(drawn) == 2 * 3 + 3 * 1
    np.testing.assert_allclose([width for width, _ in drawn[:6]], 0.2 + 3 * np.abs(w).ravel() / 2)
    colors = [color for _, color in drawn[:6]]
    assert colors[0] == colors[2] == colors[4] != colors[1] == colors[5]
    assert {"-2.00", "-0.25", "1.00", "a", "b", "y"} <= set(words(figure))
    circles = [c for c in figure.axes[0].collections if isinstance(c, PathCollection)]
    assert [len(c.get_offsets()) for c in circles] == [2, 3, 1]


def test_a_diagram_of_many_neurons_shows_the_ends_of_the_layers_and_how_many_there_are():
    w = np.arange(1.0, 61).reshape(30, 2)
    figure = plots.network_diagram((w,), most=4)
    assert len(arrows(figure)) == 4 * 2
    np.testing.assert_allclose([width for width, _ in arrows(figure)][-1], 3.2)
    assert set(words(plots.network_diagram((np.ones((30, 20)),), most=6))) == {"⋮", "30", "20"}


@pytest.mark.parametrize(
    ("params", "more", "said"),
    [
        ((np.ones(3),), {}, r"got \[\]"),
        ((np.ones((2, 3)), np.ones((4, 1))), {}, r"\(2, 3\), \(4, 1\)"),
        ((np.ones((2, 3)),), {"most": 1}, "2 or more"),
    ],
)
def test_a_diagram_needs_layers_that_follow_each_other(params, more, said):
    with pytest.raises(ValueError, match=said):
        plots.network_diagram(params, **more)


def test_the_worst_mistakes_come_first_and_what_is_right_does_not_come():
    p = np.array([[0.6, 0.3, 0.1], [0.9, 0.1, 0], [0.2, 0.5, 0.3], [0.99, 0, 0.01], [0.1, 0.88, 0.02]])
    images = np.arange(5.0).reshape(5, 1, 1) * np.ones((1, 2, 2))
    classes = [1, 0, 2, 2, 2]
    figure = plots.worst_mistakes(images, p, classes, ("a", "b", "c"), count=3, columns=2)
    images_drawn = [float(shown(axis).get_array().mean()) for axis in figure.axes if axis.get_images()]
    assert images_drawn == [3, 4, 0]  # 0.01, 0.02, and of two at 0.3 the first
    titles = [axis.get_title() for axis in figure.axes]
    assert {"says a, 99 %", "is c, 1 %", "says b, 88 %", "is c, 2 %"} <= set(titles)


def test_the_worst_mistake_has_the_least_probable_truth_not_the_surest_guess():
    p = np.array([[0.1, 0.9, 0], [0.02, 0.5, 0.48]])
    figure = plots.worst_mistakes(np.arange(2.0)[:, None, None] * np.ones((1, 2, 2)), p, [0, 0], ("a", "b", "c"))
    assert [float(shown(axis).get_array().mean()) for axis in figure.axes if axis.get_images()] == [1, 0]


@pytest.mark.parametrize(
    ("classes", "count", "message"),
    [([0, 1], 3, "expected mistakes"), ([1, 1], 0, "count above 0"), ([1], 3, r"classes \(N,\)")],
)
def test_without_mistakes_there_is_no_figure(classes, count, message):
    with pytest.raises(ValueError, match=message):
        plots.worst_mistakes(np.zeros((2, 2, 2)), np.array([[0.9, 0.1], [0.2, 0.8]]), classes, ("a", "b"), count)


def test_reliability_shows_the_gap_between_confidence_and_accuracy():
    table = fnnet.metrics.Reliability(
        np.array([0.25, np.nan, 0.7, 0.9]), np.array([0.5, np.nan, 0.6, 0.9]), np.array([2.0, 0, 1, 7])
    )
    top, below = plots.reliability(table).axes
    right, missing, above = ([(bar.get_y(), bar.get_y() + bar.get_height()) for bar in bars] for bars in top.containers)
    np.testing.assert_allclose(right, [(0, 0.25), (0, 0.6), (0, 0.9)])
    np.testing.assert_allclose(missing, [(0.5, 0.5), (0.6, 0.7), (0.9, 0.9)])
    np.testing.assert_allclose(above, [(0.25, 0.5), (0.7, 0.7), (0.9, 0.9)])
    assert [bar.get_height() for bar in below.containers[0]] == [2, 1, 7]
    assert top.get_title() == "expected calibration error 6.00 %"  # (2 * 0.25 + 0.1) / 10


STATISTICS = {
    "0 Rescale": fnnet.LayerStatistics(*np.full((3, 2), 7.0), None, None, None, None),
    "1 Dense": fnnet.LayerStatistics(
        *np.array([[0.1, 0.2], [1, 2], [0, 0]]), None, None, *np.array([[3, 4], [1e-3, 0]])
    ),
    "2 Relu": fnnet.LayerStatistics(*np.array([[0.3, 0.4], [3, 4], [0.5, 0.6], [0.1, 0.2]]), None, None, None),
}


def test_layer_statistics_have_one_line_per_layer():
    figure = plots.layer_statistics(STATISTICS, epochs=[0, 10])
    outputs, zeros, gradients, updates = (
        [np.asarray(line.get_ydata()).tolist() for line in axis.get_lines()] for axis in figure.axes
    )
    assert outputs == [[1, 2], [0.1, 0.2], [3, 4], [0.3, 0.4]]
    assert zeros == [[0, 0], [50, 60], [10, 20]]
    assert gradients == [[3, 4]]
    assert updates[0] == [1e-3, 1e-12]
    assert figure.axes[0].get_lines()[0].get_xdata().tolist() == [0, 10]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["1 Dense", "2 Relu"]


PLANE_DATA = fnnet.Batch(np.array([[-1.0, -1], [1, 1], [2, 0]], np.float32), np.array([0, 1, 1], np.int32))


def linear(loss, w, b):
    outputs = len(b)
    model = fnnet.mlp((2, outputs), loss=loss)
    return model, (fnnet.layers.DenseParams(jnp.asarray(w, jnp.float32), jnp.asarray(b, jnp.float32)),)


def test_a_boundary_lies_where_the_network_changes_its_mind():
    model, params = linear(fnnet.SigmoidBinaryCrossEntropy(), [[4], [0]], [-2])  # 1/2 at input 0 = 0.5
    data = PLANE_DATA._replace(y=PLANE_DATA.y[:, None])
    axis, bar = plots.decision_boundary(model, params, data).axes
    points = [c for c in axis.collections if isinstance(c, PathCollection)]
    assert [len(c.get_offsets()) for c in points] == [1, 2]
    (boundary,) = [c for c in axis.collections if c not in points]
    np.testing.assert_allclose(boundary.get_paths()[0].vertices[:, 0], 0.5, atol=1e-3)
    colors = shown(axis).get_array()
    left, right = shown(axis).get_extent()[:2]

    def at(x):
        return colors[0, int((x - left) / (right - left) * 199)]

    assert at(-1)[2] > at(-1)[0]  # blue: class 0
    assert at(2)[0] > at(2)[2]  # red: class 1
    assert min(at(0.5)) > 0.95
    assert bar.get_ylabel() == "probability of class 1"


def test_a_map_is_the_right_way_up_and_wider_than_its_rows():
    model, params = linear(fnnet.SigmoidBinaryCrossEntropy(), [[0], [4]], [0])  # class 1 above
    axis = plots.decision_boundary(model, params, PLANE_DATA._replace(y=PLANE_DATA.y[:, None])).axes[0]
    colors, image = shown(axis).get_array(), shown(axis)
    low, high = (0, -1) if image.origin == "lower" else (-1, 0)
    assert colors[low, 0, 2] > colors[low, 0, 0]  # blue: class 0
    assert colors[high, 0, 0] > colors[high, 0, 2]  # red: class 1
    np.testing.assert_allclose(image.get_extent(), [-1.45, 2.45, -1.3, 1.3], rtol=1e-6)


def test_two_softmax_outputs_are_one_sigmoid():
    figures = [
        plots.decision_boundary(*linear(loss, w, b), PLANE_DATA)
        for loss, w, b in (
            (fnnet.SigmoidBinaryCrossEntropy(), [[4], [1]], [-2]),
            (fnnet.SoftmaxCrossEntropy(), [[0, 4], [0, 1]], [0, -2]),
        )
    ]
    first, second = (shown(figure.axes[0]).get_array() for figure in figures)
    np.testing.assert_allclose(first, second, atol=1e-5)


def test_boundaries_of_several_networks_stand_side_by_side():
    model, params = linear(fnnet.SoftmaxCrossEntropy(), [[3, -3, 0], [0, 0, 5]], [0, 0, 0])
    figure = plots.decision_boundaries(
        model, {"before": params, "after": jax.tree.map(jnp.negative, params)}, PLANE_DATA
    )
    assert [axis.get_title() for axis in figure.axes] == ["before", "after"]
    assert len({shown(axis).get_array().tobytes() for axis in figure.axes}) == 2
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["0", "1", "2"]


def test_a_boundary_wants_two_inputs():
    model = fnnet.mlp((3, 2))
    with pytest.raises(ValueError, match=r"two inputs.*got input_shape \(3,\)"):
        plots.decision_boundary(model, (), PLANE_DATA)


@pytest.mark.parametrize("y", [[[0.5], [1.5], [2.5]], [0.5, 1, 2], [[0, 1], [1, 0], [-1, 0]], [[[1]], [[0]], [[1]]]])
def test_a_regression_has_no_boundary(y):
    model, params = linear(fnnet.SquaredError(), [[4], [1]], [-2])
    with pytest.raises(ValueError, match=r"expected y to be classes .* a regression has no boundary"):
        plots.decision_boundary(model, params, PLANE_DATA._replace(y=np.array(y)))
    plots.decision_boundary(model, params, PLANE_DATA._replace(y=np.array([[0], [1], [1]])))  # classes by squared error


def test_a_landscape_marks_the_network_and_the_lowest_point():
    offsets = np.linspace(-1, 1, 5)
    loss = 1 + (offsets[:, None] - 0.5) ** 2 + (offsets[None] + 1) ** 2
    axis = plots.landscape(fnnet.Landscape(offsets, loss)).axes[0]
    network, lowest = ([line.get_xdata()[0], line.get_ydata()[0]] for line in axis.get_lines())
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["the network", "lowest point"]
    assert (network, lowest) == ([0, 0], [0.5, -1])  # direction 0 along x
    assert axis.get_title() == "loss 2.25, lowest 1"
    darkest = axis.collections[0].get_paths()[0].vertices  # where the loss is least
    np.testing.assert_allclose([darkest[:, 0].mean(), darkest[:, 1].min()], [0.5, -1], atol=0.1)


def test_a_landscape_may_be_a_line_and_have_holes():
    axis = plots.landscape(fnnet.Landscape(np.array([-1.0, 0, 1]), np.array([np.inf, 2, 1])), title="x").axes[0]
    curve, network, lowest = axis.get_lines()
    assert np.ma.getmaskarray(curve.get_ydata()).tolist() == [True, False, False]
    assert (network.get_ydata()[0], lowest.get_xdata()[0]) == (2, 1)
    assert axis.get_title() == "x"
    assert [text.get_text() for text in axis.get_legend().get_texts()] == ["the network", "lowest point"]
    with pytest.raises(ValueError, match="finite"):
        plots.landscape(fnnet.Landscape(np.zeros(3), np.full((3, 3), np.nan)))


@pytest.mark.parametrize("loss", [np.zeros((3, 3)), np.array([[1, np.nan, 2], [0, 3, np.inf], [1e30, 1, 1]])])
def test_any_landscape_is_drawn(loss, tmp_path):
    plots.landscape(fnnet.Landscape(np.array([-1.0, 0, 1]), loss)).savefig(tmp_path / "landscape.png")
