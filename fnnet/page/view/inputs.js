// What a person gives the network: a drawing, a point in the plane, or sliders. Each calls changed(x) with x (1, ...).
import { array, sizeOf } from "../arrays.js";
import { alongRows, digitFromInk } from "../datasets/handwriting.js";
import { predict } from "../model.js";
import { css, digits, element, layoutOf, paint } from "./colors.js";

const PEN = 22; // of a canvas 280 pixels wide: as MNIST's strokes are to its digits

export class Drawing {
  constructor(section, document, changed) {
    Object.assign(this, { document, changed, strokes: [], sample: null });
    const [H, W] = document.input_shape;
    this.canvas = element("canvas", { id: "paper", width: 280, height: Math.round((280 * H) / W), role: "img" });
    this.canvas.setAttribute("aria-label", "Paper to draw on with a pointer; the samples below need none");
    this.canvas.addEventListener("pointerdown", (event) => this.begin(event));
    this.canvas.addEventListener("pointermove", (event) => this.continue(event));
    for (const end of ["pointerup", "pointercancel"]) this.canvas.addEventListener(end, () => this.end());
    const button = (text, onclick) => element("button", { type: "button", onclick }, text);
    const undo = button("Undo", () => this.drawn(this.strokes.slice(0, -1)));
    section.append(this.canvas, element("p", { class: "row" }, undo, button("Clear", () => this.drawn([]))));
    if (document.samples) section.append(this.gallery(document.samples));
  }

  gallery({ x, y }) {
    const [size, { input_shape: shape, output_names: names }] = [sizeOf(x.shape.slice(1)), this.document];
    const holder = element("div", { class: "samples", role: "group", "aria-label": "Sample images" });
    this.thumbnails = y.map((label, n) => {
      const a = array(shape.slice(0, 2), x.data.subarray(n * size, (n + 1) * size));
      const canvas = element("canvas", { "aria-hidden": "true" });
      const name = names[label] ?? label;
      holder.append(element("button", { type: "button", "aria-label": `Sample: ${name}`, title: `a ${name}`, onclick: () => this.pick(a) }, canvas));
      return [canvas, a];
    });
    return holder;
  }

  pick(image) {
    [this.strokes, this.sample] = [[], image];
    this.redraw();
    this.changed(array([1, ...this.document.input_shape], image.data));
  }

  begin(event) {
    this.canvas.setPointerCapture(event.pointerId);
    this.sample = null;
    this.strokes.push([this.point(event)]);
    this.drawn(this.strokes);
  }

  continue(event) {
    if (!this.canvas.hasPointerCapture(event.pointerId)) return;
    const events = event.getCoalescedEvents();
    this.strokes.at(-1).push(...(events.length ? events : [event]).map((e) => this.point(e)));
    this.redraw();
    this.pending ??= requestAnimationFrame(() => this.end());
  }

  end() {
    if (this.pending) cancelAnimationFrame(this.pending);
    this.pending = undefined;
    this.drawn(this.strokes);
  }

  point(event) {
    const box = this.canvas.getBoundingClientRect();
    return [((event.clientX - box.x) * this.canvas.width) / box.width, ((event.clientY - box.y) * this.canvas.height) / box.height];
  }

  drawn(strokes) {
    if (strokes !== this.strokes) this.sample = null;
    this.strokes = strokes;
    this.redraw();
    this.changed(this.seen());
  }

  // The ink on the canvas as the network gets it.
  seen() {
    const { input_shape: shape, brightest } = this.document;
    const { width, height } = this.canvas;
    const pixels = this.canvas.getContext("2d", { willReadFrequently: true }).getImageData(0, 0, width, height).data;
    const ink = array([height, width], Float64Array.from({ length: width * height }, (_, i) => pixels[4 * i + 3] / 255));
    const isDigit = shape[0] === 28 && shape[1] === 28;
    const image = isDigit ? digitFromInk(ink) : this.shrunk(ink, shape);
    return array([1, ...shape], image.data.map((v) => (v * brightest) / (isDigit ? 255 : 1)));
  }

  shrunk(ink, [H, W]) {
    const turned = (a) => array([a.shape[1], a.shape[0]], a.data.map((_, i) => a.data[(i % a.shape[0]) * a.shape[1] + Math.floor(i / a.shape[0])]));
    return turned(alongRows(turned(alongRows(ink, W)), H));
  }

  redraw() {
    const context = this.canvas.getContext("2d", { willReadFrequently: true });
    context.clearRect(0, 0, this.canvas.width, this.canvas.height);
    Object.assign(context, { lineWidth: PEN, lineCap: "round", lineJoin: "round", strokeStyle: css("ink") });
    for (const [first, ...rest] of this.strokes) {
      context.beginPath();
      context.moveTo(...first);
      for (const point of rest.length ? rest : [first]) context.lineTo(...point);
      context.stroke();
    }
    for (const [canvas, a] of this.thumbnails ?? []) paint(canvas, a, layoutOf(a.shape), true, this.document.brightest);
    if (!this.sample) return;
    const small = element("canvas");
    paint(small, this.sample, layoutOf(this.sample.shape), true, this.document.brightest);
    context.imageSmoothingEnabled = false;
    context.drawImage(small, 0, 0, this.canvas.width, this.canvas.height);
  }
}

