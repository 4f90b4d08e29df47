"""Mistakes in optimizers: orthogonalized momentum, two optimizers side by side, and averages of every kind."""

from .mistake import mistakes

MUON = "optimizers/test_muon"
PARTITION = "optimizers/test_partition"
AVERAGING = "optimizers/test_averaging"

MISTAKES = mistakes(
    (
        "optimizers.muon:Muon._step",
        "math.sqrt(max(1, columns / max(1, rows)))",
        "math.sqrt(max(1, rows / max(1, columns)))",
        "the scale is that of weights stored (O, I), as PyTorch has them",
        f"{MUON} wide",
        f"{MUON} singular",
    ),
    (
        "optimizers.muon:Muon._step",
        "u.reshape(math.prod(u.shape[:-1]), u.shape[-1])",
        "u.reshape(u.shape[0], -1)",
        "kernels become matrices as they would with the outputs first",
        f"{MUON} kernel",
    ),
    (
        "optimizers.muon:Muon._step",
        "matrix.astype(at_least_float32(u.dtype))",
        "matrix",
        "Newton-Schulz in bfloat16, where it diverges in this form",
        f"{MUON} bfloat16",
    ),
    (
        "optimizers.muon:Muon.update",
        "lambda v, g: g + self.momentum * v",
        "lambda v, g: v + self.momentum * g",
        "Nesterov's momentum looks ahead along the gradient",
        f"{MUON} momentum",
    ),
    (
        "optimizers.muon:_orthogonalized",
        "u / (norm(u) + jnp.asarray(epsilon, u.dtype))",
        "u / norm(u)",
        "a gradient of zero becomes NaN",
        f"{MUON} zero",
    ),
    (
        "optimizers.muon:_orthogonalized",
        'jax.default_matmul_precision("highest")',
        'jax.default_matmul_precision("default")',
        "products in TF32 on GPUs, with which the iteration diverges",
        f"{MUON} precision",
    ),
    (
        "optimizers.muon:_orthogonalized",
        "gram = factor @ gram @ factor",
        "gram = factor @ gram",
        "the next Gram matrix has the factor of one side only",
        f"{MUON} singular",
    ),
    (
        "optimizers.partition:Matrices.selects",
        'parameter_name(path) == "w" and has_axes',
        "has_axes",
        "selects matrices of any name, such as those of somebody's own biases",
        f"{PARTITION} matrices",
    ),
    (
        "optimizers.partition:Partition.update",
        "[jax.random.fold_in(key, i) for i in range(2)]",
        "(key, key)",
        "both parts draw the same noise",
        f"{PARTITION} key",
    ),
    (
        "optimizers.partition:Partition.init",
        'check_names("Partition", self.rest, rest)',
        'check_names("Partition", self.rest, params)',
        "weight decay in the part that has no weights decays nothing, and nobody is told",
        f"{PARTITION} names",
    ),
    (
        "optimizers.partition:Partition.init",
        "if leaves and not jax.tree.leaves(chosen):",
        "if not jax.tree.leaves(chosen):",
        "a network without parameters is refused",
        f"{PARTITION} nothing",
    ),
    (
        "optimizers.adam:ScheduleFreeAdam.update",
        "fraction = rate * rate / jnp.where(c == 0, 1, c)",
        "fraction = 1 / t.astype(c.dtype)",
        "what came during a warm-up counts as much as everything after it",
        f"{AVERAGING} squared",
    ),
    (
        "optimizers.adam:ScheduleFreeAdam.update",
        "jnp.where(c == 0, 1, c)",
        "c",
        "a learning rate that begins at 0 makes everything NaN",
        f"{AVERAGING} rate",
    ),
    (
        "optimizers.adam:ScheduleFreeAdam.update",
        "lambda z, w: z - rate * self.weight_decay * w, z, params",
        "lambda z, w: z - rate * self.weight_decay * w, z, state.z",
        "decays z instead of the parameters",
        f"{AVERAGING} squared",
    ),
    (
        "optimizers.adam:ScheduleFreeAdam.update",
        "b1 * x + (1 - b1) * z - p",
        "b1 * z + (1 - b1) * x - p",
        "the parameters are near z instead of x",
        f"{AVERAGING} hand",
    ),
    (
        "optimizers.lookahead:Lookahead.update",
        "lambda s, new: jnp.where(goes_back, new, s)",
        "lambda s, new: new",
        "the slow parameters move in every step",
        f"{AVERAGING} way",
    ),
    (
        "optimizers.lookahead:Lookahead.update",
        "goes_back = t % self.steps == 0",
        "goes_back = state.t % self.steps == 0",
        "goes back one step late, and in the very first",
        f"{AVERAGING} way",
    ),
    (
        "optimizers.average:averaged",
        "len(kept) > 1 or not found",
        "not found",
        "of two averages, the first is read and nobody is told",
        "optimizers/test_transformations one_average",
    ),
    (
        "schedules:RunningMean.value_at",
        "return n / (n + 1)",
        "return (n + 1) / (n + 2)",
        "the mean counts the first parameters twice",
        f"{AVERAGING} mean",
    ),
)
