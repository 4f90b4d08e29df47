"""Optimizers and schedules as formulas of all gradients and of the step: what their recurrences must come to.

Written from the sources that the docstrings name, in closed form where there is one: not `m <- b m + (1 - b) g` but the
sum of all gradients so far with their weights.

    optimizer(o, w, g, name) -> update    o the numbers, w and g one parameter and its gradient at every step so far,
                                          o.grads the gradients of all parameters at the last
    schedule(s, t) -> number              s the numbers, t = 0, 1, 2, ...
"""

import math
from fractions import Fraction
from functools import reduce

import numpy as np

from .namespace import MATH, NUMPY
from .scalars import lifted

HALF = Fraction(1, 2)


def decayed(rate, terms):
    """sum_i rate^(t - i) terms_i, the last with weight 1."""
    return sum(term * rate**age for age, term in enumerate(reversed(terms)))


def mean(rate, terms):
    """The average that a recurrence a <- rate a + (1 - rate) term from 0 gives."""
    return (1 - rate) * decayed(rate, terms)


def unbiased(rate, terms):
    return mean(rate, terms) / (1 - rate ** len(terms))


def squares(terms):
    return [term * term for term in terms]


def root(a):
    return NUMPY.sqrt(a)


def norm(arrays):
    """Euclidean, of all entries together."""
    return sum((a * a).sum() for a in arrays)[()].sqrt()


def sgd(o, w, g, name):
    return -o.learning_rate * g[-1]


def momentum(o, w, g, name):
    return -o.learning_rate * decayed(o.momentum, g)


def nesterov(o, w, g, name):
    return -o.learning_rate * (g[-1] + o.momentum * decayed(o.momentum, g))


def lion(o, w, g, name):
    before = mean(o.beta2, g[:-1])
    mixed = o.beta1 * before + (1 - o.beta1) * g[-1]
    return -o.learning_rate * NUMPY.where(mixed > 0, 1, -1)


def lion_momentum(o, w, g, name):
    return mean(o.beta2, g)


def adam(o, w, g, name):
    return -o.learning_rate * unbiased(o.beta1, g) / (root(unbiased(o.beta2, squares(g))) + o.epsilon)


def adamw(o, w, g, name):
    return adam(o, w, g, name) - (o.learning_rate * o.weight_decay * w[-1] if name == "w" else 0)


def amsgrad(o, w, g, name):
    seen = [mean(o.beta2, squares(g[: n + 1])) for n in range(len(g))]
    largest = reduce(NUMPY.maximum, seen) / (1 - o.beta2 ** len(g))
    return -o.learning_rate * unbiased(o.beta1, g) / (root(largest) + o.epsilon)


def nadam(o, w, g, name):
    t, b = len(g), o.beta1

    def mu(s):
        return b if o.momentum_decay is None else b * (1 - HALF * Fraction(96, 100) ** (s * o.momentum_decay))

    c, c_next = (1 - math.prod([mu(s + 1) for s in range(n)], start=lifted(1)) for n in (t, t + 1))
    n = (1 - mu(t)) * g[-1] / c + mu(t + 1) * mean(b, g) / c_next
    return -o.learning_rate * n / (root(unbiased(o.beta2, squares(g))) + o.epsilon)


def adamax(o, w, g, name):
    sizes = [(NUMPY.abs(each) + o.epsilon) * o.beta2**age for age, each in enumerate(reversed(g))]
    return -o.learning_rate * unbiased(o.beta1, g) / reduce(NUMPY.maximum, sizes)


def adagrad(o, w, g, name):
    start = 0 if o.initial is None else o.initial
    return -o.learning_rate * g[-1] / (root(start + sum(squares(g))) + o.epsilon)


