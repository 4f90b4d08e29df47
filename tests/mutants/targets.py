"""Which functions are mutated, and which tests must detect it, the fastest first.

A test is named by words that all occur in its id, the first being its file; {cls} is the class of the target.
"""

import fnmatch
import importlib
import pkgutil
import re
import sys
from collections.abc import Iterable, Iterator

from .mutator import Mutant, functions_of

MODULES = (
    "layers",
    "losses",
    "penalties",
    "schedules",
    "optimizers",
    "initializers",
    "model",
    "generation",
    "metrics",
    "training.state",
    "training.steps",
    "training.epochs",
    "training.rows",
    "training.stopping",
    "inspection.statistics",
    "inspection._landscape",
    "inspection._saliency",
    "sweeps.program",
    "sweeps.space",
    "datasets._split",
    "datasets._text",
    "datasets._tokens",
    "datasets.toy_problems",
    "_xla.one_row",
    "_xla.shuffling",
    "_xla.threefry",
    "_xla.in_place",
    "_windows",
    "_xla.canonical",
    "_xla.banded",
    "_xla.convolutions",
    "_xla.channel_sums",
    "_xla.interleaving",
    "_xla.materialized",
    "_xla.products",
)
LEFT_OUT = {
    "*.check": "argument checks: the tests of errors cover them one by one",
    "*:_check": "argument checks",
    "*.__repr__": "text for people",
    "*.formulas": "text for people, which tests/inspection/test_formulas.py evaluates",
    "*:_formulas": "text for people",
    "fnnet.training.state:in_words": "text for people",
    "fnnet.metrics:_check_*": "argument checks",
    "fnnet.training.rows:PART_BYTES": "how much is read at a time; no number depends on it",
    "fnnet.sweeps.program:EPOCHS_PER_CALL": "how many epochs one call computes; no number depends on it",
    "fnnet.architectures:*": "builds a spec, computes nothing",
    "fnnet._xla.convolutions:_on_cpu": "a choice of speed",
    "fnnet.layers.attention:BLOCK": "how many queries are computed at a time; no number depends on it",
    "fnnet._xla.banded:BANDS|NARROW|is_narrow|outputs_at_once|_blocks": "a choice of speed: all give the same",
    "fnnet.training.state:init_state": "passes its arguments to _init_state",
    "*:check_*": "argument checks",
    "fnnet.training.steps:train_step": "passes its arguments to step",
    "fnnet.training.epochs:train_epoch": "passes its arguments to _epoch",
    "fnnet.training.epochs:evaluate": "passes its arguments to _evaluate",
}
SAMPLED = {  # at most this many mutants per function: many functions of one kind, or slow ones that only pass things on
    "fnnet.optimizers": 25,
    "fnnet.schedules": 25,
    "fnnet.model": 15,
    "fnnet.training": 15,
    "fnnet.metrics": 5,
    "fnnet.inspection": 10,
    "fnnet.sweeps.program": 10,
    "fnnet.sweeps.space": 5,
    "fnnet.datasets": 10,
    "fnnet.generation": 12,
    "fnnet.layers.attention": 12,
    "fnnet.layers.augmentation": 12,
    "fnnet.layers.convolution": 12,
    "fnnet.layers.normalization": 12,
    "fnnet.layers.pooling": 12,
    "fnnet.layers.recurrent": 12,
    "fnnet._windows": 12,
    "fnnet._xla": 12,
}
CELL = "layers/test_gradients every_layer"
TABLE = "layers/test_activations {cls}"
MODEL = (
    "test_model textbook|functions_agree|rows|weight|masked",
    "test_model penalty|images|key|integers|dtype|float64|draw|schedule|numpy",
    "test_model errors",
)
TESTS = {
    "fnnet.layers.activations:_TAIL|_U": ("layers/test_activations Gelu",),
    "fnnet.layers.activations:_EXP_TAIL": ("layers/test_activations Silu",),
    "fnnet.layers.activations:softplus": ("layers/test_activations Softplus",),
    "fnnet.layers.activations:softmax": ("layers/test_activations softmax",),
    "fnnet.layers.activations:below_largest": ("layers/test_activations softmax",),
    "fnnet.layers.activations:_keep_nan": ("layers/test_activations LeakyRelu|HardSigmoid",),
    "fnnet.layers.activations:_Elementwise.init": ("layers/test_activations no_parameters",),
    "fnnet.layers.activations:Softmax.*": ("layers/test_activations softmax|Softmax", f"{CELL} Softmax"),
    "fnnet.layers.activations:*": (TABLE, f"{CELL} {{cls}}"),
    "fnnet.layers.dense:Dense.init": ("test_initializers dense", "test_model dense|by_hand|dtype", f"{CELL} Dense"),
    "fnnet.layers.dense:*": ("test_model dense|textbook|wrong", f"{CELL} Dense"),
    "fnnet.layers.dropout:*": ("test_model dropout|training_is|swept", f"{CELL} Dropout", "layers/test_gradients mask"),
    "fnnet.layers.augmentation:*": (
        "layers/test_augmentation",
        f"{CELL} Affine|Elastic|Mirror|Cutout|Noise",
    ),
    "fnnet.layers.shapes:Rescale.*": (
        "test_model images|integers|swept",
        f"{CELL} Rescale",
        "training/test_train every_dtype",
    ),
    "fnnet.layers.shapes:Standardize.*|standardize|_rows": ("layers/test_standardize", f"{CELL} Standardize"),
    "fnnet.layers.shapes:Flatten.*": ("test_model images", f"{CELL} Flatten"),
    "fnnet.layers.composition:Serial.absorb|absorb|Residual.absorb": (
        "training/test_train absorbed",
        "layers/test_convolution absorb",
        "training/test_train pure",
    ),
    "fnnet.layers.composition:zero_gradients": ("inspection/test_vacuity says_itself",),
    "fnnet.layers.attention:Attention.zero_gradients": ("inspection/test_vacuity says_itself",),
    "fnnet.layers.composition:input_checks": ("layers/test_attention token",),
    "fnnet.layers.composition:_noting": ("test_model named_with_its_number",),
    "fnnet.layers.composition:Residual.*": ("layers/test_composition", f"{CELL} Residual", "layers/test_gradients six"),
    "fnnet.layers.composition:_keys": (
        "test_model own|training_is",
        f"{CELL} Dropout|Residual",
        "training/test_values kind",
    ),
    "fnnet.layers.composition:Serial.*": (
        "layers/test_parameters list",
        "test_model textbook|integers|images|layers",
        f"{CELL} Serial",
        "layers/test_gradients four",
        "training/test_values kind",
    ),
    "fnnet.layers.embedding:*.init": ("layers/test_parameters initializers",),
    "fnnet.layers.embedding:Embedding.*": (
        "layers/test_attention embedding|token",
        "layers/test_parameters tokens",
        f"{CELL} Embedding",
    ),
    "fnnet.layers.embedding:Positions.*": ("layers/test_attention positions", f"{CELL} Positions"),
    "fnnet.layers.attention:Attention.init": ("layers/test_parameters initializers", f"{CELL} Attention"),
    "fnnet.layers.attention:*": (
        "layers/test_attention pytorchs|causal|rotary|thousand",
        "layers/test_parameters attention",
        f"{CELL} Attention",
    ),
    "fnnet.generation:*": ("test_generation", "training/test_values parameters"),
    "fnnet.losses:*.check_targets|_check_sums|_check_within": (
        "training/test_values ends|meaning|labels|look",
        "test_tokens opt_in|classes",
        "test_losses given",
    ),
    "fnnet.losses:SoftmaxCrossEntropy.count|SoftmaxCrossEntropy._is_target": ("test_tokens",),
    "fnnet.losses:SoftmaxCrossEntropy.*|one_hot": (
        "test_tokens",
        "test_losses SoftmaxCrossEntropy|cross_entropy|smoothing|class",
        "layers/test_gradients kind_of_target SoftmaxCrossEntropy",
    ),
    "fnnet.losses:_Direct.*": ("test_losses predictions",),
    "fnnet.losses:_*": ("test_losses",),
    "fnnet.losses:*": ("test_losses {cls}", "layers/test_gradients Relu {cls}"),
    "fnnet.penalties:*": ("test_penalties",),
    "fnnet.schedules:[_a-z]*": ("test_schedules",),
    "fnnet.schedules:*": ("test_schedules {cls}",),
    "fnnet.optimizers.adam:_*": (
        "optimizers/test_optimizers Adam|AdamW|AmsGrad|Nadam|AdaMax",
        "optimizers/test_references Adam|AdamW|AmsGrad|Nadam|AdaMax",
    ),
    "fnnet.optimizers.adam:ScheduleFreeAdam.*": (
        "optimizers/test_averaging",
        "optimizers/test_references ScheduleFree",
    ),
    "fnnet.optimizers.average:*": ("optimizers/test_transformations",),
    "fnnet.optimizers.lookahead:*": ("optimizers/test_averaging", "optimizers/test_optimizers Lookahead"),
    "fnnet.optimizers.muon:*": ("optimizers/test_muon",),
    "fnnet.optimizers.partition:*": ("optimizers/test_partition",),
    "fnnet.optimizers.transformations:*": ("optimizers/test_transformations",),
    "fnnet.optimizers.chain:*": (
        "optimizers/test_optimizers chain|Chain|transformation",
        "optimizers/test_transformations draws",
    ),
    "fnnet.optimizers:*": ("optimizers/test_optimizers {cls}", "optimizers/test_references {cls}"),
    "fnnet.metrics:ClassScores.*": ("test_metrics by_hand", "test_metrics learns"),
    "fnnet.metrics:perplexity": ("test_tokens perplexity|mean",),
    "fnnet.metrics:*": ("test_metrics by_hand", "test_metrics learns|bins|nan", "test_metrics"),
    "fnnet.inspection.statistics:*": ("inspection/test_statistics",),
    "fnnet.inspection._landscape:*": ("inspection/test_landscape",),
    "fnnet.inspection._saliency:*": ("inspection/test_saliency",),
    "fnnet.sweeps.program:*": (
        "sweeps/test_program numbers|after|nan",
        "sweeps/test_program cut|one",
        "sweeps/test_sweeps axis",
    ),
    "fnnet.sweeps.space:*": ("sweeps/test_sweeps path|grid|draws|stacked|structures|range|refused",),
    "fnnet.datasets._split:*": ("datasets/test_split",),
    "fnnet.datasets._text:*": ("datasets/test_text",),
    "fnnet.datasets._tokens:*": ("datasets/test_tokens",),
    "fnnet.datasets.toy_problems:*": ("datasets/test_toy_problems",),
    "fnnet._xla.threefry:*": ("_xla/test_threefry",),
    "fnnet._windows:*": (
        "_xla/test_convolutions transposes|sums_give|padded",
        "layers/test_references",
        "layers/test_convolution",
    ),
    "fnnet._xla.canonical:*": ("_xla/test_convolutions sums_give",),
    "fnnet._xla.banded:*": ("_xla/test_convolutions sums_give",),
    "fnnet._xla.convolutions:*": ("_xla/test_convolutions sums_give",),
    "fnnet._xla.channel_sums:*": ("_xla/test_convolutions channel_sums",),
    "fnnet._xla.products:*": ("layers/test_products",),
    "fnnet._xla.materialized:*": ("_xla/test_convolutions materialized|sums_give",),
    "fnnet._xla.interleaving:*": ("_xla/test_convolutions disjoint|side",),
    "fnnet.layers.convolution:Conv.init|ConvTranspose.init|_drawn": (
        "layers/test_parameters initializers",
        "layers/test_convolution drawn",
        f"{CELL} Conv|ConvTranspose",
    ),
    "fnnet.layers.convolution:*": (
        "layers/test_references Conv|ConvTranspose",
        "layers/test_parameters sequence|padding|channels|convolutions",
        "layers/test_convolution",
        f"{CELL} Conv|ConvTranspose",
    ),
    "fnnet.layers.pooling:_Pool.init|_GlobalPool.init": ("layers/test_parameters pooling",),
    "fnnet.layers.pooling:*": (
        "layers/test_references MaxPool|MeanPool|GlobalMaxPool|GlobalMeanPool",
        f"{CELL} MaxPool|MeanPool|GlobalMaxPool|GlobalMeanPool",
        "layers/test_convolution",
    ),
    "fnnet.layers.normalization:BatchNorm.*": (
        "layers/test_references BatchNorm",
        "layers/test_parameters statistics|initializers|norm",
        "layers/test_normalization",
    ),
    "fnnet.layers.normalization:LayerNorm.*|GroupNorm.*|RmsNorm.*": (
        "layers/test_parameters norm|initializers {cls}",
        f"{CELL} {{cls}}",
        "layers/test_references {cls}",
        "layers/test_normalization",
    ),
    "fnnet.layers.normalization:*": (
        "layers/test_parameters norm",
        f"{CELL} LayerNorm",
        "layers/test_references LayerNorm|BatchNorm",
        "layers/test_normalization",
    ),
    "fnnet.layers.recurrent:Recurrent.init|Recurrent._*|Lstm.bias_starts": (
        "layers/test_parameters initializers|recurrence",
        "layers/test_recurrent drawn|forget",
        "layers/test_recurrent name_what",
        "layers/test_recurrent steps",
    ),
    "fnnet.layers.recurrent:*": ("layers/test_recurrent those_of", f"{CELL} Recurrent", "layers/test_recurrent"),
    "fnnet.layers.shapes:LastStep.*": ("layers/test_recurrent last_step", f"{CELL} LastStep"),
    "fnnet.layers.shapes:Reshape.*": (f"{CELL} Reshape", "layers/test_convolution"),
    "fnnet.layers.composition:Parallel.absorb": ("layers/test_convolution absorb",),
    "fnnet.layers.composition:Parallel.*|_sum|_check_dtypes|_both": (
        "layers/test_composition",
        f"{CELL} Parallel|Residual",
        "layers/test_convolution",
    ),
    "fnnet._xla.one_row:*": ("test_initializers one_row",),
    "fnnet.initializers:_DrawNormal.*": ("test_initializers HeNormal|GlorotNormal",),
    "fnnet.initializers:_DrawUniform.*": ("test_initializers HeUniform|GlorotUniform",),
    "fnnet.initializers:Orthogonal.*": ("test_initializers Orthogonal|orthogonal",),
    "fnnet.initializers:*": ("test_initializers {cls}",),
    "fnnet.model:init": ("test_model draw|schedule|dtype|float64", "layers/test_parameters model"),
    "fnnet.model:prepare|mean_weights": (*MODEL, "training/test_train evaluate|weights"),
    "fnnet.model:*": (
        *MODEL,
        "test_penalties penalty|strength",
        "layers/test_gradients row_weights",
        "test_model lists",
        "test_tokens",
        "training/test_values parameters|kind",
        "layers/test_attention token",
    ),
    "fnnet.training.steps:train_batches|mean_metrics": ("training/test_fit chunks|streamed",),
    "fnnet.training.epochs:_evaluate": (
        "training/test_train evaluate|mean|measured",
        "training/test_train history|accuracy|schedules",
    ),
    "fnnet._xla.shuffling:*": ("_xla/test_shuffling", "training/test_train permutation"),
    "fnnet.training.steps:mean_of|metrics_of": (
        "training/test_train descent|evaluate|permutation|mean",
        "training/test_train accuracy|dtype",
    ),
    "fnnet.training.epochs:plan|take|_epoch|_whole": (
        "training/test_train weights|permutation|stand|fillers|filled",
        "training/test_train batch_size|rows|cut|Adam",
    ),
    "fnnet.training.rows:Rows.any_counts": ("training/test_values part_needs|none_are_refused",),
    "fnnet.training.rows:*": ("training/test_rows",),
    "fnnet.training.stopping:*": (
        "training/test_fit stopping_counts|memory|plateau|class|rules",
        "training/test_fit settings",
    ),
    "fnnet.training.steps:_added|step": (
        "training/test_train descent|integer|weights|absorbed|permutation",
        "training/test_ways schedule_in_a_model",
        "training/test_train schedules|dtype|cut Adam",
        "optimizers/test_optimizers bfloat16",
    ),
    "fnnet._xla.in_place:*": ("training/test_train without", "_xla/test_in_place"),
    "fnnet.training.state:_init_state|trainable": (
        "training/test_train half|start",
        "training/test_train pure Sgd",
        "training/test_train dtype",
        "optimizers/test_transformations named|names",
        "layers/test_normalization statistics",
    ),
    "fnnet.training.state:all_finite|floating_leaves": ("training/test_state",),
    "fnnet.training:*": (
        "test_model xor",
        "training/test_train history|accuracy|dtype",
        "training/test_values pure",
    ),
}


