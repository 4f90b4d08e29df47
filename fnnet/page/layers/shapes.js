// fnnet/layers/shapes.py: preprocessing as layers, so that it travels with the model.
import { array, map, sizeOf } from "../arrays.js";

export const Rescale = {
  forward: ({ scale }, params, x) => [map((v) => scale * v, x), null],
  backward: ({ scale }, params, residuals, dy) => [[], map((d) => scale * d, dy)],
};

// mean and deviation are one number for all, or an array of the shape of one row.
export const Standardize = {
  forward({ mean, deviation }, params, x) {
    const y = array(x.shape, x.data.map((v, i) => (v - entry(mean, i)) / entry(deviation, i)));
    return [y, null];
  },
  backward: ({ deviation }, params, residuals, dy) => [
    [],
    array(dy.shape, dy.data.map((d, i) => d / entry(deviation, i))),
  ],
};

const entry = (number, i) => (number.data ? number.data[i % number.data.length] : number);

const reshaping = (shapeOf) => ({
  forward: (spec, params, x) => [array([x.shape[0], ...shapeOf(spec, x)], x.data), x.shape],
  backward: (spec, params, shape, dy) => [[], array(shape, dy.data)],
});

export const Flatten = reshaping((spec, x) => [sizeOf(x.shape.slice(1))]);
export const Reshape = reshaping((spec) => spec.shape);
