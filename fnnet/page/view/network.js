// The network as columns, one per layer: what comes out of it, the gradient of that, and the gradients of its parameters.
import { array, largest, leaves, norm } from "../arrays.js";
import { LAYERS } from "../layers/composition.js";
import { css, digits, element, layoutOf, paint } from "./colors.js";

const QUIET = ["Flatten", "Identity", "Rescale", "Reshape", "Standardize"];
const STRONGEST = 12;

export class NetworkView {
  // inspect(figure, index, isKept) is called where the pointer or the keyboard is; index undefined: nowhere.
  constructor(root, lines, document, inspect) {
    Object.assign(this, { root, lines, inspect, figures: [], columns: [], kept: null });
    this.isImage = document.input_names === null;
    this.imageShape = this.isImage ? document.input_shape.slice(0, 2) : null;
    this.loss = document.loss;
    root.addEventListener("pointerleave", () => this.kept === null && this.inspect(null));
    root.addEventListener("scroll", () => this.connect(null));
  }

  // Columns for the layers of a pass; called once, and again where the layers change their sizes.
  build(pass) {
    this.root.replaceChildren(element("div", { class: "labels", "aria-hidden": "true" }, ...["forward →", "← backward", "parameters"].map((t) => element("span", {}, t))));
    [this.figures, this.columns] = [[], []];
    const first = pass.layers.values().next().value;
    this.column({ name: "Input", output: first?.spec.input ?? "x", shape: pass.x.shape.slice(1) });
    let image = this.imageShape;
    for (const [name, { spec, params, x, y }] of pass.layers) {
      if (y.shape.length > 2) image = y.shape.length === 4 && y.shape[3] > 1 ? null : y.shape.slice(1, 3);
      else if (spec.kind !== "Flatten" && !QUIET.includes(spec.kind)) image = null;
      this.column({ name, spec, params, output: spec.output, shape: y.shape.slice(1), from: x.shape.slice(1), image });
    }
    this.column({ name: "Loss", spec: this.loss, isLoss: true, output: this.loss.output, shape: pass.outputs.shape.slice(1) });
  }

  column(column) {
    const { name, spec, isLoss } = column;
    const [number, ...kind] = name.split(" / ").at(-1).split(" ");
    const sizes = (shape) => shape.join("×");
    const title = element("h3", {}, ...(kind.length ? [element("span", {}, `${number} `), kind.join(" ")] : [name]));
    const size = column.from && sizes(column.from) !== sizes(column.shape) ? `${sizes(column.from)} → ${sizes(column.shape)}` : sizes(column.shape);
    const rules = (list) => element("div", { class: "rules" }, ...(list ?? []).map((rule) => element("code", {}, rule)));
    column.card = element(
      "article",
      { class: `layer ${QUIET.includes(spec?.kind) ? "quiet" : ""} ${spec?.inner ? "sum" : ""}`, "aria-label": name },
      element("header", {}, title, element("small", {}, isLoss ? spec.kind.replace(/([a-z])([A-Z])/g, "$1 $2") : size)),
      this.figure(column, "y", isLoss ? spec.input : column.output),
      rules(spec?.forward_rules),
      this.figure(column, "dy", isLoss ? "" : `d${column.output}`),
      rules(spec?.backward_rules),
      this.figure(column, "dw", ""),
    );
    this.columns.push(column);
    this.root.append(column.card);
  }

  figure(column, part, symbol) {
    const canvas = element("canvas", { role: "img", tabindex: 0, width: 1, height: 1 });
    const caption = element("figcaption");
    const holder = element("figure", { class: part }, caption, canvas);
    const figure = { column, part, symbol, canvas, caption, holder, index: 0 };
    canvas.addEventListener("pointermove", (event) => this.pointed(figure, event, false));
    canvas.addEventListener("click", (event) => this.pointed(figure, event, true));
    canvas.addEventListener("focus", () => canvas.matches(":focus-visible") && this.inspect(figure, figure.index));
    canvas.addEventListener("keydown", (event) => this.keyed(figure, event));
    this.figures.push(figure);
    return holder;
  }

  pointed(figure, event, isClick) {
    if (!figure.layout || (this.kept !== null && !isClick)) return;
    const { width, height, cells } = figure.layout;
    const box = figure.canvas.getBoundingClientRect();
    const cell = (size, place, whole) => Math.min(size - 1, Math.max(0, Math.floor((place / whole) * size)));
    const [x, y] = [cell(width, event.clientX - box.x, box.width), cell(height, event.clientY - box.y, box.height)];
    const index = cells[y * width + x];
    if (index < 0) return;
    figure.index = index;
    const isSame = this.kept?.figure === figure && this.kept.index === index;
    if (isClick) this.kept = isSame ? null : { figure, index };
    this.inspect(figure, index);
  }