def modules() -> Iterator[str]:
    """Full names of the modules, those inside packages included."""
    for name in MODULES:
        module = importlib.import_module(f"fnnet.{name}")
        yield module.__name__
        for inner in pkgutil.walk_packages(getattr(module, "__path__", ()), f"fnnet.{name}."):
            yield inner.name


def targets() -> dict:
    """{target: node} of everything that is mutated."""
    found = {name: node for module in modules() for name, node in functions_of(module).items()}
    return {name: node for name, node in found.items() if not is_left_out(name)}


def is_left_out(target: str) -> bool:
    """Whether a pattern of LEFT_OUT names it: `module:name`, `module:name|other`, or what any target ends in."""
    for pattern in LEFT_OUT:
        home, colon, names = pattern.rpartition(":")
        if any(fnmatch.fnmatch(target, f"{home}{colon}{name}") for name in names.split("|")):
            return True
    return False


def most_of(target: str) -> int:
    """The most mutants of a function that a usual run takes."""
    return next((most for home, most in SAMPLED.items() if is_inside(target, home)), sys.maxsize)


def is_inside(target: str, home: str) -> bool:
    """Whether a function is in a module or a package."""
    return f"{target.split(':')[0]}.".startswith(f"{home}.")


def tests_of(target: str) -> tuple[str, ...]:
    """The tests that must detect a fault in a function. Raises LookupError if none are named."""
    path = target.split(":")[1]
    for pattern, tests in TESTS.items():
        home, names = pattern.split(":")
        if is_inside(target, home) and any(fnmatch.fnmatchcase(path, n) for n in names.split("|")):
            return tuple(test.format(cls=path.split(".")[0]) for test in tests)
    raise LookupError(f"{target}: no tests are named for it in tests/mutants/targets.py")


def tests_for(mutant: Mutant) -> tuple[str, ...]:
    """The tests that must detect a mutant: its own, or those of its target."""
    return mutant.tests or tests_of(mutant.target)


def files_of(mutants: Iterable[Mutant]) -> list[str]:
    """The files of the tests of these mutants."""
    return sorted({test.split()[0] for mutant in mutants for test in tests_for(mutant)})


def is_meant(test: str, node_id: str) -> bool:
    """Whether every word of `test` occurs in an id as a whole word, ignoring case; `a|b` matches either."""
    file, *words = test.split()
    return node_id.split("::")[0].endswith(f"{file}.py") and all(
        any(re.search(rf"(?i)(?<![a-z]){re.escape(w)}(?![a-z])", node_id) for w in word.split("|")) for word in words
    )