def rmsprop(o, w, g, name):
    def direction(g):
        variance = mean(o.decay, squares(g)) - (mean(o.decay, g) ** 2 if o.centered else 0)
        return g[-1] / (root(variance) + o.epsilon)

    if o.momentum is None:
        return -o.learning_rate * direction(g)
    return -o.learning_rate * decayed(o.momentum, [direction(g[: n + 1]) for n in range(len(g))])


def adadelta(o, w, g, name):
    steps = []
    for n in range(len(g)):
        of_steps = mean(o.decay, squares(steps)) if steps else 0
        steps.append(root((of_steps + o.epsilon) / (mean(o.decay, squares(g[: n + 1])) + o.epsilon)) * g[n])
    return -o.learning_rate * steps[-1]


def clip_by_value(o, w, g, name):
    low = NUMPY.where(g[-1] < -o.limit, -o.limit, g[-1])
    return NUMPY.where(low > o.limit, o.limit, low)


def clip_by_norm(o, w, g, name):
    size = norm([g[-1]])
    return g[-1] if size <= o.limit else g[-1] * o.limit / size


def clip_by_global_norm(o, w, g, name):
    size = norm(o.grads.values())
    return g[-1] if size <= o.limit else g[-1] * o.limit / size


def noise(o, w, g, name):
    return g[-1] + o.scale * np.arange(1, g[-1].size + 1).reshape(g[-1].shape)


def weight_decay(o, w, g, name):
    return g[-1] - o.rate * w[-1] if name == "w" else g[-1]


def max_norm(o, w, g, name):
    if name != "w":
        return g[-1]
    columns = (w[-1] + g[-1]).reshape(-1, w[-1].shape[-1]).T
    sizes = [norm([column]) for column in columns]
    shrunk = [column if s <= o.radius else column * o.radius / s for column, s in zip(columns, sizes, strict=True)]
    return NUMPY.stack(shrunk).T.reshape(w[-1].shape) - w[-1]


def noisy_decayed_sgd(o, w, g, name):
    """Chain((GradientNoise(scale), Sgd(eta), WeightDecay(rate)))."""
    noisy, descent, decay = o.transformations
    return -descent.learning_rate * noise(noisy, w, g, name) - (decay.rate * w[-1] if name == "w" else 0)


def orthogonalized(o, u):
    """u f(u^T u), by eigenvalues of the smaller Gram matrix, which has two: what Newton-Schulz does to each."""
    if u.shape[0] < u.shape[1]:
        return orthogonalized(o, u.T).T
    x = u / (norm([u]) + o.epsilon)
    (p, q), (_, r) = gram = x.T @ x
    half, away = (p + r) / 2, (((p - r) / 2) ** 2 + q * q).sqrt()
    (big, f_big), (small, f_small) = ((value, gained(value, o.steps)) for value in (half + away, half - away))
    slope = (f_big - f_small) / (big - small)
    return x @ (np.eye(2, dtype=int) * (f_big - slope * big) + slope * gram)


def gained(square, steps):
    """By what factor a singular value of this square has grown."""
    factor = lifted(1)
    for _ in range(steps):
        now = square * factor * factor
        factor = factor * (Fraction("3.4445") - Fraction("4.7750") * now + Fraction("2.0315") * now * now)
    return factor


def muon(o, w, g, name):
    v = decayed(o.momentum, g)
    u = g[-1] + o.momentum * v if o.nesterov else v
    matrix = u.reshape(-1, u.shape[-1])
    rows, columns = matrix.shape
    longer = lifted(Fraction(max(rows, columns), rows)).sqrt()
    return (-o.learning_rate * longer * orthogonalized(o, matrix)).reshape(u.shape)


def muon_and_momentum(o, w, g, name):
    """Partition(Matrices(kernels=True), Muon(..), Sgd(.., momentum))."""
    return muon(o.chosen, w, g, name) if name == "w" else momentum(o.rest, w, g, name)


