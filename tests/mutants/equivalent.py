"""Mutants that compute the same as the original, named one by one, each with the reason.

The key is that of a mutant in the report: (function, operator, before -> after). A key that no longer
matches a mutant is reported, so the table cannot go stale. A difference only in the sign of a zero counts as none.
"""

_KINK = "at the kink both branches give the same number"
_SIGN = "backward looks only at the sign of what was kept (and at NaN), which a positive factor leaves alone"
_OTHER_BRANCH = "where x > 0 the other branch of the where is taken; below, the minimum changes nothing"
_TAIL = "beyond the bound the tail is 0 in float64 already, so a bound a little farther out gives the same"
_CLIPPED_AGAIN = "backward clips what was kept itself"
_FAR_LEFT = "beyond the bound the factor is exactly 0 with and without it, and 0 times the bound stays 0"
_NDIM = "only the number of axes is read, which the two have in common"
_SIDE = "either Gram matrix gives the same, the larger more slowly"
_SYMMETRIC = "symmetric, and so is a product of two, which commute"
_ZERO = "minus 0, or 0 times a factor, is 0"
_LAST_AXIS = "the array has two axes, so the last one is axis 1"
_ROWS = "only the number of rows is read, which the two have in common"
_SHAPE = "only the shape is read"
_RESULT_TYPE = "the result type of two does not depend on their order"
_TRUTH = "only its truth value is read, and -1 and 1.001 are truthy, like True"
_DTYPE = "only the dtype is read, which the two have in common"
_MORE_BITS = "more bits for the place leave smaller digits and more passes to the same order"
_CANONICAL = "parameter_dtype gives a dtype that JAX has switched on already"
_FASTER = "a choice between two forms that give the same numbers"
_NOT_ZERO = "a factor leaves what is not 0 above 0"
_INFINITE = "infinity times a factor is infinity"
_WEAK = "a Python integer takes the dtype of what it is combined with"
_SWAP = "two axes are exchanged, whichever is named first"
_BLOCKS = "block by block or at once, the numbers are the same"
_LINES = "a sequence as an image of more lines: the others hold zeros, and the first is taken"
_FLOAT = "as a dtype, float means the default floating dtype"
_NO_NORM = "jnp.zeros((), parameter_dtype(tree))"
_NO_AVERAGE = "jnp.zeros((), canonicalize_dtype(parameter_dtype(params)))"

