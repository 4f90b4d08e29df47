// Numbers as color: blue below zero, orange above, the color of the paper at zero; scaled by the largest magnitude.
import { sizeOf, summary } from "../arrays.js";

// A color of page.css, as text.
export const css = (name) => `rgb(${getComputedStyle(document.documentElement).getPropertyValue(`--${name}`)})`;

// 511 pixels from -1 to 1 in the colors of the theme; in shades of ink above zero where it is a drawing.
const scales = new Map();
function scaleOf(isDrawing) {
  const key = `${document.documentElement.dataset.theme} ${isDrawing}`;
  if (!scales.has(key)) {
    const [zero, over, under] = ["zero", isDrawing ? "drawn" : "positive", "negative"].map((n) => css(n).match(/\d+/g).map(Number));
    const mixed = (t) => zero.map((c, k) => Math.round(c + Math.abs(t) * ((t < 0 ? under : over)[k] - c)));
    const pixels = new Uint8ClampedArray(4 * 511);
    for (let i = 0; i < 511; i++) pixels.set([...mixed(i / 255 - 1), 255], 4 * i);
    scales.set(key, new Uint32Array(pixels.buffer));
  }
  return scales.get(key);
}

// Where the entries of an array stand in a figure: cells[y * width + x] is an index, or -1 where there is none.
// Images (H, W, C) and kernels (k, l, C, O) are tiles; long rows become squares, or the image that they were.
export function layoutOf(shape, image) {
  const n = sizeOf(shape);
  if (shape.length === 1 && image && n === sizeOf(image)) return layoutOf(image);
  if (shape.length === 1) {
    const width = n <= 20 ? 1 : Math.ceil(Math.sqrt(n));
    return tiles(Math.ceil(n / width), width, 1, 1, (y, x) => (y * width + x < n ? y * width + x : -1));
  }
  const [H, W, C = 1, O] = shape;
  if (O) return C === 1 ? layoutOf([H, W, O]) : tiles(H, W, C, O, (y, x, c, o) => ((y * W + x) * C + c) * O + o);
  const columns = Math.ceil(Math.sqrt(C));
  const index = (y, x, c) => (c < C ? (y * W + x) * C + c : -1);
  return tiles(H, W, Math.ceil(C / columns), columns, (y, x, row, column) => index(y, x, row * columns + column));
}
function tiles(h, w, rows, columns, index) {
  const gap = rows * columns > 1 ? 1 : 0;
  const [width, height] = [columns * (w + gap) - gap, rows * (h + gap) - gap];
  const cells = Int32Array.from({ length: width * height }, (_, cell) => {
    const [x, y] = [cell % width, Math.floor(cell / width)];
    const [inX, inY] = [x % (w + gap), y % (h + gap)];
    return inX === w || inY === h ? -1 : index(inY, inX, Math.floor(y / (h + gap)), Math.floor(x / (w + gap)));
  });
  return { width, height, cells };
}

// Paint an array into a canvas, one pixel an entry.
export function paint(canvas, a, { width, height, cells }, isDrawing = false, limit = summary(a).largest) {
  if (canvas.width !== width) canvas.width = width;
  if (canvas.height !== height) canvas.height = height;
  const [context, scale] = [canvas.getContext("2d"), scaleOf(isDrawing)];
  const image = context.createImageData(width, height);
  const pixels = new Uint32Array(image.data.buffer);
  for (let cell = 0; cell < cells.length; cell++) {
    const v = limit > 0 && cells[cell] >= 0 ? Math.min(Math.max(a.data[cells[cell]] / limit, -1), 1) : 0;
    if (cells[cell] >= 0) pixels[cell] = scale[255 + Math.round(255 * v)];
  }
  context.putImageData(image, 0, 0);
}

// Three digits, with a real minus sign.
export function digits(v) {
  const size = Math.abs(v);
  const text = size && (size >= 10000 || size < 0.001) ? v.toExponential(1) : String(Number(v.toPrecision(3)));
  return text.replaceAll("-", "−");
}
export const percent = (p) => (p > 0 && p < 0.0005 ? "<0.1%" : `${(100 * p).toFixed(p < 0.1 || p > 0.99 ? 1 : 0)}%`);

// An element with attributes, listeners and children; text where a child is a string.
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) made.addEventListener(name.slice(2), value);
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}
export const button = (text, onclick, more = {}) => element("button", { type: "button", onclick, ...more }, text);
