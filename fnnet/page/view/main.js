// The page: one network, one input, and everything that follows from them.
import { array, decodedTree } from "../arrays.js";
import { predict, sgd, trace } from "../model.js";
import { digits, element, layoutOf, paint, percent } from "./colors.js";
import { changes, explain, words } from "./explain.js";
import { Drawing, Plane, Sliders } from "./inputs.js";
import { NetworkView } from "./network.js";
import { Training } from "./training.js";

const find = (id) => document.getElementById(id);
const page = decodedTree(JSON.parse(find("document").textContent));
const [isImage, isPlane] = [page.input_names === null, page.input_names?.length === 2];
page.loss.symbol = page.loss.kind === "SquaredError" ? page.loss.input : "p";
const state = { model: { network: page.network, loss: page.loss, outputs: page.outputs }, params: page.params, targets: undefined, steps: 0, walk: null };

const view = new NetworkView(find("network"), find("connections"), page, (figure, index) => {
  view.connect(figure, index);
  figure ? tell(explain(view, figure, index)) : tellStage();
});

// ---- the pass, and everything drawn from it
function update() {
  state.pass = trace(state.model, state.params, state.x, state.targets);
  if (!view.columns.length) view.build(state.pass);
  const { probabilities: p } = state.pass;
  view.show(state.pass, { shown: array([page.outputs], p.data) });
  answers.show(p.data);
  input.redraw(state.model, state.params);
  if (!view.kept) view.connect(null);
  if (state.walk !== null) showOperation();
  else if (!view.kept) tellStage();
}

function tell({ title, lines, pictures }) {
  find("detail-title").textContent = title;
  find("lines").replaceChildren(...lines.map((line) => element("p", {}, line)));
  const shown = pictures.map(({ title, note, a, layout, sign }) => {
    const canvas = element("canvas", { role: "img", "aria-label": `${title}, ${note}` });
    paint(canvas, a, layout);
    const figure = element("figure", { style: `--ratio: ${layout.width / layout.height}` }, canvas, element("figcaption", {}, element("b", {}, title), element("br"), note));
    return [...(sign ? [element("span", {}, sign)] : []), figure];
  });
  find("pictures").replaceChildren(...shown.flat());
}

function tellStage() {
  if (state.walk !== null) return showOperation();
  const first = isImage ? "Draw a digit, or pick one: " : "";
  const forward = `${first}every column is computed from the one on its left. Point at any number to see where it comes from; click to keep it. Lines show what pushed it up (orange) or down (blue) most.`;
  const backward = [
    `${state.pass.value === undefined ? "" : `The loss is ${digits(state.pass.value)}. `}The backward pass starts in the last column and goes left: every gradient says how the loss would change if that number were raised a little.`,
    "Orange: raising it raises the loss. Blue: raising it lowers the loss. A gradient step moves every parameter against its gradient.",
  ];
  tell(state.targets ? { title: "Backward", lines: backward, pictures: [] } : { title: "Forward", lines: [forward, "Then say which answer would be right: the backward pass appears."], pictures: [] });
}

// ---- which answer is right
class Answers {
  constructor(section) {
    const isChoice = page.loss.kind === "SoftmaxCrossEntropy" || (page.loss.kind === "SigmoidBinaryCrossEntropy" && page.outputs === 1);
    const names = page.outputs === 1 && isChoice ? ["0", "1"] : page.output_names;
    section.querySelector("h2").textContent = `2 Which answer ${isChoice ? "is" : "would be"} right?`;
    const holder = section.querySelector(".answers");
    this.items = names.map((name, k) => {
      const [bar, value] = [element("i", {}), element("small", {})];
      if (isChoice) holder.append(element("button", { type: "button", "aria-pressed": "false", onclick: () => this.choose(k) }, element("b", {}, name), bar, value));
      else holder.append(element("label", { class: "value" }, `${name} `, element("input", { type: "number", step: "any", oninput: () => this.fill() }), value));
      return { bar, value, own: holder.lastChild };
    });
    Object.assign(this, { isChoice, names });
  }
  choose(k) {
    const isSame = this.chosen === k;
    this.chosen = isSame ? undefined : k;
    this.items.forEach(({ own }, i) => own.setAttribute("aria-pressed", i === this.chosen));
    const one = page.outputs === 1 ? [k] : this.names.map((_, c) => Number(c === k));
    target(isSame ? undefined : one);
  }
  fill() {
    const values = this.items.map(({ own }) => own.querySelector("input").value);
    target(values.some((v) => v === "") ? undefined : values.map(Number));
  }
  show(p) {
    this.items.forEach(({ bar, value, own }, k) => {
      const each = !this.isChoice || page.outputs > 1 ? p[k] : k ? p[0] : 1 - p[0];
      if (!this.isChoice) return (value.textContent = ` is ${digits(each)}`);
      bar.style.setProperty("--p", each);
      value.textContent = percent(each);
      own.classList.toggle("best", each > 0.5 || (page.outputs > 1 && each === Math.max(...p)));
    });
  }
}

