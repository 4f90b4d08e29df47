// fnnet/layers/activations.py: one function of one number, applied to every entry (Softmax: to every row).
import { array, map } from "../arrays.js";

// y = f(x), dx = dy f'(x); the slope may be written with x or with y.
const elementwise = (f, slope) => ({
  isElementwise: true,
  forward(spec, params, x) {
    const y = map((v) => f(v, spec), x);
    return [y, { x, y }];
  },
  backward: (spec, params, { x, y }, dy) => [[], map((d, v, w) => d * slope(v, w, spec), dy, x, y)],
});
const ALPHA = 1.6732632423543772848170429916717;
const SCALE = 1.0507009873554804934193349852946;
const U = Math.sqrt(2 / Math.PI);
export const sigmoid = (x) => (x >= 0 ? 1 / (1 + Math.exp(-x)) : Math.exp(x) / (1 + Math.exp(x)));
export const softplus = (x) => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
export const Identity = elementwise((x) => x, () => 1);
export const Sigmoid = elementwise(sigmoid, (x, y) => y * (1 - y));
export const HardSigmoid = elementwise((x) => Math.min(Math.max(x + 3, 0), 6) / 6, (x) => (Math.abs(x) < 3 ? 1 / 6 : 0));
export const Tanh = elementwise(Math.tanh, (x, y) => 1 - y * y);
export const Relu = elementwise((x) => Math.max(x, 0), (x) => (x > 0 ? 1 : 0));
export const LeakyRelu = elementwise((x, { slope }) => (x > 0 ? x : slope * x), (x, y, { slope }) => (x > 0 ? 1 : slope));
const elu = (x, alpha) => (x > 0 ? x : alpha * Math.expm1(x));
export const Elu = elementwise((x, { alpha }) => elu(x, alpha), (x, y, { alpha }) => (y > 0 ? 1 : y + alpha));
export const Selu = elementwise((x) => SCALE * elu(x, ALPHA), (x, y) => (y > 0 ? SCALE : y + SCALE * ALPHA));
const geluSlope = (x, y, spec) => distribution(x, spec) + x * density(x, spec);
export const Gelu = elementwise((x, spec) => x * distribution(x, spec), geluSlope);
export const Silu = elementwise((x) => x * sigmoid(x), (x) => sigmoid(x) * (1 + x * (1 - sigmoid(x))));
export const Softplus = elementwise(softplus, sigmoid);
export const Exp = elementwise(Math.exp, (x, y) => y);
export const Softmax = {
  // y_c = e^(x_c - m) / sum_k e^(x_k - m), m the row's largest. Keeps y.
  forward(spec, params, x) {
    const y = softmax(x);
    return [y, y];
  },
  // dx_c = y_c (dy_c - sum_k dy_k y_k)
  backward(spec, params, y, dy) {
    const [C, dx] = [y.shape.at(-1), array(y.shape)];
    for (let start = 0; start < y.data.length; start += C) {
      let sum = 0;
      for (let k = start; k < start + C; k++) sum += dy.data[k] * y.data[k];
      for (let c = start; c < start + C; c++) dx.data[c] = y.data[c] * (dy.data[c] - sum);
    }
    return [[], dx];
  },
};
export function softmax(x) {
  const [C, y] = [x.shape.at(-1), array(x.shape)];
  for (let start = 0; start < x.data.length; start += C) {
    const row = x.data.subarray(start, start + C);
    const e = row.map((v) => Math.exp(v - Math.max(...row)));
    const total = e.reduce((sum, v) => sum + v);
    y.data.set(e.map((v) => v / total), start);
  }
  return y;
}

// P and P' of Gelu: the distribution function of N(0, 1) and its density, or the paper's approximation.
function distribution(x, { approximate }) {
  return approximate ? sigmoid(2 * U * (x + 0.044715 * x * x * x)) : 0.5 * erfc(-x * Math.SQRT1_2);
}
function density(x, spec) {
  if (!spec.approximate) return Math.exp(-0.5 * x * x) / Math.sqrt(2 * Math.PI);
  const p = distribution(x, spec);
  return 2 * p * (1 - p) * U * (1 + 3 * 0.044715 * x * x);
}

// JavaScript has no erfc: its power series up to 2.5, and its continued fraction from there on.
function erfc(x) {
  if (x < 0) return 2 - erfc(-x);
  const e = (2 / Math.sqrt(Math.PI)) * Math.exp(-x * x);
  if (x < 2.5) {
    let [term, sum] = [x, x];
    for (let n = 1; n < 60; n++) sum += term *= (2 * x * x) / (2 * n + 1);
    return 1 - e * sum;
  }
  let fraction = x;
  for (let n = 80; n > 0; n--) fraction = x + n / 2 / fraction;
  return e / 2 / fraction;
}