def schedule_free_z(o, w, g, name):
    """z after every update."""
    z, places = w[0], []
    for n in range(len(g)):
        direction = g[n] / (root(unbiased(o.beta2, squares(g[: n + 1]))) + o.epsilon)
        decay = o.weight_decay * w[n] if name == "w" and o.weight_decay is not None else 0
        z = z - line(o.learning_rate, n) * (direction + decay)
        places.append(z)
    return places


def schedule_free_mean(o, w, g, name):
    weights = [line(o.learning_rate, n) ** 2 for n in range(len(g))]
    places = schedule_free_z(o, w, g, name)
    if sum(weights) == 0:
        return w[0]
    return sum(weight * z for weight, z in zip(weights, places, strict=True)) / sum(weights)


def schedule_free(o, w, g, name):
    x, z = schedule_free_mean(o, w, g, name), schedule_free_z(o, w, g, name)[-1]
    return z + o.beta1 * (x - z) - w[-1]


def lookahead(o, w, g, name):
    """Around Sgd(eta)."""
    rounds = len(g) // o.steps
    if len(g) % o.steps:
        return sgd(o.inner, w, g, name)
    return w[0] - o.rate * o.inner.learning_rate * sum(g[: rounds * o.steps]) - w[-1]


def exponential_weight(o, i, t):
    return o.decay ** (t - i)


def equal_weight(o, i, t):
    """Average(RunningMean(1)): none before theta_1, and only the newest before that."""
    return 1 if 1 <= i <= t or t == i == 0 else 0


def wave(x):
    """Half a cosine wave from 1 at 0 to 0 at 1."""
    return (1 + (MATH.pi * x).cos()) / 2 if x < 1 else lifted(0)


def constant(s, t):
    return s.value


def exponential(s, t):
    return s.start * s.rate ** (t / s.steps)


def stairs(s, t):
    return s.start * s.rate ** math.floor(t / s.steps)


def inverse_time(s, t):
    return s.start / (1 + s.rate * t)


def line(s, t):
    return s.stop if t >= s.steps else s.start + (s.stop - s.start) * t / s.steps


def polynomial(s, t):
    return s.stop if t >= s.steps else s.stop + (s.start - s.stop) * ((s.steps - t) / s.steps) ** s.power


def cosine(s, t):
    return s.stop + (s.start - s.stop) * wave(t / s.steps)


def restarts(s, t):
    """Cycle by cycle, as one would count on paper."""
    cycle, begin, end = 0, lifted(0), s.steps
    growth = 1 if s.growth is None else s.growth
    while t >= end:
        cycle, begin, end = cycle + 1, end, (s.steps * sum(growth**n for n in range(cycle + 2))).rint()
    top = 1 if s.shrink is None else s.shrink**cycle
    return s.stop + (s.start - s.stop) * top * wave((t - begin) / (end - begin))


def one_cycle(s, t):
    rise, start = s.rise * s.steps, s.peak / s.start_divisor
    if t < rise:
        return start + (s.peak - start) * (1 - wave(t / rise))
    stop = start / s.stop_divisor
    return stop + (s.peak - stop) * wave((t - rise) / (s.steps - rise))


def warmup_stable_decay(s, t):
    if t < s.warmup:
        return s.peak * (t + 1) / s.warmup
    over = t - s.warmup - s.stable
    if over <= 0:
        return s.peak
    return s.stop if over >= s.decay else s.peak + (s.stop - s.peak) * over / s.decay


def noam(s, t):
    """Up to `warmup` in a straight line to the height that falls as 1 / sqrt(t) from there."""
    n = lifted(t + 1)
    return s.scale / (s.width.sqrt() * n.sqrt() if n >= s.warmup else s.width.sqrt() * s.warmup.sqrt() * s.warmup / n)


def running_mean(s, t):
    return Fraction(t - 2, t - 1) if t > 2 else 0


def warmup(s, t):
    """Before a `LinearSchedule`."""
    if t < s.steps:
        return s.schedule.start * (t + 1) / s.steps
    return line(s.schedule, t - int(float(s.steps.value)))
