// What a person gives the network: a drawing, sliders, or a point in the plane. Each calls changed(x) with x (1, ...).
import { array, filled, sizeOf } from "../arrays.js";
import { digitFromInk, resizedTo } from "../datasets/handwriting.js";
import { predict } from "../model.js";
import { button, css, digits, element, layoutOf, paint } from "./colors.js";
import { gridOf } from "./network.js";
const PEN = 22; // of a canvas 280 pixels wide: as MNIST's strokes are to its digits

export class Drawing {
  constructor(section, page, changed) {
    Object.assign(this, { page, changed, strokes: [], sample: null, thumbnails: [] });
    const [H, W] = page.input_shape;
    this.canvas = element("canvas", { id: "paper", width: 280, height: Math.round((280 * H) / W), role: "img" });
    this.canvas.setAttribute("aria-label", "Paper to draw on with a pointer; the sample images need none");
    this.context = this.canvas.getContext("2d", { willReadFrequently: true });
    this.canvas.addEventListener("pointerdown", (event) => this.begin(event));
    this.canvas.addEventListener("pointermove", (event) => this.go(event));
    for (const end of ["pointerup", "pointercancel"]) this.canvas.addEventListener(end, () => this.strokes.length && this.settle());
    const [undo, clear] = [button("Undo", () => this.draw(this.strokes.slice(0, -1))), button("Clear", () => this.draw([]))];
    section.append(this.canvas, element("p", { class: "row" }, undo, clear), ...(page.samples ? [this.gallery(page.samples)] : []));
  }
  gallery({ x, y }) {
    const [shape, size] = [this.page.input_shape.slice(0, 2), sizeOf(this.page.input_shape)];
    const choices = y.map((label, n) => {
      const [a, canvas] = [array(shape, x.data.subarray(n * size, (n + 1) * size)), element("canvas", { "aria-hidden": "true" })];
      this.thumbnails.push([canvas, a]);
      return button(canvas, () => this.pick(a), { "aria-label": `Sample: ${this.page.output_names[label] ?? label}` });
    });
    return element("div", { class: "samples", role: "group", "aria-label": "Sample images" }, ...choices);
  }
  pick(image) {
    [this.strokes, this.sample] = [[], image];
    this.changed(array([1, ...this.page.input_shape], image.data));
  }
  begin(event) {
    this.canvas.setPointerCapture(event.pointerId);
    this.draw([...this.strokes, [this.place(event)]]);
  }
  go(event) {
    if (!this.canvas.hasPointerCapture(event.pointerId)) return;
    const events = event.getCoalescedEvents();
    this.strokes.at(-1).push(...(events.length ? events : [event]).map((e) => this.place(e)));
    this.pending ??= requestAnimationFrame(() => this.settle());
  }
  settle() {
    if (this.pending) cancelAnimationFrame(this.pending);
    this.pending = undefined;
    this.draw(this.strokes);
  }
  place(event) {
    const [box, { width, height }] = [this.canvas.getBoundingClientRect(), this.canvas];
    return [((event.clientX - box.x) * width) / box.width, ((event.clientY - box.y) * height) / box.height];
  }
  draw(strokes) {
    [this.strokes, this.sample] = [strokes, null];
    this.redraw();
    this.changed(this.seen());
  }
  // The ink on the canvas as the network gets it: a digit as MNIST has them where it wants 28 x 28 pixels.
  seen() {
    const [{ input_shape: shape, brightest }, { width, height }] = [this.page, this.canvas];
    const pixels = this.context.getImageData(0, 0, width, height).data;
    const ink = filled([height, width], (i) => pixels[4 * i + 3] / 255);
    const isDigit = shape[0] === 28 && shape[1] === 28;
    const image = isDigit ? digitFromInk(ink) : resizedTo(ink, shape);
    return array([1, ...shape], image.data.map((v) => (v * brightest) / (isDigit ? 255 : 1)));
  }
  redraw() {
    const { context, canvas, page: { brightest } } = this;
    context.clearRect(0, 0, canvas.width, canvas.height);
    Object.assign(context, { lineWidth: PEN, lineCap: "round", lineJoin: "round", strokeStyle: css("drawn") });
    for (const stroke of this.strokes) {
      context.beginPath();
      context.moveTo(stroke[0][0] - 0.01, stroke[0][1]); // a line of no length would not be drawn
      for (const place of stroke) context.lineTo(...place);
      context.stroke();
    }
    const { theme } = document.documentElement.dataset;
    if (theme !== this.theme) for (const [small, a] of this.thumbnails) paint(small, a, layoutOf(a.shape), true, brightest);
    this.theme = theme;
    if (!this.sample) return;
    const small = element("canvas");
    paint(small, this.sample, layoutOf(this.sample.shape), true, brightest);
    context.imageSmoothingEnabled = false;
    context.drawImage(small, 0, 0, canvas.width, canvas.height);
  }
}

