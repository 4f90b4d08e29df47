"""Write like Shakespeare: a small GPT learns which character comes next, with the settings of nanoGPT for CPUs.

4 layers, 4 heads, 128 features, 64 characters at a time, 2,000 steps of 12 rows that begin at random places of the
first nine tenths of the text. The loss is in nats per character; it is measured on the whole last tenth, cut into rows
that do not overlap (nanoGPT measures 240 random rows of it). A sample is printed at every measurement. The figures show
the loss while it learns, and where each head of the first and the last layer looks. The file is looked for in
FNNET_DATA and fnnet's cache, and downloaded (1.1 MB) if it is in neither; --text python learns the language reference
that comes with Python, and --text PATH a text of your own.
"""

import dataclasses
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import fnnet
from experiments import command_line
from experiments.command_line import KeptSettings, check_counts, check_multiple
from experiments.results_file import Result
from experiments.run_folder import CHECKPOINT, RunFolder
from fnnet.plots.theme import COLORS, QUIET, empty_figure, figure
from fnnet.protocols import Optimizer

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PUBLISHED = 1.88  # nanoGPT's README, for these settings


@dataclasses.dataclass(frozen=True, kw_only=True)
class Config(KeptSettings):
    """Settings of the run. The defaults are nanoGPT's: its command for CPUs, its file for this text, its defaults."""

    text: str = "shakespeare"
    """shakespeare, python, or the path of a text file."""
    seeds: int = 3
    """How many networks to train, each from a random start of its own."""
    steps: int = 2000
    """Updates."""
    batch_size: int = 12
    """Rows in one update."""
    context: int = 64
    """Characters in a row, the most that the network sees."""
    layers: int = 4
    """Blocks of an attention and a dense network."""
    heads: int = 4
    """Of each attention."""
    width: int = 128
    """Features of a character."""
    learning_rate: float = 1e-3
    """Of AdamW after the warm-up."""
    last_rate: float = 1e-4
    """Of AdamW at the last update; half a cosine leads there."""
    warmup: int = 100
    """Updates until the learning rate is reached, in a straight line."""
    beta1: float = 0.9
    """How slowly AdamW forgets gradients."""
    beta2: float = 0.99
    """How slowly AdamW forgets their squares."""
    weight_decay: float = 0.1
    """Fraction of a weight that an update takes off, times the learning rate."""
    clip: float = 1.0
    """Largest norm of all gradients together."""
    validation_fraction: float = 0.1
    """End of the text that is held out."""
    report_every: int = 250
    """Updates from one measurement to the next; a divisor of the steps."""
    sample: int = 300
    """Characters of a sample."""
    temperature: float = 0.8
    """Of samples; below 1: likelier characters; above 1: stranger ones."""


class Task(NamedTuple):
    """A text in two parts: the beginning, to draw rows from, and rows of its end."""

    train: str
    validation: fnnet.Batch
    vocabulary: fnnet.datasets.Vocabulary


class Trained(NamedTuple):
    """One network after training, with the losses at every measurement and the seconds that the updates took."""

    state: fnnet.TrainState
    training: list[float]
    validation: list[float]
    seconds: float


def load(config: Config) -> Task:
    """The text, with the vocabulary of all of it."""
    text = fnnet.datasets.text(config.text)
    vocabulary = fnnet.datasets.Vocabulary.of(text)
    cut = int(len(text) * (1 - config.validation_fraction))
    validation, _ = fnnet.datasets.characters(text[cut:], config.context, vocabulary=vocabulary)
    return Task(text[:cut], validation, vocabulary)


def drawn(task: Task, config: Config, seed: int) -> fnnet.Batch:
    """The rows of all updates, in order: each begins at any place of the training text."""
    rows, _ = fnnet.datasets.characters(task.train, config.context, vocabulary=task.vocabulary, stride=1)
    starts = np.random.default_rng(seed).integers(len(rows.x), size=config.steps * config.batch_size)
    return fnnet.Batch(rows.x[starts], rows.y[starts])


def build(config: Config, tokens: int) -> tuple[fnnet.Model, Optimizer]:
    """The GPT, and AdamW after clipping.

    nanoGPT's first update has 1 / (warmup + 1) of the learning rate, the one after the warm-up all of it. It decays
    embeddings and positions too: here that depends on which parameters are called `w`.
    """
    cosine = fnnet.CosineDecay(config.learning_rate, max(config.steps - config.warmup, 1), config.last_rate)
    adamw = fnnet.AdamW(
        fnnet.Warmup(cosine, config.warmup + 1),
        beta1=config.beta1,
        beta2=config.beta2,
        weight_decay=config.weight_decay,
    )
    model = fnnet.gpt(tokens, config.layers, config.heads, config.width, config.context)
    return model, fnnet.Chain((fnnet.ClipByGlobalNorm(config.clip), adamw))


def sample(model: fnnet.Model, params: fnnet.Params, task: Task, config: Config, seed: int) -> str:
    """Text that goes on from a newline (or the first character that the model knows)."""
    start = "\n" if "\n" in task.vocabulary.characters else task.vocabulary.characters[0]
    tokens = jnp.asarray(task.vocabulary.encode(start))[None]
    written = fnnet.generate(model, params, tokens, jax.random.key(seed), config.sample, config.temperature)
    return task.vocabulary.decode(np.asarray(written)[0])


