// The network as columns, one per layer: what comes out of it, the gradient of that, the gradients of its parameters.
import { array, filled, leaves, summary } from "../arrays.js";
import { LAYERS } from "../layers/composition.js";
import { css, digits, element, layoutOf, paint } from "./colors.js";
const QUIET = ["Flatten", "Identity", "Rescale", "Reshape", "Standardize"]; // shown small
const [STRONGEST, SIDE] = [12, 20];
const [SVG, put] = ["http://www.w3.org/2000/svg", (made, [name, value]) => (made.setAttribute(name, value), made)];
const shape = (kind, attributes) => Object.entries(attributes).reduce(put, document.createElementNS(SVG, kind));
const row = (a) => a && array(a.shape.slice(1), a.data);

export class NetworkView {
  // inspect(figure, index) is called for the entry under the pointer or the keyboard; inspect(null): for none.
  constructor(root, lines, page, inspect) {
    Object.assign(this, { root, lines, page, inspect, figures: [], columns: [], kept: null });
    this.isImage = page.input_names === null;
    root.addEventListener("pointerleave", () => this.kept ?? this.inspect(null));
    root.addEventListener("scroll", () => this.connect(null));
    document.addEventListener("keydown", ({ key }) => key === "Escape" && ((this.kept = null), this.inspect(null)));
  }
  // Columns for the layers of a pass; called once, and again where layers change their sizes.
  build(pass) {
    [this.figures, this.columns, this.kept] = [[], [], null];
    const labels = ["forward →", "← backward", "parameters"].map((text) => element("span", {}, text));
    this.root.replaceChildren(element("div", { class: "labels", "aria-hidden": "true" }, ...labels));
    let image = this.isImage ? this.page.input_shape.slice(0, 2) : null;
    const first = [...pass.layers.values()][0];
    this.add({ name: "Input", output: first?.spec.input ?? "x", shape: pass.x.shape.slice(1), image });
    for (const [name, { spec, x, y }] of pass.layers) {
      if (y.shape.length === 4) image = y.shape[3] === 1 ? y.shape.slice(1, 3) : null;
      else if (!QUIET.includes(spec.kind)) image = null;
      this.add({ name, spec, output: spec.output, shape: y.shape.slice(1), from: x.shape.slice(1), image });
    }
    const { loss } = this.page;
    this.add({ name: "Loss", spec: loss, isLoss: true, output: loss.output, shape: pass.outputs.shape.slice(1) });
    const width = ({ isQuiet, spec, isLoss }) => (isQuiet ? [58, 0.6] : isLoss || "has_bias" in (spec ?? {}) ? [96, 1.1] : [72, 1]);
    const widths = this.columns.map(width).map(([least, share]) => `minmax(${least}px, ${share}fr)`);
    this.root.style.gridTemplateColumns = `16px ${widths.join(" ")}`;
  }
  add(column) {
    const { name, spec, isLoss, from, shape } = column;
    const [number, ...kind] = name.split(" / ").at(-1).split(" ");
    const title = element("h3", {}, ...(kind.length ? [element("span", {}, `${number} `), kind.join(" ")] : [name]));
    const [before, after] = [from?.join("×"), shape.join("×")];
    const size = isLoss ? spec.kind.replace(/([a-z])([A-Z])/g, "$1 $2") : before && before !== after ? `${before} → ${after}` : after;
    const rules = (list = []) => element("div", { class: "rules" }, ...list.map((rule) => element("code", {}, rule)));
    column.isQuiet = QUIET.includes(spec?.kind);
    column.card = element("article", { class: `layer ${isLoss ? "loss" : ""} ${column.isQuiet ? "quiet" : ""}`, "aria-label": name },
      element("header", {}, title, element("small", {}, size)),
      this.figure(column, "y"), rules(spec?.forward_rules),
      this.figure(column, "dy"), rules(spec?.backward_rules), this.figure(column, "dw"));
    this.columns.push(column);
    this.root.append(column.card);
  }
  figure(column, part) {
    const canvas = element("canvas", { role: "img", tabindex: 0, width: 1, height: 1 });
    const [caption, values] = [element("figcaption"), element("div", { class: "values", "aria-hidden": "true" })];
    const holder = element("figure", { class: part }, caption, canvas, values);
    const figure = { column, part, canvas, caption, values, holder, index: 0 };
    canvas.addEventListener("pointermove", (event) => this.kept ?? this.point(figure, event));
    canvas.addEventListener("click", (event) => this.keep(figure, this.point(figure, event)));
    canvas.addEventListener("focus", () => canvas.matches(":focus-visible") && this.inspect(figure, figure.index));
    canvas.addEventListener("keydown", (event) => this.key(figure, event));
    this.figures.push(figure);
    return holder;
  }
  point(figure, event) {
    const [{ width, height, cells }, box] = [figure.layout, figure.canvas.getBoundingClientRect()];
    const cell = (size, part) => Math.min(size - 1, Math.max(0, Math.floor(part * size)));
    const [x, y] = [cell(width, (event.clientX - box.x) / box.width), cell(height, (event.clientY - box.y) / box.height)];
    if (cells[y * width + x] >= 0) this.inspect(figure, (figure.index = cells[y * width + x]));
  }
  // Keep what is shown, or let go of it where it was kept already.
  keep(figure) {
    const isSame = this.kept?.figure === figure && this.kept.index === figure.index;
    this.kept = isSame ? null : { figure, index: figure.index };
    this.inspect(figure, figure.index);
  }
  key(figure, event) {
    const move = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!move) return;
    event.preventDefault();
    const { width, height, cells } = figure.layout;
    let [x, y] = [cells.indexOf(figure.index) % width, Math.floor(cells.indexOf(figure.index) / width)];
    do [x, y] = [x + move[0], y + move[1]];
    while (x >= 0 && y >= 0 && x < width && y < height && cells[y * width + x] < 0);
    if (x < 0 || y < 0 || x >= width || y >= height) return;
    figure.index = cells[y * width + x];
    this.kept = { figure, index: figure.index };
    this.inspect(figure, figure.index);
  }
  // Paint a pass. Of points in a plane, maps is a pass over a grid of them: each neuron's output everywhere.
  show(pass, maps) {
    Object.assign(this, { pass, maps });
    for (const figure of this.figures) this.draw(figure, this.arrayOf(figure));
    if (this.kept) this.inspect(this.kept.figure, this.kept.index);
  }
  // The array that a figure shows, without the batch axis; undefined where there is none yet.
  arrayOf({ column, part }) {
    const { pass, maps } = this;
    if (column.isLoss) return part === "y" ? row(pass.probabilities) : undefined;
    const all = column.spec ? pass.layers.get(column.name) : { y: pass.x, dy: pass.dx };
    if (part === "dw") return leaves(all.grads ?? all.params ?? null)[0]?.[1];
    if (part === "dy" || !maps) return row(all[part]);
    const { data } = column.spec ? maps.layers.get(column.name).y : maps.x;
    return array([SIDE, SIDE, data.length / SIDE / SIDE], data);
  }
  draw(figure, a) {
    const { column, part, canvas, caption, values, holder } = figure;
    const { name, output, spec, isLoss, image } = column;
    const key = `${document.documentElement.dataset.theme} ${Boolean(this.pass.grads)}`;
    if (a && figure.array === a && figure.key === key) return;
    Object.assign(figure, { array: a, key });
    holder.classList.toggle("empty", !a);
    canvas.tabIndex = a ? 0 : -1;
    if (isLoss && part === "dy") caption.textContent = this.pass.grads ? `L = ${digits(this.pass.value)}` : "";
    if (!a) return;
    figure.layout ??= this.shaped(holder, layoutOf(a.shape, image), part === "dw" && a.shape.length === 2, a.shape.length === 1);
    const weights = `${this.pass.grads ? "d" : ""}w${spec?.number}`;
    figure.symbol = isLoss ? this.page.loss.symbol : { y: output, dy: `d${output}`, dw: weights }[part];
    const { largest, zeros, norm } = summary(a);
    paint(canvas, a, figure.layout, part === "y" && !spec && this.isImage, largest);
    const names = isLoss || output === this.page.loss.input ? this.page.output_names : spec ? [] : this.page.input_names;
    const isList = holder.classList.contains("list");
    for (let i = 0; isList && i < a.data.length; i++) {
      const line = values.children[i] ?? values.appendChild(element("span"));
      line.textContent = `${a.data.length > 1 ? `${names[i] ?? i}: ` : ""}${digits(a.data[i])}`;
    }
    caption.innerHTML = `<b>${figure.symbol}</b> ±${digits(largest)}`;
    const said = `${a.data.length} numbers, ${zeros} of them 0, magnitudes up to ${digits(largest)}, norm ${digits(norm)}`;
    canvas.setAttribute("aria-label", `${figure.symbol} of ${name}: ${said}`);
  }
  // The layout, once the figure has its form.
  shaped(holder, layout, isMatrix, isRow) {
    const { width, height } = layout;
    holder.style.setProperty("--ratio", width / height);
    const forms = { matrix: isMatrix, fine: width * height > 2000, list: isRow && width === 1 };
    holder.classList.add(...Object.keys(forms).filter((form) => forms[form]));
    return layout;
  }
  // Dim what a walk has not reached.
  dim(isDone, current) {
    for (const { column, part, holder } of this.figures) holder.classList.toggle("waiting", !isDone(column, part));
    for (const column of this.columns) column.card.classList.toggle("current", column === current);
    current?.card.scrollIntoView({ block: "nearest", inline: "nearest" });
  }
  // How much each input pushes an output of a layer: w x for a Dense. The layer's own backward gives the slopes.
  contributions(column, index) {
    const { spec, params, residuals, x, y } = this.pass.layers.get(column.name);
    const one = filled(y.shape, (i) => Number(i === index));
    const slopes = LAYERS[spec.kind].backward(spec, params, residuals, one)[1].data;
    const found = Array.from(slopes, (slope, i) => ({ i, slope, x: x.data[i], pushes: slope * x.data[i] }));
    return found.filter(({ slope }) => slope !== 0).sort((a, b) => Math.abs(b.pushes) - Math.abs(a.pushes));
  }
  // An outline of a cell, and lines from the strongest inputs of a neuron; or none.
  connect(figure, index) {
    this.lines.replaceChildren();
    if (!figure) return;
    const [{ canvas, layout: { width, height } }, [x2, y2]] = [figure, this.placeOf(figure, index)];
    const [w, h] = [Math.max(6, canvas.clientWidth / width), Math.max(6, canvas.clientHeight / height)];
    this.lines.append(shape("rect", { x: x2 - w / 2, y: y2 - h / 2, width: w, height: h }));
    if (figure.part !== "y" || !figure.column.spec || figure.column.isLoss) return;
    const source = this.figures.find(({ column, part }) => part === "y" && column.output === figure.column.spec.input);
    const strongest = this.contributions(figure.column, this.entry(figure, index)).slice(0, STRONGEST);
    for (const { i, pushes } of strongest.filter(({ pushes }) => pushes !== 0)) {
      const [x1, y1] = this.placeOf(source, i);
      const d = `M${x1} ${y1} C${(x1 + x2) / 2} ${y1} ${(x1 + x2) / 2} ${y2} ${x2} ${y2}`;
      const width = 0.5 + 2.5 * Math.abs(pushes / strongest[0].pushes);
      this.lines.append(shape("path", { d, stroke: css(pushes > 0 ? "positive" : "negative"), "stroke-width": width }));
    }
  }
  // The entry of the pass that a cell stands for: in a map over the plane, its neuron.
  entry = ({ part, array: a, column }, index) => (this.maps && part === "y" && !column.isLoss ? index % a.shape[2] : index);
  placeOf({ canvas, layout: { width, height, cells } }, index) {
    const [box, base, at] = [canvas.getBoundingClientRect(), this.lines.getBoundingClientRect(), cells.indexOf(index)];
    const x = box.x - base.x + (((at % width) + 0.5) / width) * box.width;
    return [x, box.y - base.y + ((Math.floor(at / width) + 0.5) / height) * box.height];
  }
}
// The places of a grid over the plane, from -span to span, row by row from the top.
export const gridOf = (span, side = SIDE) =>
  filled([side * side, 2], (i) => {
    const [place, axis] = [i >> 1, i % 2];
    return axis ? span * (1 - (2 * Math.floor(place / side) + 1) / side) : span * ((2 * (place % side) + 1) / side - 1);
  });