export class Sliders {
  constructor(section, { input_names: names, samples }, changed) {
    const columns = names.map((_, i) => samples?.y.map((_, n) => samples.x.data[n * names.length + i]) ?? [-3, 3]);
    const inputs = columns.map((values, i) => {
      const [low, high] = [Math.min(...values), Math.max(...values)];
      const settings = { type: "range", id: `x${i}`, min: low, max: high, step: "any", oninput: () => this.settle() };
      const [input, shown] = [element("input", settings), element("output", { for: `x${i}` })];
      input.value = (low + high) / 2;
      section.append(element("p", { class: "slider" }, element("label", { for: `x${i}` }, names[i]), input, shown));
      return [input, shown];
    });
    this.settle = () => {
      for (const [input, shown] of inputs) shown.textContent = digits(Number(input.value));
      changed(filled([1, names.length], (i) => Number(inputs[i][0].value)));
    };
    const another = (n) => (inputs.forEach(([input], i) => (input.value = columns[i][n])), this.settle());
    if (samples) section.append(button("Another sample", () => another(Math.floor(Math.random() * samples.y.length))));
  }
  redraw() {}
}
const FINE = 48; // places along each side of the plane where the network is asked for its answer
export const SPAN = 1.6; // the plane goes from -SPAN to SPAN

export class Plane {
  constructor(section, page, changed) {
    Object.assign(this, { changed, point: [0.3, -0.4], points: [], adds: null });
    this.canvas = element("canvas", { id: "plane", width: 480, height: 480, tabindex: 0, role: "img" });
    this.canvas.addEventListener("pointerdown", ({ clientX, clientY }) => {
      const box = this.canvas.getBoundingClientRect();
      this.put([SPAN * ((2 * (clientX - box.x)) / box.width - 1), SPAN * (1 - (2 * (clientY - box.y)) / box.height)]);
    });
    this.canvas.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1] }[event.key];
      if (by || event.key === "Enter") event.preventDefault();
      if (by) this.move(this.point.map((v, axis) => v + by[axis]));
      if (event.key === "Enter") this.put(this.point);
    });
    const modes = [["move", null], ["add ●", 0], ["add ▲", 1]].map(([text, adds]) => {
      const radio = element("input", { type: "radio", name: "mode", onchange: () => (this.adds = adds) });
      radio.checked = adds === null;
      return element("label", {}, radio, ` ${text}`);
    });
    section.append(this.canvas, element("p", { class: "row", role: "group", "aria-label": "What a click does" }, ...modes));
  }
  put(place) {
    if (this.adds !== null) this.points.push([...place, this.adds]);
    this.move(place);
  }
  move(place) {
    this.point = place.map((v) => Math.min(SPAN, Math.max(-SPAN, v)));
    this.settle();
  }
  settle = () => this.changed(array([1, 2], Float64Array.from(this.point)));
  // What the network answers everywhere, and the points in their classes.
  redraw(model, params) {
    const [context, size, map] = [this.canvas.getContext("2d"), this.canvas.width, element("canvas")];
    const answers = predict(model, params, gridOf(SPAN, FINE));
    const O = answers.shape[1];
    paint(map, filled([FINE, FINE], (i) => 2 * answers.data[i * O + O - 1] - 1), layoutOf([FINE, FINE]), false, 1.6);
    context.drawImage(map, 0, 0, size, size);
    const pixel = ([x, y]) => [((x / SPAN + 1) * size) / 2, ((1 - y / SPAN) * size) / 2];
    for (const [x, y, k] of this.points) this.mark(context, pixel([x, y]), k, 8);
    const [px, py] = pixel(this.point);
    Object.assign(context, { lineWidth: 4, strokeStyle: css("drawn") });
    context.strokeRect(px - 13, py - 13, 26, 26);
    const said = `The plane with ${this.points.length} points, shaded by the network's answer; the chosen point is at`;
    this.canvas.setAttribute("aria-label", `${said} ${this.point.map(digits).join(", ")}. Arrow keys move it, Enter adds one.`);
  }
  mark(context, [x, y], k, r) {
    context.beginPath();
    if (k === 0) context.arc(x, y, r, 0, 7);
    else for (const [dx, dy] of [[0, -r - 2], [r + 1, r], [-r - 1, r]]) context.lineTo(x + dx, y + dy);
    context.closePath();
    Object.assign(context, { fillStyle: css(k === 0 ? "negative" : "positive"), strokeStyle: css("zero"), lineWidth: 2 });
    context.fill();
    context.stroke();
  }
}
