// Live training of a small network on points in the plane: gradient descent on all points at once, in the page.
import { array, leaves, norm } from "../arrays.js";
import { PROBLEMS, generator } from "../datasets/toy_problems.js";
import { sgd, trace } from "../model.js";
import { css, digits, element } from "./colors.js";

const [COUNT, PER_FRAME, KEPT] = [160, 10, 400];

// The network with hidden layers of other widths, and fresh parameters: He's normal weights, biases 0.
export function redrawn(network, widths, random) {
  const params = [];
  let [inputs, hidden] = [2, 0];
  const layers = network.layers.map((layer) => {
    if (layer.kind !== "Dense") return params.push([]), layer;
    const features = widths[hidden++] ?? layer.features;
    const w = array([inputs, features]);
    w.data.forEach((_, i) => (w.data[i] = Math.sqrt(2 / inputs) * random.normal()));
    params.push({ w, b: layer.biases === false ? null : array([features]) });
    inputs = features;
    return { ...layer, features };
  });
  return { network: { ...network, layers }, params };
}

export class Training {
  // step(params) is called after every frame of training, rebuild(network, params) when widths or weights change.
  constructor(section, { model, params, plane, samples, rate, step, rebuild }) {
    Object.assign(this, { model, params, plane, rate, step, rebuild, seed: 1, isRunning: false, history: [] });
    this.run = element("button", { type: "button", "aria-pressed": "false", onclick: () => this.toggle() }, "Start");
    const once = element("button", { type: "button", onclick: () => this.advance(1) }, "One step");
    const again = element("button", { type: "button", onclick: () => this.restart() }, "New weights");
    const names = [...(samples ? ["samples"] : []), ...Object.keys(PROBLEMS), "own points"];
    this.data = element("select", { id: "data", onchange: () => this.load(samples) }, ...names.map((n) => element("option", {}, n)));
    const dense = model.network.kind === "Serial" ? model.network.layers.filter(({ kind }) => kind === "Dense").slice(0, -1) : [];
    const canChange = model.network.layers?.every(({ kind, forward_rules }) => forward_rules && !["Residual", "Conv"].includes(kind));
    this.widths = (canChange ? dense : []).map((layer, i) => {
      const input = element("input", { type: "number", min: 1, max: 32, value: layer.features, "aria-label": `Neurons in hidden layer ${i + 1}` });
      input.addEventListener("change", () => ((input.value = Math.min(32, Math.max(1, input.value | 0))), this.restart()));
      return input;
    });
    this.charts = element("canvas", { width: 440, height: 150, role: "img" });
    this.report = element("p", { class: "report" });
    section.querySelector(".buttons").append(this.run, once, again);
    section.querySelector(".buttons").before(
      element("p", { class: "row" }, element("label", { for: "data" }, "points"), this.data),
      element("p", { class: "row" }, this.widths.length ? "hidden neurons" : "", ...this.widths),
    );
    section.append(this.charts, this.report);
    this.load(samples);
  }

  load(samples) {
    const { value } = this.data;
    const row = (y, n) => [samples.x.data[2 * n], samples.x.data[2 * n + 1], Number([y].flat()[0])];
    if (value === "samples") this.plane.points = samples.y.map(row);
    else this.plane.points = PROBLEMS[value]?.(COUNT, generator(7)) ?? [];
    this.history = [];
    this.step(this.params);
    this.draw();
  }

  restart() {
    const { network, params } = redrawn(this.model.network, this.widths.map(({ value }) => Number(value)), generator(this.seed++));
    [this.model, this.params, this.history] = [{ ...this.model, network }, params, []];
    this.rebuild(network, params);
    this.draw();
  }

  toggle() {
    this.isRunning = !this.isRunning;
    this.run.textContent = this.isRunning ? "Pause" : "Start";
    this.run.setAttribute("aria-pressed", this.isRunning);
    if (this.isRunning) requestAnimationFrame(() => this.frame());
  }

  frame() {
    if (!this.isRunning) return;
    this.advance(PER_FRAME);
    requestAnimationFrame(() => this.frame());
  }

  advance(steps) {
    const points = this.plane.points;
    if (!points.length) return (this.report.textContent = "Add points first: choose “add ●” or “add ▲” and click into the plane.");
    const x = array([points.length, 2], Float64Array.from(points.flatMap(([a, b]) => [a, b])));
    const targets = this.targets(points);
    for (let n = 0; n < steps; n++) {
      const pass = trace(this.model, this.params, x, targets);
      this.params = sgd(this.params, pass.grads, this.rate());
      const norms = leaves(pass.grads).filter(([path]) => path.endsWith("w")).map(([path, g]) => [`dw${path.split(".").at(-2)}`, norm(g)]);
      this.history.push({ loss: pass.value, norms });
    }
    this.step(this.params);
    this.draw();
  }

  // (B, 1) of 0 and 1, or (B, 2) one-hot rows.
  targets(points) {
    const O = this.model.outputs;
    return array([points.length, O], Float64Array.from(points.flatMap(([, , k]) => (O === 1 ? [k] : Array.from({ length: O }, (_, c) => Number(c === k))))));
  }

  draw() {
    const [context, { width, height }] = [this.charts.getContext("2d"), this.charts];
    context.clearRect(0, 0, width, height);
    const shown = this.history.slice(-KEPT * PER_FRAME).filter((_, i, all) => i % Math.ceil(all.length / KEPT || 1) === 0);
    const last = this.history.at(-1);
    const series = [["negative", [], shown.map(({ loss }) => loss)]];
    last?.norms.forEach((_, k) => series.push(["positive", [[], [10, 6], [3, 5], [16, 5]][k % 4], shown.map(({ norms }) => norms[k][1])]));
    const peaks = [Math.max(...series[0][2]), Math.max(...series.slice(1).flatMap(([, , values]) => values))];
    series.forEach(([color, dashes, values], n) => {
      Object.assign(context, { strokeStyle: css(color), lineWidth: 3 });
      context.setLineDash(dashes);
      context.beginPath();
      values.forEach((v, i) => context.lineTo((i * width) / Math.max(values.length - 1, 1), height - 4 - ((height - 8) * v) / peaks[n ? 1 : 0]));
      context.stroke();
    });
    const norms = last?.norms.map(([name, v]) => `‖${name}‖ ${digits(v)}`).join(", ");
    this.report.textContent = last ? `step ${this.history.length}: loss (blue) ${digits(last.loss)}; gradients (orange) ${norms}` : "";
    this.charts.setAttribute("aria-label", this.report.textContent || "Loss and gradients, once training has begun");
  }
}
