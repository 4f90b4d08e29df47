// fnnet/layers/composition.py: layers made of layers, and the table of all layers that a page can run.
import { map } from "../arrays.js";
import * as activations from "./activations.js";
import * as convolution from "./convolution.js";
import * as dense from "./dense.js";
import * as pooling from "./pooling.js";
import * as shapes from "./shapes.js";

// One layer after the other. With h_i = f_i(h_(i-1)), the chain rule walks the layers backwards.
const Serial = {
  forward({ layers }, params, x, notes) {
    const residuals = [];
    layers.forEach((layer, i) => ([x, residuals[i]] = forward(layer, params[i], x, notes)));
    return [x, residuals];
  },
  backward({ layers }, params, residuals, dy, notes) {
    const grads = [];
    for (let i = layers.length - 1; i >= 0; i--)
      [grads[i], dy] = backward(layers[i], params[i], residuals[i], dy, notes);
    return [grads, dy];
  },
};

// y = x + f(x), so x reaches y along two paths, and their gradients add up: dx = dy + dy f'(x).
const Residual = {
  forward({ inner }, params, x, notes) {
    const [y, residuals] = forward(inner, params, x, notes);
    return [map((a, b) => a + b, y, x), residuals];
  },
  backward({ inner }, params, residuals, dy, notes) {
    const [grads, dx] = backward(inner, params, residuals, dy, notes);
    return [grads, map((a, b) => a + b, dy, dx)];
  },
};
export const LAYERS = { ...activations, ...convolution, ...dense, ...pooling, ...shapes, Residual, Serial };

// A layer's own forward and backward; notes, a Map from the layer's name, keeps what went through it.
export function forward(spec, params, x, notes) {
  const [y, residuals] = LAYERS[spec.kind].forward(spec, params, x, notes);
  if (spec.name !== undefined) notes?.set(spec.name, { spec, params, x, y, residuals });
  return [y, residuals];
}
export function backward(spec, params, residuals, dy, notes) {
  const [grads, dx] = LAYERS[spec.kind].backward(spec, params, residuals, dy, notes);
  if (notes?.has(spec.name)) Object.assign(notes.get(spec.name), { grads, dy, dx });
  return [grads, dx];
}