_BY_FUNCTION = {
    "layers.activations:_TAIL": {("constant", "40.0 -> 40.03999999999999"): _TAIL},
    "layers.activations:_EXP_TAIL": {("constant", "800.0 -> 800.8"): _TAIL},
    "layers.activations:softmax": {
        ("sign", "jnp.exp(below_largest(x)) -> -jnp.exp(below_largest(x))"): "-e / -sum(e) is e / sum(e)",
        ("factor", "jnp.exp(below_largest(x)) -> 1.001 * jnp.exp(below_largest(x))"): "a factor cancels in e / sum(e)",
    },
    "layers.activations:HardSigmoid.forward": {
        ("sign", "x -> -x"): "backward looks only at |x| (and at NaN)",
    },
    "layers.activations:Tanh.forward": {("sign", "y -> -y #2"): "backward looks only at y^2"},
    "layers.activations:Relu.forward": {("factor", "y -> 1.001 * y #2"): _SIGN},
    "layers.activations:LeakyRelu.forward": {
        ("compare", "x > 0 -> x >= 0"): _KINK,
        ("factor", "x -> 1.001 * x"): _SIGN,
    },
    "layers.activations:Elu.forward": {
        ("compare", "x > 0 -> x >= 0"): _KINK,
        ("constant", "0 -> 1 #2"): _OTHER_BRANCH,
    },
    "layers.activations:Selu.forward": {
        ("compare", "x > 0 -> x >= 0"): _KINK,
        ("constant", "0 -> 1 #2"): _OTHER_BRANCH,
    },
    "layers.activations:Gelu.forward": {
        ("name", "inner -> x #2"): _FAR_LEFT,
        ("name", "x -> inner"): _CLIPPED_AGAIN,
    },
    "layers.activations:Silu.forward": {
        ("name", "inner -> x #2"): _FAR_LEFT,
        ("name", "x -> inner"): _CLIPPED_AGAIN,
    },
    "layers.dense:Dense.init": {
        ("unwrap", "jnp.result_type(float) -> float"): _FLOAT,
    },
    "layers.dense:Dense.forward": {("name", "y -> x #3"): _NDIM},
    "layers.attention:Attention._split": {
        (
            "order",
            "x.reshape(*x.shape[:-1], self.heads, -1).swapaxes(1, 2) -> "
            "x.reshape(*x.shape[:-1], self.heads, -1).swapaxes(2, 1)",
        ): _SWAP,
    },
    "layers.attention:_merged": {("order", "heads.swapaxes(1, 2) -> heads.swapaxes(2, 1)"): _SWAP},
    "layers.attention:Attention.backward": {("constant", "3 -> 2"): "the backward of a Dense does not read its width"},
    "layers.attention:_whole": {("name", "a -> blocks #3"): "moving axis 0 to 2 leaves the axes from 4 on"},
    "layers.attention:attend_backward": {("compare", "steps <= BLOCK -> steps >= BLOCK"): _BLOCKS},
    "layers.convolution:Conv.backward": {("constant", "1 -> 0 #3"): _LINES},
    "layers.convolution:_size": {("constant", "1 -> 2"): _LINES},
    "layers.convolution:_like": {("constant", "0 -> 1"): "a sequence has one line, and JAX takes the last there is"},
    "layers.convolution:_drawn": {("unwrap", "jnp.result_type(float) -> float"): _FLOAT},
    "layers.convolution:has_convolutions": {
        (
            "factor",
            "any((isinstance(node, Conv | ConvTranspose) for node in nodes)) -> "
            "1.001 * any((isinstance(node, Conv | ConvTranspose) for node in nodes))",
        ): _TRUTH,
    },
    "layers.embedding:Embedding.init": {("unwrap", "jnp.result_type(float) -> float"): _FLOAT},
    "layers.embedding:Positions.init": {("unwrap", "jnp.result_type(float) -> float"): _FLOAT},
    "layers.augmentation:_corners": {("constant", "0 -> 1 #3"): "a pixel that does not exist has weight 0"},
    "layers.augmentation:_smoothing": {
        (
            "sign",
            "g / jnp.sqrt((g * g).sum(1, keepdims=True)) -> -(g / jnp.sqrt((g * g).sum(1, keepdims=True)))",
        ): "rows and columns change their sign together",
    },
    "layers.augmentation:_floor": {
        ("name", "size -> places"): "outside of the image weights are 0, clipped or not",
        ("name", "near -> places"): "outside of the image weights are 0, clipped or not",
    },
    "layers.augmentation:interpolate": {
        ("name", "at -> y #2"): _ROWS,
        ("name", "x -> entries"): _DTYPE,
    },
    "layers.embedding:Embedding._existing": {
        ("name", "tokens -> x"): "a token is below 0 in every dtype or in none",
    },
    "layers.normalization:GroupNorm.backward": {("name", "axes -> _"): "both groupings have the same axes"},
    "layers.normalization:RmsNorm.forward": {("name", "h -> inverse"): "only dtype and number of axes are read"},
    "layers.normalization:_normalized": {("name", "x -> variance"): _DTYPE},
    "layers.recurrent:Recurrent._bias_starts": {
        ("unwrap", "jnp.result_type(float) -> float"): _FLOAT,
        ("unwrap", "jnp.asarray(start, dtype) -> start"): "the sum has the dtype of the biases that were drawn",
    },
    "layers.recurrent:Recurrent._biases": {
        ("factor", "has_any -> 1.001 * has_any"): _TRUTH,
        ("sign", "has_any -> -has_any"): _TRUTH,
    },
    "model:_floating": {
        ("statement", "a = jnp.asarray(a) -> pass"): "NumPy's arrays have a dtype and astype, too",
        ("unwrap", "jnp.asarray(a) -> a"): "NumPy's arrays have a dtype and astype, too",
    },
    "model:predict": {
        ("unwrap", "np.asarray(rows) -> rows"): "tokens are compared alike as arrays of either",
        ("name", "rows -> x"): "what is traced stays the same array, and nothing else is traced",
    },
    "generation:generate": {
        ("unwrap", "np.asarray(tokens) -> tokens"): "tokens are compared alike as arrays of either",
    },
    "losses:SoftmaxCrossEntropy.check_targets": {
        (
            "branch",
            "targets if self.no_target is None else targets[targets != self.no_target] -> "
            "targets[targets != self.no_target]",
        ): "no class is None, so all are left",
    },
    "losses:SoftmaxCrossEntropy.count": {("sign", "-1 -> 1 #2"): _LAST_AXIS},
    "schedules:Warmup.value_at": {("name", "step -> steps #2"): _DTYPE},
    "layers.embedding:Embedding.forward": {
        ("constant", "0 -> 1"): "what is read for a token that does not exist is replaced by NaN",
        ("name", "x -> tokens"): "backward converts the tokens again",
    },
    "layers.normalization:BatchNorm.init": {
        ("name", "scale -> shift #2"): _SHAPE,
        ("name", "shift -> scale #2"): _SHAPE,
        ("unwrap", "jnp.zeros_like(shift) -> shift"): "shift is drawn as 0",
        ("factor", "jnp.zeros_like(shift) -> 1.001 * jnp.zeros_like(shift)"): _ZERO,
        ("sign", "shift -> -shift"): _ZERO,
    },
    "layers.normalization:_Norm.init": {("sign", "jnp.zeros(in_shape[-1:]) -> -jnp.zeros(in_shape[-1:])"): _ZERO},
    "layers.recurrent:Rnn.forward": {("sign", "h -> -h #2"): "backward looks only at h^2"},
    "layers.recurrent:_rows": {
        ("sign", "a.reshape(-1, a.shape[-1]) -> -a.reshape(-1, a.shape[-1])"): "both factors of every product are rows",
    },
    "layers.shapes:Rescale.forward": {
        ("sign", "not jnp.issubdtype(x.dtype, jnp.floating) -> -(not jnp.issubdtype(x.dtype, jnp.floating))"): _TRUTH,
        (
            "factor",
            "not jnp.issubdtype(x.dtype, jnp.floating) -> 1.001 * (not jnp.issubdtype(x.dtype, jnp.floating))",
        ): _TRUTH,
        ("sign", "is_integer -> -is_integer"): _TRUTH,
        ("factor", "is_integer -> 1.001 * is_integer"): _TRUTH,
        ("order", "jnp.result_type(self.scale, float) -> jnp.result_type(float, self.scale)"): _RESULT_TYPE,
    },
    "layers.shapes:Standardize.init": {
        ("sign", "self.mean -> -self.mean"): _SHAPE,
        ("factor", "self.mean -> 1.001 * self.mean"): _SHAPE,
        ("sign", "self.deviation -> -self.deviation"): _SHAPE,
        ("factor", "self.deviation -> 1.001 * self.deviation"): _SHAPE,
    },
    "layers.shapes:Standardize.forward": {
        ("sign", "not jnp.issubdtype(x.dtype, jnp.floating) -> -(not jnp.issubdtype(x.dtype, jnp.floating))"): _TRUTH,
        (
            "factor",
            "not jnp.issubdtype(x.dtype, jnp.floating) -> 1.001 * (not jnp.issubdtype(x.dtype, jnp.floating))",
        ): _TRUTH,
        ("sign", "is_integer -> -is_integer"): _TRUTH,
        ("factor", "is_integer -> 1.001 * is_integer"): _TRUTH,
        ("order", "jnp.result_type(self.mean, float) -> jnp.result_type(float, self.mean)"): _RESULT_TYPE,
    },
    "layers.shapes:standardize": {
        ("name", "a -> x #2"): "what is finite is so in float64, too",
        ("name", "a -> x #5"): "the first row is the same in either, and becomes float64 beside the mean",
    },
    "layers.composition:_keys": {
        ("drop", "key is None or count == 0 -> key is None"): "no keys at all are no keys either way",
    },
    "layers.composition:_both": {
        ("name", "dx -> other"): "they are gradients of one x: both are None, or neither",
    },
    "layers.composition:Residual.backward": {
        ("order", "_both(dx, other_dx) -> _both(other_dx, dx)"): "a sum of two does not depend on their order",
    },
    "layers.composition:Parallel.init": {
        ("constant", "1 -> 0"): "only the check of shapes reads it, which the tests of errors cover",
        ("constant", "1 -> 2"): "only the check of shapes reads it, which the tests of errors cover",
    },
    "layers.composition:Parallel.forward": {
        (
            "reverse",
            "tuple(itertools.accumulate((y.shape[-1] for y in ys)))[:-1] -> "
            "tuple(itertools.accumulate((y.shape[-1] for y in ys)))",
        ): "the end of the last output splits off an empty part, which no layer is given",
        ("name", "ends -> x"): "where outputs are added nobody reads where one ends",
    },
    "losses:_sum_outputs": {("sign", "-1 -> 1 #2"): _LAST_AXIS},
    "losses:SoftmaxCrossEntropy.backward": {("name", "p -> t #2"): _NDIM},
    "losses:SoftmaxCrossEntropy.correct": {
        ("sign", "-1 -> 1 #6"): _LAST_AXIS,
        ("function", "logits.max(-1) -> logits.min(-1)"): "a NaN is the smallest of its row as well as the largest",
        ("name", "logits -> is_number"): _ROWS,
        ("name", "logits -> targets #4"): _ROWS,
        ("sign", "-1 -> 1 #5"): _LAST_AXIS,
    },
    "losses:SigmoidBinaryCrossEntropy.backward": {("name", "logits -> t #2"): _NDIM},
    "losses:SigmoidBinaryCrossEntropy.correct": {
        ("name", "logits -> right"): _ROWS,
        ("name", "logits -> targets #4"): _ROWS,
        ("sign", "-1 -> 1 #2"): _LAST_AXIS,
    },
    "losses:AbsoluteError.forward": {("factor", "r -> 1.001 * r"): _SIGN},
    "losses:Huber.forward": {("compare", "size <= self.delta -> size < self.delta"): _KINK},
    "losses:Poisson.forward": {
        ("constant", "800 -> 801"): "e^800 and e^801 are both infinite in float64, and so is the loss",
    },
    "losses:Poisson.backward": {("name", "rates -> t #2"): _NDIM},
    "model:mean_weights": {
        ("constant", "1 -> 2 #2"): "where the sum is 0 every weight is, and 0 over anything is 0",
    },
    "training.epochs:_whole": {
        (
            "statement",
            "data = Batch(*jax.tree.map(jnp.asarray, tuple(data))) -> pass",
        ): "every caller is compiled, so its data are arrays already",
    },
    "training.rows:Rows._stand_in": {
        ("factor", "np.asarray(self.data.weights) -> 1.001 * np.asarray(self.data.weights)"): _NOT_ZERO,
        ("unwrap", "np.asarray(self.data.weights) -> self.data.weights"): "they are asked only whether they are 0",
        (
            "branch",
            "weights if self.numbers is None else weights[self.numbers] -> weights[self.numbers]",
        ): "weights[None] has one axis more, and flatnonzero flattens it",
        (
            "unwrap",
            "int(self.numbers[counting[0]]) -> self.numbers[counting[0]]",
        ): "one of NumPy's integers is a row's number, too",
    },
    "training.rows:only": {
        ("name", "weights -> kept #3"): "a False in place of the 0 becomes a 0 of the weights' dtype",
    },
    "training.stopping:EarlyStopping.start": {
        ("factor", "jnp.full((), jnp.inf, dtype) -> 1.001 * jnp.full((), jnp.inf, dtype)"): _INFINITE,
        ("sign", "jnp.int32(0) -> -jnp.int32(0)"): _ZERO,
        ("sign", "jnp.int32(0) -> -jnp.int32(0) #2"): _ZERO,
    },
    "training.stopping:ReduceOnPlateau.start": {
        ("factor", "np.float64(np.inf) -> 1.001 * np.float64(np.inf)"): _INFINITE,
        ("sign", "np.int64(0) -> -np.int64(0)"): _ZERO,
        ("sign", "np.int64(0) -> -np.int64(0) #2"): _ZERO,
    },
    "metrics:_confusion": {
        ("compare", "classes < count -> classes <= count"): "such a row lies beyond the matrix, and is dropped there",
    },
    "metrics:reliability": {("constant", "1 -> 2 #3"): "what an empty bin is divided by does not count: it is NaN"},
    "metrics:_rate": {
        ("factor", "jnp.cumsum(weights) -> 1.001 * jnp.cumsum(weights)"): "a factor cancels in the fraction",
        ("name", "total -> weights"): _DTYPE,
    },
    "metrics:_at_class": {("constant", "1 -> 0 #2"): "whether there is such a class is the second result"},
    "sweeps.program:over_runs": {
        (
            "factor",
            "jax.tree.leaves(own)[0].shape[0] -> 1.001 * jax.tree.leaves(own)[0].shape[0]",
        ): "all runs at once are the same as one portion of all runs",
    },
    "sweeps.space:put": {
        ("factor", "int -> 1.001 * int"): "the type of a variable is not evaluated",
    },
    "inspection._saliency:_one_logit": {
        ("name", "chosen -> outputs"): "in a compiled function all arrays are traced, outside of one none is",
    },
    "_xla.interleaving:summed": {
        ("constant", "0 -> 1"): _DTYPE,
        ("constant", "1 -> 2 #6"): "a window of one entry has no gaps",
    },
    "_xla.interleaving:_are_disjoint": {
        ("constant", "1 -> 0"): _FASTER,
        ("constant", "1 -> 0 #2"): _FASTER,
    },
    "_xla.channel_sums:channel_sums": {
        ("name", "rows -> a #2"): _FASTER,
        ("drop", "len(rows) % n -> len(rows)"): _FASTER,
    },
    "_xla.materialized:materialized": {
        ("branch", "jax.default_backend() != 'cpu' -> not jax.default_backend() != 'cpu'"): _FASTER,
        ("compare", "first < 0 -> first <= 0"): "no number is above 0 and not above it",
    },
    "_xla.banded:_patches": {("name", "n -> v"): "zeros beyond the last entry that a product reads"},
    "_xla.convolutions:convolved": {("name", "w -> x #4"): _FASTER},
    "_xla.convolutions:kernel_gradient": {
        ("sign", "w -> -w"): _SHAPE,
        ("name", "w -> dy #3"): _FASTER,
        ("name", "w -> dy #4"): _FASTER,
        ("branch", "banded.outputs_at_once(w, window) if _on_cpu() else None -> None"): _FASTER,
        (
            "branch",
            "banded.outputs_at_once(w, window) if _on_cpu() else None -> banded.outputs_at_once(w, window)",
        ): _FASTER,
    },
    "_xla.convolutions:input_gradient": {
        ("drop", "_on_cpu() and banded.is_narrow(dy, w, image, window) -> _on_cpu()"): _FASTER,
    },
    "_xla.canonical:input_gradient": {
        ("order", "w[::-1, ::-1].swapaxes(2, 3) -> w[::-1, ::-1].swapaxes(3, 2)"): "two axes change places",
    },
    "inspection._saliency:saliency": {
        ("constant", "1 -> 2"): _ROWS,
        ("reverse", "x.shape[:1] -> x.shape"): _ROWS,
    },
    "inspection._landscape:landscape": {
        ("compare", "at_once == 1 -> at_once != 1"): "how many losses are computed at a time changes none of them",
    },
    "inspection._landscape:_like_filters": {("name", "w -> n"): _NDIM},
    "datasets._split:_are_whole": {
        ("unwrap", "bool(np.all(y == np.round(y))) -> np.all(y == np.round(y))"): "only its truth value is read",
    },
    "datasets._text:_published_content": {("name", "file -> content"): "whoever calls it names the file"},
    "datasets._tokens:_code_points": {
        (
            "factor",
            "np.frombuffer(text.encode('utf-32-le', 'surrogatepass'), '<u4') -> "
            "1.001 * np.frombuffer(text.encode('utf-32-le', 'surrogatepass'), '<u4')",
        ): "code points are only compared with each other",
    },
    "datasets._tokens:Vocabulary.decode": {("name", "array -> tokens #3"): "the same tokens, before they are an array"},
    "_xla.threefry:quick": {
        ("unwrap", "str(jax.random.key_impl(key)) -> jax.random.key_impl(key)"): "a known generator has its name there",
    },
    "_xla.threefry:threefry": {
        ("statement", "key = jax.lax.optimization_barrier(key) -> pass"): "the same numbers, only compiled faster",
        ("constant", "1 -> 2"): "the key has two parts, and JAX reads the last in place of a third",
        ("constant", "1 -> 2 #2"): "the key has two parts, and JAX reads the last in place of a third",
        ("unwrap", "jnp.uint32(_PARITY) -> _PARITY"): _WEAK,
        ("unwrap", "jnp.uint32(rotation) -> rotation"): _WEAK,
        ("unwrap", "jnp.uint32(32 - rotation) -> 32 - rotation"): _WEAK,
        ("unwrap", "jnp.uint32(block + 1) -> block + 1"): _WEAK,
    },
    "_xla.threefry:_numbered": {("name", "low -> count"): "one 0 is broadcast to the shape of the others"},
    "_xla.threefry:_bits": {("unwrap", "jnp.uint64(32) -> 32"): _WEAK},
    "_xla.threefry:_fold_in": {
        ("unwrap", "jnp.uint32(0) -> 0"): _WEAK,
        ("unwrap", "jnp.asarray(data, jnp.uint32) -> data"): "jax.random.fold_in has made a uint32 of it",
    },
    "training.steps:step": {("unwrap", "quick(state.key) -> state.key"): "the same numbers, only compiled faster"},
    "_xla.shuffling:shuffled": {
        ("unwrap", "max(1, (n - 1).bit_length()) -> (n - 1).bit_length()"): "one row has one order",
        ("constant", "1 -> 0"): "one row has one order",
        ("constant", "1 -> 2"): _MORE_BITS,
        ("arithmetic", "n - 1 -> n + 1"): _MORE_BITS,
        ("drop", "n - 1 -> n"): _MORE_BITS,
        ("constant", "1 -> 0 #2"): _MORE_BITS,
        ("constant", "32 -> 33"): "another pass over digits that are all 0 keeps the order",
    },
    "_xla.in_place:overwriting": {
        ("factor", "first_layer.ravel()[0] -> 1.001 * first_layer.ravel()[0]"): "a factor keeps its sign",
        ("constant", "0 -> 1 #3"): "no number is below 0 and above 1",
        ("constant", "0 -> 1 #4"): "what stands where the condition never holds is never taken",
        ("name", "grads -> updates"): "the first layer's update is ready no earlier than its gradient",
        ("name", "updates -> grads"): "where no gradient has an entry, no update has one",
        ("sign", "first_layer.ravel()[0] -> -first_layer.ravel()[0]"): "no number is below and above 0",
        ("constant", "0 -> 1"): "every entry of the first gradient is ready equally late",
        ("compare", "last < 0 -> last <= 0"): "no number is 0 and above",
        ("compare", "last > 0 -> last >= 0"): "no number is 0 and below",
    },
    "training.steps:_added": {
        ("name", "p -> update"): "where there is no parameter there is no update",
        ("drop", "p is None or update is None -> update is None"): "where there is no parameter there is no update",
    },
    "training.steps:metrics_of": {
        ("name", "value -> outputs"): _DTYPE,
        ("name", "batch -> outputs #3"): _ROWS,
    },
    "training.steps:mean_of": {("constant", "1 -> 0"): "a mean over no weight is set to NaN below, whatever is here"},
    "training.epochs:plan": {("name", "size -> batch_size #3"): "they differ only where the one batch is full"},
    "training.state:_init_state": {("sign", "jnp.zeros((), jnp.int32) -> -jnp.zeros((), jnp.int32)"): _ZERO},
    "penalties:_ByName.value": {
        ("sign", "jnp.zeros((), parameter_dtype(params)) -> -jnp.zeros((), parameter_dtype(params))"): _ZERO,
        ("factor", "jnp.zeros((), parameter_dtype(params)) -> 1.001 * jnp.zeros((), parameter_dtype(params))"): _ZERO,
    },
    "schedules:ConstantSchedule.value_at": {
        ("arithmetic", "self.value + 0 * step -> self.value - 0 * step"): _ZERO,
    },
    "schedules:CosineRestarts._fixed": {
        (
            "sign",
            "(step - n * self.steps) / self.steps -> -((step - n * self.steps) / self.steps)",
        ): "the cosine of -x is that of x",
    },
    "schedules:CosineRestarts._growing": {("name", "n -> log #5"): _DTYPE},
    "optimizers.transformations:norm": {
        ("sign", f"{_NO_NORM} -> -{_NO_NORM}"): _ZERO,
        ("factor", f"{_NO_NORM} -> 1.001 * {_NO_NORM}"): _ZERO,
        ("name", "largest -> zero #2"): "the two have the same shape and dtype",
        ("constant", "4 -> 5 #2"): "a fifth keeps squares in range as well as a quarter",
    },
    "optimizers.transformations:MaxNorm.update": {("name", "w -> new"): _NDIM, ("name", "w -> u #2"): _NDIM},
    "optimizers.adam:_no_updates": {("sign", "jnp.zeros((), jnp.int32) -> -jnp.zeros((), jnp.int32)"): _ZERO},
    "optimizers.adam:AdaMax.update": {("name", "m -> u"): _DTYPE},
    "optimizers.adam:AmsGrad.update": {
        (
            "order",
            "jax.tree.map(jnp.maximum, state.largest, adam.v) -> jax.tree.map(jnp.maximum, adam.v, state.largest)",
        ): "the maximum of two does not depend on their order",
    },
    "optimizers.adam:Nadam.init": {
        ("sign", f"{_NO_AVERAGE} -> -{_NO_AVERAGE}"): _ZERO,
        ("factor", f"{_NO_AVERAGE} -> 1.001 * {_NO_AVERAGE}"): _ZERO,
        ("unwrap", "canonicalize_dtype(parameter_dtype(params)) -> parameter_dtype(params)"): _CANONICAL,
    },
    "optimizers.muon:_orthogonalized": {
        ("constant", "0 -> 1"): _SIDE,
        ("constant", "1 -> 0"): _SIDE,
        ("compare", "u.shape[0] < u.shape[1] -> u.shape[0] > u.shape[1]"): _SIDE,
        ("transpose", "factor @ gram -> (factor @ gram).T"): _SYMMETRIC,
        ("transpose", "factor -> factor.T"): _SYMMETRIC,
        ("transpose", "gram -> gram.T"): _SYMMETRIC,
        ("transpose", "factor -> factor.T #2"): _SYMMETRIC,
        ("transpose", "total -> total.T"): _SYMMETRIC,
        ("transpose", "factor -> factor.T #3"): _SYMMETRIC,
        ("transpose", "total -> total.T #2"): _SYMMETRIC,
    },
    "optimizers.lookahead:Lookahead.init": {("sign", "jnp.zeros((), jnp.int32) -> -jnp.zeros((), jnp.int32)"): _ZERO},
    "optimizers.muon:_factor": {
        ("transpose", "gram -> gram.T"): _SYMMETRIC,
        ("transpose", "gram -> gram.T #2"): _SYMMETRIC,
    },
    "optimizers.adam:ScheduleFreeAdam.init": {
        ("sign", "start.t -> -start.t"): _ZERO,
        ("sign", f"{_NO_AVERAGE} -> -{_NO_AVERAGE}"): _ZERO,
        ("factor", f"{_NO_AVERAGE} -> 1.001 * {_NO_AVERAGE}"): _ZERO,
        ("unwrap", "canonicalize_dtype(parameter_dtype(params)) -> parameter_dtype(params)"): _CANONICAL,
        ("sign", "c -> -c"): _ZERO,
        ("factor", "c -> 1.001 * c"): _ZERO,
    },
    "optimizers.average:Average.init": {
        ("sign", f"{_NO_AVERAGE} -> -{_NO_AVERAGE}"): _ZERO,
        ("factor", f"{_NO_AVERAGE} -> 1.001 * {_NO_AVERAGE}"): _ZERO,
        ("unwrap", "canonicalize_dtype(parameter_dtype(params)) -> parameter_dtype(params)"): _CANONICAL,
        ("sign", "c -> -c"): _ZERO,
        ("factor", "c -> 1.001 * c"): _ZERO,
    },
    "initializers:Zeros.__call__": {
        ("sign", "jnp.zeros(shape, dtype) -> -jnp.zeros(shape, dtype)"): _ZERO,
        ("factor", "jnp.zeros(shape, dtype) -> 1.001 * jnp.zeros(shape, dtype)"): _ZERO,
    },
    "initializers:Orthogonal.__call__": {
        ("compare", "jnp.diagonal(r) < 0 -> jnp.diagonal(r) <= 0"): "a diagonal of exactly 0 has probability 0",
    },
}
EQUIVALENT = {
    (f"fnnet.{function}", *change): reason
    for function, changes in _BY_FUNCTION.items()
    for change, reason in changes.items()
}
