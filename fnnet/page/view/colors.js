// Numbers as color: blue below zero, orange above, the color of the paper at zero; scaled by the largest magnitude.
import { largest } from "../arrays.js";

const SCALES = {
  light: { negative: [20, 90, 170], zero: [255, 255, 255], positive: [205, 85, 0], ink: [25, 28, 33] },
  dark: { negative: [90, 170, 255], zero: [24, 27, 33], positive: [255, 150, 40], ink: [235, 237, 240] },
};
export const theme = () => document.documentElement.dataset.theme;
const scale = () => SCALES[theme()];
export const css = (name) => `rgb(${scale()[name].join(" ")})`;

// Where the entries of an array stand in a figure: cells[y * width + x] is an index, or -1 between images.
export function layoutOf(shape, image) {
  const n = shape.reduce((product, size) => product * size, 1);
  if (shape.length === 1 && image && n === image[0] * image[1]) return tiles(image[0], image[1], 1, 1, (y, x) => y * image[1] + x);
  if (shape.length === 1) {
    const width = n <= 20 ? 1 : 2 ** Math.round(Math.log2(Math.sqrt(n) * 0.8));
    return tiles(Math.ceil(n / width), width, 1, 1, (y, x) => (y * width + x < n ? y * width + x : -1));
  }
  if (shape.length === 2) return tiles(shape[0], shape[1], 1, 1, (y, x) => y * shape[1] + x);
  if (shape.length === 3) {
    const [H, W, C] = shape;
    const columns = Math.ceil(Math.sqrt(C));
    return tiles(H, W, Math.ceil(C / columns), columns, (y, x, row, column) => {
      const c = row * columns + column;
      return c < C ? (y * W + x) * C + c : -1;
    });
  }
  const [k, l, C, O] = shape;
  return tiles(k, l, C, O, (y, x, c, o) => ((y * l + x) * C + c) * O + o);
}

function tiles(h, w, rows, columns, index) {
  const gap = rows * columns > 1 ? 1 : 0;
  const [width, height] = [columns * (w + gap) - gap, rows * (h + gap) - gap];
  const cells = new Int32Array(width * height).fill(-1);
  for (let row = 0; row < rows; row++)
    for (let column = 0; column < columns; column++)
      for (let y = 0; y < h; y++)
        for (let x = 0; x < w; x++)
          cells[(row * (h + gap) + y) * width + column * (w + gap) + x] = index(y, x, row, column);
  return { width, height, cells };
}

// Paint an array into a canvas, one pixel an entry; in shades of ink where it is a photograph of the input.
export function paint(canvas, a, layout, isInk = false, limit = largest(a)) {
  const { zero, negative, positive, ink } = scale();
  const [over, under] = [isInk ? ink : positive, negative];
  if (canvas.width !== layout.width) canvas.width = layout.width;
  if (canvas.height !== layout.height) canvas.height = layout.height;
  const context = canvas.getContext("2d");
  const image = context.createImageData(layout.width, layout.height);
  for (let cell = 0; cell < layout.cells.length; cell++) {
    const index = layout.cells[cell];
    if (index < 0) continue;
    const v = limit > 0 ? a.data[index] / limit : 0;
    const [full, t] = v < 0 ? [under, Math.min(-v, 1)] : [over, Math.min(v, 1)];
    for (let k = 0; k < 3; k++) image.data[4 * cell + k] = zero[k] + t * (full[k] - zero[k]);
    image.data[4 * cell + 3] = 255;
  }
  context.putImageData(image, 0, 0);
}

// Three or four digits, with a real minus sign.
export function digits(v) {
  if (v === 0) return "0";
  const size = Math.abs(v);
  const text = size >= 1000 || size < 0.001 ? v.toExponential(1) : String(Number(v.toPrecision(3)));
  return text.replaceAll("-", "−");
}

export const percent = (p) => (p > 0 && p < 0.0005 ? "<0.1 %" : `${(100 * p).toFixed(p > 0.995 && p < 1 ? 1 : p < 0.1 ? 1 : 0)} %`);

// An element with attributes and children; text where a child is a string.
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else if (value !== undefined && value !== false) made.setAttribute(name, value === true ? "" : value);
  }
  made.append(...children);
  return made;
}