function target(values) {
  state.targets = values && array([1, page.outputs], Float64Array.from(values));
  find("learn").querySelectorAll(".needs-target").forEach((button) => (button.disabled = !values));
  state.steps = 0;
  if (!isPlane) find("outcome").textContent = values ? "" : "Choose an answer first.";
  update();
}

// ---- a gradient step
function learn(count) {
  const before = state.pass;
  for (let n = 0; n < count; n++) {
    state.params = sgd(state.params, trace(state.model, state.params, state.x, state.targets).grads, Number(find("rate").value));
    state.steps++;
  }
  update();
  const lines = changes(before, state.pass, view);
  find("outcome").replaceChildren(element("b", {}, `${state.steps} step${state.steps > 1 ? "s" : ""}`), ...lines.map((line) => element("span", {}, line)));
}

function forget() {
  [state.params, state.steps] = [page.params, 0];
  find("outcome").textContent = "The parameters are as they were.";
  update();
}

// ---- one operation at a time: forward through the columns, then back
const last = () => view.columns.length - 1;
const lastOperation = () => (state.targets ? 2 * last() : last());

function walkTo(operation) {
  state.walk = operation === null ? null : Math.min(Math.max(operation, 0), lastOperation());
  view.kept = null;
  view.connect(null);
  if (state.walk !== null) return showOperation();
  view.dim(() => true, null);
  find("position").textContent = "";
  tellStage();
}

function showOperation() {
  state.walk = Math.min(state.walk, lastOperation());
  const [k, n] = [state.walk, last()];
  const isBack = k > n;
  const column = view.columns[isBack ? 2 * n + 1 - k : k];
  view.dim((c, part) => {
    const at = view.columns.indexOf(c);
    if (part === "y" || (part === "dw" && !state.targets)) return k >= at;
    return k >= 2 * n - at + (part === "dw" ? 1 : 0);
  }, column);
  find("position").textContent = `${k + 1} of ${lastOperation() + 1}`;
  const rules = (isBack ? column.spec?.backward_rules : column.spec?.forward_rules) ?? [];
  const said = column.spec ? words(column.spec)[isBack ? 1 : 0] : "What the network is given.";
  tell({ title: `${column.name}, ${isBack ? "backward" : "forward"}`, lines: [...rules, said], pictures: [] });
}

function slowly(isOn) {
  clearInterval(state.timer);
  find("slow").setAttribute("aria-pressed", isOn);
  if (!isOn) return walkTo(null);
  walkTo(0);
  state.timer = setInterval(() => (state.walk < lastOperation() ? walkTo(state.walk + 1) : clearInterval(state.timer)), 1800);
}

function by(step) {
  clearInterval(state.timer);
  find("slow").setAttribute("aria-pressed", true);
  walkTo(state.walk === null ? (step > 0 ? 0 : lastOperation()) : state.walk + step);
}

// ---- light and dark, and putting it all together
function dress(theme) {
  document.documentElement.dataset.theme = theme;
  find("theme").textContent = theme === "dark" ? "Light" : "Dark";
  paint(find("legend"), array([1, 41], Float64Array.from({ length: 41 }, (_, i) => i / 20 - 1)), layoutOf([1, 41]));
  if (state.x) update();
}

const changed = (x) => ((state.x = x), update());
const answers = new Answers(find("target"));
find("input-title").textContent = isImage ? "1 Draw" : isPlane ? "1 A point in the plane" : "1 The inputs";
const input = isImage ? new Drawing(find("input"), page, changed) : isPlane ? new Plane(find("input"), changed) : new Sliders(find("input"), page, changed);
const sizes = (tree) => (tree === null ? 0 : tree.data ? tree.data.length : Object.values(tree).reduce((sum, part) => sum + sizes(part), 0));
find("summary").textContent = `${sizes(page.params).toLocaleString("en")} parameters`;
find("rate").value = isPlane ? 0.3 : 0.02;
dress(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
find("theme").addEventListener("click", () => dress(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
find("slow").addEventListener("click", () => slowly(find("slow").getAttribute("aria-pressed") !== "true"));
find("previous").addEventListener("click", () => by(-1));
find("next").addEventListener("click", () => by(1));
isImage ? input.drawn([]) : input.send();
find("learn-title").textContent = isPlane ? "3 Train on all points" : "3 Take a gradient step";
if (isPlane) {
  const step = (params) => ((state.params = params), update());
  const rebuild = (network, params) => {
    [state.model, state.params, view.kept] = [{ ...state.model, network }, params, null];
    view.build(trace(state.model, params, state.x));
    update();
  };
  new Training(find("learn"), { model: state.model, params: page.params, plane: input, samples: page.samples, rate: () => Number(find("rate").value), step, rebuild });
} else {
  const button = (text, count) => element("button", { type: "button", class: "needs-target", disabled: true, onclick: () => learn(count) }, text);
  find("learn").querySelector(".buttons").append(button("One step", 1), button("Ten steps", 10), element("button", { type: "button", onclick: forget }, "Reset"));
  find("outcome").textContent = "Choose an answer first.";
}
window.fnnet = { decodedTree, predict, sgd, trace, state, input }; // for the console, and for tests