export class Sliders {
  constructor(section, { input_names: names, samples }, changed) {
    const columns = names.map((_, i) => samples?.y.map((_, n) => samples.x.data[n * names.length + i]) ?? [-3, 3]);
    this.inputs = names.map((name, i) => {
      const [low, high] = [Math.min(...columns[i]), Math.max(...columns[i])];
      const input = element("input", { type: "range", id: `x${i}`, min: low, max: high, step: (high - low) / 200 || 1 });
      const value = element("output", { for: `x${i}` });
      input.addEventListener("input", () => this.send());
      section.append(element("p", { class: "slider" }, element("label", { for: `x${i}` }, name), input, value));
      return { input, value };
    });
    this.send = () => {
      for (const { input, value } of this.inputs) value.textContent = digits(Number(input.value));
      changed(array([1, names.length], Float64Array.from(this.inputs, ({ input }) => Number(input.value))));
    };
    const pick = (n) => this.inputs.forEach(({ input }, i) => (input.value = columns[i][n]));
    const another = () => (pick(Math.floor(Math.random() * samples.y.length)), this.send());
    if (samples) section.append(element("button", { type: "button", onclick: another }, "Another sample"));
  }
  redraw() {}
}

const [SPAN, FINE] = [1.6, 48]; // the plane goes from -SPAN to SPAN; predictions are made on FINE x FINE places

export class Plane {
  constructor(section, changed) {
    Object.assign(this, { changed, point: [0.3, -0.4], points: [], adds: null });
    this.canvas = element("canvas", { id: "plane", width: 480, height: 480, tabindex: 0, role: "img" });
    this.canvas.addEventListener("pointerdown", (event) => {
      const box = this.canvas.getBoundingClientRect();
      this.put([(2 * (event.clientX - box.x)) / box.width - 1, 1 - (2 * (event.clientY - box.y)) / box.height].map((v) => v * SPAN));
    });
    this.canvas.addEventListener("keydown", (event) => {
      const by = { ArrowLeft: [-0.1, 0], ArrowRight: [0.1, 0], ArrowUp: [0, 0.1], ArrowDown: [0, -0.1] }[event.key];
      if (by) [event.preventDefault(), this.move(this.point.map((v, a) => v + by[a]))];
      if (event.key === "Enter") this.put(this.point);
    });
    const modes = [["move the point", null], ["add ●", 0], ["add ▲", 1]].map(([text, adds]) => {
      const radio = element("input", { type: "radio", name: "mode", onchange: () => (this.adds = adds) });
      radio.checked = adds === null;
      return element("label", {}, radio, ` ${text}`);
    });
    section.append(this.canvas, element("p", { class: "row modes", role: "group", "aria-label": "What a click does" }, ...modes));
  }

  put(place) {
    if (this.adds === null) return this.move(place);
    this.points.push([...place, this.adds]);
    this.move(place);
  }

  move(place) {
    this.point = place.map((v) => Math.min(SPAN, Math.max(-SPAN, v)));
    this.send();
  }

  send = () => this.changed(array([1, 2], Float64Array.from(this.point)));

  // What the network answers everywhere, and the points in their classes.
  redraw(model, params) {
    const [context, size] = [this.canvas.getContext("2d"), this.canvas.width];
    const grid = array([FINE * FINE, 2]);
    for (let i = 0; i < FINE * FINE; i++) {
      grid.data[2 * i] = SPAN * ((2 * (i % FINE) + 1) / FINE - 1);
      grid.data[2 * i + 1] = SPAN * (1 - (2 * Math.floor(i / FINE) + 1) / FINE);
    }
    const answers = predict(model, params, grid);
    const [O, map] = [answers.shape[1], element("canvas")];
    const shade = array([FINE, FINE], Float64Array.from({ length: FINE * FINE }, (_, i) => 2 * answers.data[i * O + O - 1] - 1));
    paint(map, shade, layoutOf(shade.shape), false, 1.6);
    context.drawImage(map, 0, 0, size, size);
    const pixel = ([x, y]) => [((x / SPAN + 1) * size) / 2, ((1 - y / SPAN) * size) / 2];
    for (const [x, y, k] of this.points) this.mark(context, pixel([x, y]), k, 8);
    const [px, py] = pixel(this.point);
    Object.assign(context, { lineWidth: 4, strokeStyle: css("ink") });
    context.strokeRect(px - 13, py - 13, 26, 26);
    this.canvas.setAttribute("aria-label", `The plane with ${this.points.length} points, shaded by the network's answer; the chosen point is at ${this.point.map(digits).join(", ")}. Arrow keys move it.`);
  }

  mark(context, [x, y], k, r) {
    context.beginPath();
    if (k === 0) context.arc(x, y, r, 0, 7);
    else [[x, y - r - 2], [x + r + 1, y + r], [x - r - 1, y + r]].forEach((corner) => context.lineTo(...corner));
    context.closePath();
    Object.assign(context, { fillStyle: css(k === 0 ? "negative" : "positive"), strokeStyle: css("zero"), lineWidth: 2 });
    context.fill();
    context.stroke();
  }
}