def train_one(
    model: fnnet.Model, optimizer: Optimizer, task: Task, config: Config, seed: int, run: RunFolder
) -> Trained:
    """Train from one seed, measuring now and then; the first seed prints samples."""
    rows, size = drawn(task, config, seed), config.report_every * config.batch_size
    state = fnnet.init_state(model, optimizer, jax.random.key(seed))
    training, validation, seconds = [], [], 0.0
    for step in range(config.report_every, config.steps + 1, config.report_every):
        part = fnnet.Batch(*(a[(step // config.report_every - 1) * size :][:size] for a in rows[:2]))
        begun = time.perf_counter()
        state, metrics = fnnet.train_epoch(model, optimizer, state, part, batch_size=config.batch_size, shuffle=None)
        training.append(float(metrics.loss))
        seconds += time.perf_counter() - begun
        validation.append(float(fnnet.evaluate(model, state.params, task.validation).loss))
        run.log(seed=seed, step=step, loss=training[-1], validation_loss=validation[-1], seconds=seconds)
        print(
            f"seed {seed}, step {step}: training loss {training[-1]:.3f}, validation loss {validation[-1]:.3f} "
            f"({seconds:.1f} s)"
        )
        if seed == 0:
            print(sample(model, state.params, task, config, step), end="\n\n")
    return Trained(state, training, validation, seconds)


def curves(networks: list[Trained], config: Config) -> "Figure":
    """Losses at every measurement, one line per seed."""
    figure_, (axis,) = figure(7, 3.6)
    steps = np.arange(config.report_every, config.steps + 1, config.report_every)
    for seed, network in enumerate(networks):
        for color, name, losses in zip(COLORS, ("training", "validation"), network[1:3], strict=False):
            axis.plot(steps, losses, color=color, label=name if seed == 0 else None)
    axis.axhline(_PUBLISHED, color=QUIET, linestyle="--", label=f"nanoGPT's README: {_PUBLISHED}")
    axis.set(xlabel="updates", ylabel="loss per character")
    axis.legend(frameon=False)
    return figure_


def attention_weights(params: Any, x: np.ndarray, heads: int) -> np.ndarray:
    """(heads, T, T): row t has the weights of the steps up to t, by an attention's parameters and its input (T, I)."""
    q, k = (
        (x @ np.asarray(p.w) + (0 if p.b is None else np.asarray(p.b))).reshape(len(x), heads, -1)
        for p in (params.query, params.key)
    )
    scores = np.einsum("thd,shd->hts", q, k) / np.sqrt(q.shape[-1])
    scores = np.where(np.tri(len(x), dtype=bool), scores, -np.inf)
    weights = np.exp(scores - scores.max(-1, keepdims=True))
    return weights / weights.sum(-1, keepdims=True)


def attention_maps(model: fnnet.Model, params: fnnet.Params, task: Task, config: Config) -> "Figure":
    """Where the heads of the first and the last attention look, in the first row of the validation text."""
    row = fnnet.Batch(task.validation.x[:1], task.validation.y[:1])
    trace = fnnet.trace(model, params, row.x, row.y)
    attentions = [layer for name, layer in trace.layers.items() if name.endswith("Attention")]
    figure_ = empty_figure(2.6 * config.heads, 5.6)
    axes = figure_.subplots(2, config.heads, squeeze=False)
    for place, layer, line in zip(("first", "last"), (attentions[0], attentions[-1]), axes, strict=True):
        maps = attention_weights(layer.params, np.asarray(layer.x[0]), config.heads)
        for head, (axis, weights) in enumerate(zip(line, maps, strict=True)):
            axis.imshow(weights, cmap="gray_r", vmin=0)
            axis.set(xticks=[], yticks=[], title=f"{place} layer, head {head + 1}")
    figure_.suptitle("which characters (columns) each character (rows) looks at", fontsize=11)
    return figure_


def main(config: Config) -> None:
    check_counts(config, "seeds", "batch_size", "context", "layers", "heads", "width", "warmup", "sample")
    check_multiple(config, "steps")
    if not 0 < config.validation_fraction < 1:
        raise SystemExit(f"--validation-fraction: expected a number between 0 and 1, got {config.validation_fraction}")
    folder, task = RunFolder("shakespeare", config), load(config)
    model, optimizer = build(config, len(task.vocabulary))
    with folder as run:
        held_out = f"{task.validation.x.size:,} held out"
        print(f"{len(task.train):,} characters, {len(task.vocabulary)} different ones; {held_out}")
        networks = [train_one(model, optimizer, task, config, seed, run) for seed in range(config.seeds)]
        first = networks[0].state
        fnnet.save(run.path / CHECKPOINT, model, optimizer, first, vocabulary=task.vocabulary)
        run.figure("shakespeare_curves", curves(networks, config))
        run.figure("shakespeare_attention", attention_maps(model, first.params, task, config))
        run.write("shakespeare_sample.txt", sample(model, first.params, task, config, 0) + "\n")
        results = {
            "validation loss": Result([n.validation[-1] for n in networks], "", range(config.seeds), 3),
            "seconds of training": Result([n.seconds for n in networks], "s", range(config.seeds), 1),
        }
        for what, result in results.items():
            print(f"{what}: {result}")
        run.record(
            "shakespeare",
            network=f"GPT: {config.layers} layers, {config.heads} heads, width {config.width}, context "
            f"{config.context}; {config.steps:,} steps of {config.batch_size}",
            author=f"about {_PUBLISHED} validation loss in three minutes (nanoGPT, on a laptop)",
            results=results,
            captions={
                "shakespeare_curves": "tiny Shakespeare: loss per character while it learns",
                "shakespeare_attention": "which characters the heads of the first and the last layer look at",
            },
        )
        run.say_end()


if __name__ == "__main__":
    command_line.run(main, Config, __doc__)
