// fnnet/model.py: the one pass that everything else reads, and gradient descent (fnnet/optimizers/sgd.py).
import { array, mapTree } from "./arrays.js";
import { backward, forward } from "./layers/composition.js";
import { LOSSES } from "./losses.js";
export const predict = (model, params, x) => LOSSES[model.loss.kind].predict(forward(model.network, params, x)[0]);

// Forward and, where there are targets, loss and backward; layers: a Map of what went through each, by its name.
export function trace(model, params, x, targets) {
  const [layers, loss] = [new Map(), LOSSES[model.loss.kind]];
  const [outputs, residuals] = forward(model.network, params, x, layers);
  const probabilities = loss.predict(outputs);
  if (targets === undefined) return { x, outputs, probabilities, layers };
  const [perExample, kept] = loss.forward(model.loss, outputs, targets);
  const rows = x.shape[0];
  const value = perExample.data.reduce((sum, l) => sum + l, 0) / rows;
  const doutputs = loss.backward(model.loss, kept, array([rows], new Float64Array(rows).fill(1 / rows)));
  const [grads, dx] = backward(model.network, params, residuals, doutputs, layers);
  return { x, targets, outputs, probabilities, perExample, value, doutputs, grads, dx, layers };
}

// p - learning_rate dp, for every parameter: the updates of Sgd(learning_rate), added.
export const sgd = (params, grads, rate) => mapTree((p, g) => p - rate * g, params, grads);
