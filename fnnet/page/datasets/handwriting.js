// fnnet/datasets/handwriting.py: a drawn digit as MNIST would show it. A canvas has no paper to remove, so what is left
// is to cut the ink out, thicken strokes that are thinner than MNIST's, fit it into 20 x 20 and center it in 28 x 28.
import { array } from "../arrays.js";
const [SIDE, BOX, THINNEST, FINE] = [28, 20, 0.1, 160];

// [28, 28] numbers 0 to 255 from ink [H, W] in 0..1; zeros where there is none.
export function digitFromInk(ink) {
  const [H, W] = ink.shape;
  let [left, top, right, bottom] = [W, H, 0, 0];
  for (let i = 0; i < ink.data.length; i++) {
    if (ink.data[i] <= 0.25) continue;
    const [x, y] = [i % W, Math.floor(i / W)];
    [left, right, top, bottom] = [Math.min(left, x), Math.max(right, x + 1), Math.min(top, y), Math.max(bottom, y + 1)];
  }
  if (right === 0) return array([SIDE, SIDE]);
  return centered(fit(cut(ink, top, left, bottom - top, right - left)));
}

// h x w entries from (top, left) on, 0 outside.
function cut(a, top, left, h, w) {
  const [[H, W], part] = [a.shape, array([h, w])];
  for (let y = Math.max(0, -top); y < Math.min(h, H - top); y++)
    for (let x = Math.max(0, -left); x < Math.min(w, W - left); x++)
      part.data[y * w + x] = a.data[(y + top) * W + x + left];
  return part;
}
const padded = (a, n) => cut(a, -n, -n, a.shape[0] + 2 * n, a.shape[1] + 2 * n);
const not = (a) => array(a.shape, a.data.map((v) => 1 - v));
function fit(ink) {
  const fine = resized(ink, FINE);
  const missing = THINNEST * FINE - strokeWidth(fine);
  const thick = missing > 2 ? grown(padded(fine, Math.floor(missing / 2)), missing / 2) : ink;
  const small = resized(thick, BOX).data.map((v) => Math.min(Math.max(v, 0), 1));
  const peak = Math.max(...small);
  return array(sizes(thick, BOX), small.map((v) => v / peak));
}
function strokeWidth(ink) {
  const hole = Math.max(...ink.shape) * 0.015;
  return meanWidth(not(grown(not(grown(padded(ink, Math.floor(hole)), hole)), hole)));
}

// The area of the ink over half the length of its outline, which is the sum of |gradient|.
function meanWidth(ink) {
  const { shape: [H, W], data } = padded(ink, 1);
  let [area, outline] = [0, 0];
  for (let y = 0; y < H - 1; y++)
    for (let i = y * W; i < y * W + W - 1; i++) {
      area += data[i];
      outline += Math.hypot(data[i + W] - data[i], data[i + 1] - data[i]);
    }
  return (2 * area) / outline;
}

// The largest value within a disc around each pixel.
function grown(a, radius) {
  const [[H, W], reach, y] = [a.shape, Math.floor(radius), array(a.shape)];
  for (let dy = -reach; dy <= reach; dy++) {
    const across = Math.floor(Math.sqrt(radius * radius - dy * dy));
    for (let row = Math.max(0, -dy); row < Math.min(H, H - dy); row++)
      for (let dx = -across; dx <= across; dx++)
        for (let x = Math.max(0, -dx); x < Math.min(W, W - dx); x++) {
          const v = a.data[(row + dy) * W + x + dx];
          if (v > y.data[row * W + x]) y.data[row * W + x] = v;
        }
  }
  return y;
}
const sizes = (a, longest) => a.shape.map((n) => Math.max(1, roundEven((longest / Math.max(...a.shape)) * n)));

// Half to even, as Python rounds.
const roundEven = (v) => (v % 1 === 0.5 ? 2 * Math.round(v / 2) : Math.round(v));

// To a longer side of `longest`: area averages to shrink, bilinear interpolation to enlarge, as Pillow has them.
const resized = (a, longest) => resizedTo(a, sizes(a, longest));
export const resizedTo = (a, [h, w]) => alongRows(transposed(alongRows(transposed(a), h)), w);
function transposed(a) {
  const [[H, W], t] = [a.shape, array([a.shape[1], a.shape[0]])];
  a.data.forEach((v, i) => (t.data[(i % W) * H + Math.floor(i / W)] = v));
  return t;
}
function alongRows(a, n) {
  const [[H, W], y] = [a.shape, array([a.shape[0], n])];
  const scale = W / n;
  for (let to = 0; to < n; to++) {
    const [center, reach] = [(to + 0.5) * scale, scale < 1 ? 1 : scale / 2];
    const [first, end] = [Math.max(0, Math.floor(center - reach + 0.5)), Math.min(W, Math.floor(center + reach + 0.5))];
    const weights = Float64Array.from({ length: end - first }, (_, i) => {
      const away = (i + first - center + 0.5) * (1 / Math.max(scale, 1)); // in this order, so that ties fall alike
      return scale < 1 ? Math.max(0, 1 - Math.abs(away)) : Number(away > -0.5 && away <= 0.5);
    });
    const total = weights.reduce((sum, v) => sum + v);
    for (let row = 0; row < H; row++) {
      let sum = 0;
      for (let i = 0; i < weights.length; i++) sum += weights[i] * a.data[row * W + first + i];
      y.data[row * n + to] = sum / total;
    }
  }
  return y;
}
function centered(digit) {
  const [[h, w], image] = [digit.shape, array([SIDE, SIDE])];
  const mass = digit.data.reduce((sum, v) => sum + v, 0);
  const corner = (size, place) => {
    const middle = digit.data.reduce((sum, v, i) => sum + v * place(i), 0) / mass;
    return Math.min(Math.max(roundEven(SIDE / 2 - middle), 0), SIDE - size);
  };
  const [top, left] = [corner(h, (i) => Math.floor(i / w)), corner(w, (i) => i % w)];
  digit.data.forEach((v, i) => (image.data[(top + Math.floor(i / w)) * SIDE + left + (i % w)] = roundEven(255 * v)));
  return image;
}
