// fnnet/layers/convolution.py: the same few weights at every place of an image.
import { array } from "../arrays.js";
import { visitAll, windowOver } from "../windows.js";
export const Conv = {
  // y_bho = b_o + sum_ic x_b,hs+id-p,c w_ico, with x = 0 outside. Keeps x.
  forward(spec, { w, b }, x) {
    const [window, O] = [windowOf(spec, x), w.shape[3]];
    const y = array([x.shape[0], ...window.outputs, O]);
    for (let at = 0; b !== null && at < y.data.length; at += O) y.data.set(b.data, at);
    products(spec, window, w, x, (out, image, weight) => (y.data[out] += x.data[image] * w.data[weight]));
    return [y, x];
  },
  // dw_ico = sum_bh x_b,hs+id-p,c dy_bho
  // db_o   = sum_bh dy_bho
  // dx_bmc = sum_hio dy_bho w_ico  over hs + id - p = m
  backward(spec, { w, b }, x, dy) {
    const [dw, db, dx] = [array(w.shape), b === null ? null : array(b.shape), array(x.shape)];
    products(spec, windowOf(spec, x), w, x, (out, image, weight) => {
      dw.data[weight] += x.data[image] * dy.data[out];
      dx.data[image] += dy.data[out] * w.data[weight];
    });
    if (db !== null) dy.data.forEach((d, out) => (db.data[out % db.data.length] += d));
    return [{ w: dw, b: db }, dx];
  },
};
const windowOf = (spec, x) => windowOver(x.shape.slice(1, 3), spec.kernel, spec.stride, spec.dilation, spec.padding);

// visit(entry of y, entry of x, entry of w) for every product; an output sees the channels of its own group.
function products({ groups }, window, w, x, visit) {
  const [C, channels, O] = [x.shape[3], w.shape[2], w.shape[3]];
  visitAll(window, x.shape[0], (out, image, position) => {
    for (let c = 0; c < C; c++) {
      const group = Math.floor(c / channels);
      const weight = (position * channels + (c % channels)) * O;
      const end = ((group + 1) * O) / groups;
      for (let o = (group * O) / groups; o < end; o++) visit(out * O + o, image * C + c, weight + o);
    }
  });
}
