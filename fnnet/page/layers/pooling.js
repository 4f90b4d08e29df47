// fnnet/layers/pooling.py: one number for many neighbors, channel by channel.
import { array } from "../arrays.js";
import { visitAll, windowOver } from "../windows.js";
const windowOf = (spec, shape) => windowOver(shape.slice(1, 3), spec.size, spec.stride ?? spec.size, 1, spec.padding);
const whole = (shape) => windowOver(shape.slice(1, 3), shape.slice(1, 3), 1, 1, "valid");

// y_bhc = max_i x_b,hs+i-p,c. Keeps which entry of x won, the first of equals; dx_bmc = dy_bhc where m is the winner.
const largestIn = (over, outShape) => ({
  forward(spec, params, x) {
    const [window, C] = [over(spec, x.shape), x.shape[3]];
    const y = array(outShape([x.shape[0], ...window.outputs, C]));
    const winner = new Int32Array(y.data.length).fill(-1);
    visitAll(window, x.shape[0], (out, image) => {
      for (let c = 0; c < C; c++) {
        const [to, from] = [out * C + c, image * C + c];
        if (winner[to] < 0 || x.data[from] > y.data[to]) [y.data[to], winner[to]] = [x.data[from], from];
      }
    });
    return [y, { winner, shape: x.shape }];
  },
  backward(spec, params, { winner, shape }, dy) {
    const dx = array(shape);
    winner.forEach((from, to) => (dx.data[from] += dy.data[to]));
    return [[], dx];
  },
});

// y_bhc = sum_i x_b,hs+i-p,c / n_h, n_h entries of window h being no padding; dx_bmc = sum_hi dy_bhc / n_h.
const meanIn = (over, outShape) => ({
  forward(spec, params, x) {
    const [window, C] = [over(spec, x.shape), x.shape[3]];
    const y = array(outShape([x.shape[0], ...window.outputs, C]));
    const n = entries(window, x.shape[0]);
    visitAll(window, x.shape[0], (out, image) => {
      for (let c = 0; c < C; c++) y.data[out * C + c] += x.data[image * C + c] / n[out];
    });
    return [y, x.shape];
  },
  backward(spec, params, shape, dy) {
    const [window, C, dx] = [over(spec, shape), shape[3], array(shape)];
    const n = entries(window, shape[0]);
    visitAll(window, shape[0], (out, image) => {
      for (let c = 0; c < C; c++) dx.data[image * C + c] += dy.data[out * C + c] / n[out];
    });
    return [[], dx];
  },
});
function entries(window, rows) {
  const n = new Float64Array(rows * window.outputs[0] * window.outputs[1]);
  visitAll(window, rows, (out) => n[out]++);
  return n;
}
export const MaxPool = largestIn(windowOf, (shape) => shape);
export const MeanPool = meanIn(windowOf, (shape) => shape);
export const GlobalMaxPool = largestIn((spec, shape) => whole(shape), ([b, , , c]) => [b, c]);
export const GlobalMeanPool = meanIn((spec, shape) => whole(shape), ([b, , , c]) => [b, c]);
