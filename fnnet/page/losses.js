// fnnet/losses.py: how wrong the outputs are, as one number per example, and its gradient. Targets are (B, O).
import { array, map } from "./arrays.js";
import { sigmoid, softmax, softplus } from "./layers/activations.js";
const times = (weight, value) => (weight === 0 ? 0 : weight * value);
function sumOutputs(terms) {
  const [O, sums] = [terms.shape.at(-1), array([terms.shape[0]])];
  terms.data.forEach((term, i) => (sums.data[Math.floor(i / O)] += term));
  return sums;
}
const spread = (dl, like) => array(like.shape, like.data.map((_, i) => dl.data[Math.floor(i / like.shape.at(-1))]));
const SoftmaxCrossEntropy = {
  // l = -sum_c t_c log p_c, with log p_c = z_c - m - log sum_k e^(z_k - m). Keeps p and t.
  forward({ label_smoothing }, z, targets) {
    const [C, s] = [z.shape.at(-1), label_smoothing];
    const t = s === null ? targets : map((v) => (1 - s) * v + s / C, targets);
    const logP = array(z.shape);
    for (let start = 0; start < z.data.length; start += C) {
      const row = z.data.subarray(start, start + C);
      const m = Math.max(...row);
      const total = Math.log(row.reduce((sum, v) => sum + Math.exp(v - m), 0));
      row.forEach((v, c) => (logP.data[start + c] = v - m - total));
    }
    return [sumOutputs(map((tc, lp) => -times(tc, lp), t, logP)), { p: softmax(z), t }];
  },
  // dz = (p - t) dl, for targets that sum to 1
  backward: (spec, { p, t }, dl) => map((pc, tc, d) => (pc - tc) * d, p, t, spread(dl, p)),
  predict: softmax,
};
const SigmoidBinaryCrossEntropy = {
  // l = sum_o t log(1 + e^-z) + (1 - t) log(1 + e^z). Keeps z and t.
  forward: (spec, z, t) => [
    sumOutputs(map((v, to) => times(to, softplus(-v)) + times(1 - to, softplus(v)), z, t)),
    { z, t },
  ],
  // dz = (p - t) dl
  backward: (spec, { z, t }, dl) => map((v, to, d) => (sigmoid(v) - to) * d, z, t, spread(dl, z)),
  predict: (z) => map(sigmoid, z),
};
const SquaredError = {
  // l = sum_o r_o^2, r = z - t. Keeps r.
  forward: (spec, z, t) => [sumOutputs(map((a, b) => (a - b) ** 2, z, t)), map((a, b) => a - b, z, t)],
  // dz = 2 r dl
  backward: (spec, r, dl) => map((v, d) => 2 * v * d, r, spread(dl, r)),
  predict: (z) => z,
};
export const LOSSES = { SigmoidBinaryCrossEntropy, SoftmaxCrossEntropy, SquaredError };
