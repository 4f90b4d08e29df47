// fnnet/layers/dense.py: the linear part of a neuron, for a whole layer and a whole batch at once.
import { array } from "../arrays.js";
export const Dense = {
  // y_bo = sum_i x_bi w_io + b_o, in matrices y = x w + b. Keeps x.
  forward(spec, { w, b }, x) {
    const [I, O] = w.shape;
    const y = array([...x.shape.slice(0, -1), O]);
    for (let row = 0; row * I < x.data.length; row++) {
      if (b !== null) y.data.set(b.data, row * O);
      for (let i = 0; i < I; i++) {
        const xi = x.data[row * I + i];
        for (let o = 0; o < O; o++) y.data[row * O + o] += xi * w.data[i * O + o];
      }
    }
    return [y, x];
  },
  // dw_io = sum_b x_bi dy_bo      dw = x^T dy
  // db_o  = sum_b dy_bo           db = 1^T dy
  // dx_bi = sum_o dy_bo w_io      dx = dy w^T
  backward(spec, { w, b }, x, dy) {
    const [I, O] = w.shape;
    const [dw, db, dx] = [array(w.shape), b === null ? null : array(b.shape), array(x.shape)];
    for (let row = 0; row * I < x.data.length; row++) {
      for (let o = 0; db !== null && o < O; o++) db.data[o] += dy.data[row * O + o];
      for (let i = 0; i < I; i++) {
        const xi = x.data[row * I + i];
        let sum = 0;
        for (let o = 0; o < O; o++) {
          const d = dy.data[row * O + o];
          dw.data[i * O + o] += xi * d;
          sum += d * w.data[i * O + o];
        }
        dx.data[row * I + i] = sum;
      }
    }
    return [{ w: dw, b: db }, dx];
  },
};
