// Live training of a small network on points in the plane: gradient descent on all points at once, in the page.
import { array, filled, leaves, summary } from "../arrays.js";
import { PROBLEMS, normal } from "../datasets/toy_problems.js";
import { sgd, trace } from "../model.js";
import { button, css, digits, element } from "./colors.js";
const [COUNT, PER_FRAME, KEPT] = [160, 10, 4000];
const DASHES = [[], [10, 6], [3, 5], [16, 5]];

// The network with hidden layers of other widths, and fresh parameters: He's normal weights, biases 0.
export function redrawn(network, widths) {
  let [inputs, hidden] = [2, 0];
  const drawn = network.layers.map((layer) => {
    if (layer.kind !== "Dense") return [layer, []];
    const [I, O] = [inputs, (inputs = widths[hidden++] ?? layer.features)];
    const w = filled([I, O], () => Math.sqrt(2 / I) * normal());
    return [{ ...layer, features: O }, { w, b: layer.has_bias ? array([O]) : null }];
  });
  return [{ ...network, layers: drawn.map(([layer]) => layer) }, drawn.map(([, params]) => params)];
}

export class Training {
  // show(model, params, isNew) is called after every frame of training, and where weights or widths are new.
  constructor(section, { model, params, plane, samples, rate, show }) {
    Object.assign(this, { model, params, plane, samples, rate, show, isRunning: false, history: [] });
    this.run = button("Start", () => this.toggle(), { "aria-pressed": "false" });
    const names = [...(samples ? ["samples"] : []), ...Object.keys(PROBLEMS), "own points"];
    const options = names.map((name) => element("option", {}, name));
    this.data = element("select", { id: "data", onchange: () => this.load() }, ...options);
    const layers = model.network.layers ?? [];
    const isPlain = layers.length > 0 && layers.every(({ layers, inner }) => !layers && !inner);
    this.widths = isPlain ? layers.filter(({ kind }) => kind === "Dense").slice(0, -1).map(({ features }, i) => this.width(features, i)) : [];
    this.charts = element("canvas", { width: 440, height: 140, role: "img" });
    this.report = element("p", { class: "report" });
    const row = (text, ...parts) => element("p", { class: "row" }, text, ...parts);
    section.querySelector(".buttons").append(this.run, button("One step", () => this.advance(1)), ...(isPlain ? [button("Reset", () => this.restart())] : []));
    section.querySelector(".buttons").before(row("", element("label", { for: "data" }, "points"), this.data), ...(isPlain ? [row("neurons", ...this.widths)] : []));
    section.append(this.charts, this.report);
    this.load();
  }
  width(features, i) {
    const input = element("input", { type: "number", min: 1, max: 32, value: features, "aria-label": `Neurons in hidden layer ${i + 1}` });
    input.addEventListener("change", () => ((input.value = Math.min(32, Math.max(1, input.value | 0))), this.restart()));
    return input;
  }
  load() {
    const [{ samples }, name] = [this, this.data.value];
    const given = () => samples.y.map((y, n) => [samples.x.data[2 * n], samples.x.data[2 * n + 1], Number([y].flat()[0])]);
    [this.plane.points, this.history] = [name === "samples" ? given() : PROBLEMS[name]?.(COUNT) ?? [], []];
    this.draw();
  }
  restart() {
    const [network, params] = redrawn(this.model.network, this.widths.map(({ value }) => Number(value)));
    [this.model, this.params, this.history] = [{ ...this.model, network }, params, []];
    this.draw(true);
  }
  toggle() {
    this.isRunning = !this.isRunning;
    this.run.textContent = this.isRunning ? "Pause" : "Start";
    this.run.setAttribute("aria-pressed", this.isRunning);
    const frame = () => this.isRunning && (this.advance(PER_FRAME), (this.next = requestAnimationFrame(frame)));
    this.isRunning ? frame() : cancelAnimationFrame(this.next);
  }
  advance(steps) {
    const { points } = this.plane;
    if (!points.length) return (this.report.textContent = "Choose “add ●” or “add ▲” and click into the plane first.");
    const O = this.model.outputs;
    const x = filled([points.length, 2], (i) => points[i >> 1][i % 2]);
    const targets = filled([points.length, O], (i) => (O === 1 ? points[i][2] : Number(points[Math.floor(i / O)][2] === i % O)));
    for (let n = 0; n < steps; n++) {
      const { grads, value } = trace(this.model, this.params, x, targets);
      this.params = sgd(this.params, grads, this.rate());
      const weights = leaves(grads).filter(([path]) => path.endsWith("w"));
      this.history.push([["loss", value], ...weights.map(([path, g]) => [`‖dw${path.split(".").at(-2)}‖`, summary(g).norm])]);
    }
    this.history = this.history.slice(-KEPT);
    this.steps = (this.steps ?? 0) + steps;
    this.draw();
  }
  // The loss and the norms of the gradients over time, each scale from 0 to its largest.
  draw(isNew = false) {
    const [context, { width, height }, { history }] = [this.charts.getContext("2d"), this.charts, this];
    if (!history.length) this.steps = 0;
    context.clearRect(0, 0, width, height);
    const [loss = [], ...norms] = (history[0] ?? []).map((_, k) => history.map((step) => step[k][1]));
    const peaks = [Math.max(...loss), Math.max(...norms.flat())];
    [loss, ...norms].forEach((values, k) => {
      Object.assign(context, { strokeStyle: css(k ? "positive" : "negative"), lineWidth: 3 });
      context.setLineDash(k ? DASHES[(k - 1) % 4] : []);
      context.beginPath();
      values.forEach((v, i) => context.lineTo((i * width) / values.length, height - 4 - ((height - 8) * v) / peaks[k ? 1 : 0]));
      context.stroke();
    });
    const said = history.at(-1)?.map(([name, v], k) => `${name} ${digits(v)}${["", " (blue)"][Number(k === 0)]}`).join(", ");
    this.report.textContent = said ? `step ${this.steps}: ${said}` : "";
    this.charts.setAttribute("aria-label", this.report.textContent || "Loss and gradients, once training has begun");
    this.show(this.model, this.params, isNew);
  }
}
