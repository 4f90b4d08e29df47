// fnnet/layers/shapes.py: preprocessing as layers, so that it travels with the model.
import { array, map, sizeOf } from "../arrays.js";
export const Rescale = {
  forward: ({ scale }, params, x) => [map((v) => scale * v, x), null],
  backward: ({ scale }, params, residuals, dy) => [[], map((d) => scale * d, dy)],
};

// mean and deviation are one number for all, or an array of the shape of one row.
export const Standardize = {
  forward: ({ mean: m, deviation: s }, params, x) => [each(x, (v, i) => (v - entry(m, i)) / entry(s, i)), null],
  backward: ({ deviation: s }, params, residuals, dy) => [[], each(dy, (d, i) => d / entry(s, i))],
};
const each = (a, f) => array(a.shape, a.data.map(f));
const entry = (number, i) => (number.data ? number.data[i % number.data.length] : number);
const reshaping = (shapeOf) => ({
  forward: (spec, params, x) => [array([x.shape[0], ...shapeOf(spec, x)], x.data), x.shape],
  backward: (spec, params, shape, dy) => [[], array(shape, dy.data)],
});
export const Flatten = reshaping((spec, x) => [sizeOf(x.shape.slice(1))]);
export const Reshape = reshaping((spec) => spec.shape);