  keyed(figure, event) {
    if (event.key === "Escape") {
      this.kept = null;
      return this.inspect(null);
    }
    const steps = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!steps || !figure.layout) return;
    event.preventDefault();
    const { width, height, cells } = figure.layout;
    let at = cells.indexOf(figure.index);
    do {
      const [x, y] = [(at % width) + steps[0], Math.floor(at / width) + steps[1]];
      if (x < 0 || y < 0 || x >= width || y >= height) return;
      at = y * width + x;
    } while (cells[at] < 0);
    figure.index = cells[at];
    this.kept = { figure, index: figure.index };
    this.inspect(figure, figure.index);
  }

  // Paint a pass. change: parameters minus those before the last step, or null.
  show(pass, lossArrays) {
    this.pass = pass;
    for (const figure of this.figures) this.draw(figure, this.arrayOf(figure, lossArrays));
    if (this.kept) this.inspect(this.kept.figure, this.kept.index);
  }

  // The array that a figure shows: without the batch axis; undefined where there is none yet.
  arrayOf({ column, part }, lossArrays) {
    const { pass } = this;
    const row = (a) => a && array(a.shape.slice(1), a.data);
    if (column.isLoss) return part === "y" ? lossArrays.shown : undefined;
    if (!column.spec) return row({ y: pass.x, dy: pass.dx }[part]);
    const layer = pass.layers.get(column.name);
    if (part !== "dw") return row(layer[part]);
    return leaves(layer.grads ?? layer.params)[0]?.[1];
  }

  draw(figure, a) {
    const { column, part, canvas, caption, holder } = figure;
    figure.array = a;
    holder.classList.toggle("empty", !a);
    canvas.tabIndex = a ? 0 : -1;
    if (!a) return (figure.layout = null), caption.replaceChildren();
    if (!figure.layout) figure.layout = layoutOf(a.shape, part === "dw" ? null : column.image ?? (column.spec ? null : this.imageShape));
    if (part === "dw") figure.symbol = `${this.pass.grads ? "d" : ""}w${column.name.split(" ")[0]}`;
    if (column.isLoss) figure.symbol = this.loss.symbol;
    paint(canvas, a, figure.layout, part === "y" && !column.spec && this.isImage);
    const { width, height } = figure.layout;
    holder.style.setProperty("--ratio", width / height);
    holder.classList.toggle("matrix", part === "dw" && a.shape.length === 2);
    holder.classList.toggle("list", width === 1);
    const limit = largest(a);
    caption.replaceChildren(element("b", {}, figure.symbol), ` ±${digits(limit)}`);
    const zeros = a.data.reduce((count, v) => count + (v === 0), 0);
    canvas.setAttribute("aria-label", `${figure.symbol} of ${column.name}: ${a.data.length} numbers, ${zeros} of them 0, magnitudes up to ${digits(limit)}, norm ${digits(norm(a))}`);
  }

  // Dim what the walk has not reached: isDone(column, part).
  dim(isDone, current) {
    for (const { column, part, holder } of this.figures) holder.classList.toggle("waiting", !isDone(column, part));
    this.columns.forEach((column) => column.card.classList.toggle("current", column === current));
    current?.card.scrollIntoView({ block: "nearest", inline: "nearest" });
  }

  // How much each input pushes an output of a layer: w x for a Dense. The layer's own backward gives the slopes.
  contributions(column, index) {
    const { spec, params, residuals, x, y } = this.pass.layers.get(column.name);
    const one = array(y.shape);
    one.data[index] = 1;
    const [, slopes] = LAYERS[spec.kind].backward(spec, params, residuals, one);
    const found = [];
    slopes.data.forEach((slope, i) => slope !== 0 && found.push({ i, slope, x: x.data[i], pushes: slope * x.data[i] }));
    return found.sort((a, b) => Math.abs(b.pushes) - Math.abs(a.pushes));
  }

  // Lines from the strongest inputs of a neuron, or none.
  connect(figure, index) {
    this.lines.replaceChildren();
    if (!figure || figure.part !== "y" || !figure.column.spec || figure.column.isLoss) return;
    const source = this.figures.find(({ column, part }) => part === "y" && column.output === figure.column.spec.input);
    const all = this.contributions(figure.column, index).slice(0, STRONGEST);
    const base = this.lines.getBoundingClientRect();
    const [x2, y2] = this.placeOf(figure, index, base);
    for (const { i, pushes } of all.filter(({ pushes }) => pushes !== 0)) {
      const [x1, y1] = this.placeOf(source, i, base);
      const line = document.createElementNS("http://www.w3.org/2000/svg", "path");
      line.setAttribute("d", `M${x1} ${y1} C${(x1 + x2) / 2} ${y1} ${(x1 + x2) / 2} ${y2} ${x2} ${y2}`);
      line.style.stroke = css(pushes > 0 ? "positive" : "negative");
      line.style.strokeWidth = 0.5 + 3 * Math.abs(pushes / all[0].pushes);
      this.lines.append(line);
    }
  }

  placeOf({ canvas, layout: { width, height, cells } }, index, base) {
    const [box, at] = [canvas.getBoundingClientRect(), cells.indexOf(index)];
    const x = box.x - base.x + (((at % width) + 0.5) / width) * box.width;
    return [x, box.y - base.y + ((Math.floor(at / width) + 0.5) / height) * box.height];
  }
}
