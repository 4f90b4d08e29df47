// The page: one network, one input, and everything that follows from them.
import { array, decodedTree, leaves } from "../arrays.js";
import { predict, sgd, trace } from "../model.js";
import { button, digits, element, paint, percent } from "./colors.js";
import { changes, explain } from "./explain.js";
import { Drawing, Plane, SPAN, Sliders } from "./inputs.js";
import { NetworkView, gridOf } from "./network.js";
import { Training } from "./training.js";
const find = (id) => document.getElementById(id);
const page = decodedTree(JSON.parse(find("document").textContent));
const [isImage, isPlane] = [page.input_names === null, page.input_names?.length === 2];
const isError = page.loss.kind === "SquaredError";
page.loss.symbol = isError ? page.loss.input : "p";
const model = { network: page.network, loss: page.loss, outputs: page.outputs };
const state = { model, params: page.params, targets: undefined, steps: 0, walk: null };
const view = new NetworkView(find("network"), find("connections"), page, (figure, index) => {
  view.connect(figure, index);
  if (!figure) return tellStage();
  const said = explain(view, figure, index);
  tell(view.kept ? { ...said, lines: [...said.lines, "Kept: click it again or press Escape to let go."] } : said, "entry");
});

// The pass, and everything drawn from it.
function update() {
  state.pass = trace(state.model, state.params, state.x, state.targets);
  if (!view.columns.length) view.build(state.pass);
  view.show(state.pass, isPlane ? trace(state.model, state.params, gridOf(SPAN)) : undefined);
  answers.show(state.pass.probabilities.data);
  input.redraw(state.model, state.params);
  if (view.kept) return;
  view.connect(null);
  tellStage();
}
function tell({ title, lines, pictures = [] }, of) {
  find("detail").dataset.of = of;
  find("detail-title").textContent = title;
  find("lines").replaceChildren(...lines.map((line) => element("p", {}, line)));
  const shown = pictures.flatMap(({ title, note, a, layout, sign }) => {
    const canvas = element("canvas", { role: "img", "aria-label": `${title}, ${note}` });
    paint(canvas, a, layout);
    const caption = element("figcaption", {}, element("b", {}, title), element("br"), note);
    return [sign ?? "", element("figure", { style: `--ratio: ${layout.width / layout.height}` }, canvas, caption)];
  });
  find("pictures").replaceChildren(...shown);
}
function tellStage() {
  if (state.walk !== null) return showOperation();
  if (!state.targets)
    return tell({ title: "The forward pass", lines: [
      "Every column is computed from the one on its left, by the formula below it. Point at any number to see where it comes from; click to keep it. Lines lead to the inputs that pushed it most, up (orange) or down (blue).",
      "Then say which answer would be right: the backward pass appears.",
    ] }, "stage");
  tell({ title: "The backward pass", lines: [
    `The loss L is ${digits(state.pass.value)}. The backward pass starts at the loss, in the last column, and goes left: every gradient (d in front of a name) says how L would change if that number were raised a little.`,
    `Orange: raising it raises the loss. Blue: raising it lowers the loss.${isImage ? " For the pixels, see dx: more ink where it is orange raises the loss." : ""} A gradient step moves every weight against its gradient.`,
    `In the formulas t is what the outputs should be${isError ? "" : " (1 for the right answer, 0 for the others)"}, ^T swaps rows and columns, and sum_b adds up the examples: here there is one.`,
  ] }, "stage");
}

// Which answer is right: a choice among classes, or values to be typed.
class Answers {
  constructor(section) {
    this.isChoice = page.loss.kind === "SoftmaxCrossEntropy" || (!isError && page.outputs === 1);
    this.names = page.outputs === 1 && this.isChoice ? ["0", "1"] : page.output_names;
    section.querySelector("h2").textContent = this.isChoice ? "2 Which answer is right?" : "2 Which values are right?";
    this.items = this.names.map((name, k) => {
      const [bar, value, label] = [element("i"), element("small"), element("b", {}, name)];
      const typed = element("input", { type: "number", step: "any", id: `t${k}`, oninput: () => this.type() });
      const choice = element("button", { type: "button", "aria-pressed": "false", onclick: () => this.choose(k) }, label, bar, value);
      const own = this.isChoice ? choice : element("label", { class: "value" }, label, value, typed);
      section.querySelector(".answers").append(own);
      return { bar, value, typed, own };
    });
  }
  choose(k) {
    this.chosen = this.chosen === k ? undefined : k;
    this.items.forEach(({ own }, i) => own.setAttribute("aria-pressed", i === this.chosen));
    const wanted = page.outputs === 1 ? [k] : this.names.map((_, c) => Number(c === k));
    aim(this.chosen === undefined ? undefined : wanted);
  }
  type() {
    const values = this.items.map(({ typed }) => typed.value);
    aim(values.includes("") ? undefined : values.map(Number));
  }
  show(p) {
    const all = this.isChoice && page.outputs === 1 ? [1 - p[0], p[0]] : [...p];
    this.items.forEach(({ bar, value, own }, k) => {
      const each = all[k];
      value.textContent = this.isChoice ? percent(each) : ` is ${digits(each)}, should be`;
      bar.style.setProperty("--p", each);
      own.classList.toggle("best", this.isChoice && each === Math.max(...all));
    });
  }
}
function aim(values) {
  state.targets = values && array([1, page.outputs], Float64Array.from(values));
  [state.steps, view.start] = [0, undefined];
  for (const each of document.querySelectorAll(".needs-target")) each.disabled = !values;
  if (!isPlane) find("outcome").textContent = values ? "" : "Choose an answer first.";
  update();
}

// Gradient steps on what is shown.
function learn(count) {
  const rate = Number(find("rate").value);
  if (!(rate > 0)) return void (find("outcome").textContent = "The learning rate must be a number above 0.");
  view.start ??= state.pass;
  for (let n = 0; n < count; n++)
    state.params = sgd(state.params, trace(state.model, state.params, state.x, state.targets).grads, rate);
  state.steps += count;
  update();
  const [loss, ...weights] = changes(view.start, state.pass);
  const lines = [`after ${state.steps} step${state.steps > 1 ? "s" : ""}: ${loss}`, ...weights];
  find("outcome").replaceChildren(...lines.map((line) => element("span", {}, line)));
}
function forget() {
  [state.params, state.steps, view.start] = [page.params, 0, undefined];
  find("outcome").textContent = "The weights are as they were.";
  update();
}

// One operation at a time: forward through the columns, then back.
const lastOperation = () => (state.targets ? 2 : 1) * (view.columns.length - 1);
function walkTo(operation) {
  state.walk = operation === null ? null : Math.min(Math.max(operation, 0), lastOperation());
  view.kept = null;
  view.connect(null);
  find("slow").setAttribute("aria-pressed", state.walk !== null);
  if (state.walk !== null) return showOperation();
  view.dim(() => true, null);
  find("position").textContent = "";
  tellStage();
}
function showOperation() {
  const [k, n] = [(state.walk = Math.min(state.walk, lastOperation())), view.columns.length - 1];
  const isBack = Number(k > n);
  const column = view.columns[isBack ? 2 * n + 1 - k : k];
  view.dim((each, part) => {
    const at = view.columns.indexOf(each);
    return k >= (part === "y" || (part === "dw" && !state.targets) ? at : 2 * n - at + Number(part === "dw"));
  }, column);
  find("position").textContent = `${k + 1} of ${lastOperation() + 1}`;
  const { words, forward_rules, backward_rules } = column.spec ?? { words: ["What the network is given."] };
  const rules = (isBack ? backward_rules : forward_rules) ?? [];
  tell({ title: `${column.name}, ${isBack ? "backward" : "forward"}`, lines: [...rules, words[isBack]] }, "walk");
}
function by(step) {
  clearInterval(state.timer);
  walkTo(state.walk === null ? (step > 0 ? 0 : lastOperation()) : state.walk + step);
}
function slowly() {
  clearInterval(state.timer);
  if (state.walk !== null) return walkTo(null);
  walkTo(0);
  state.timer = setInterval(() => (state.walk < lastOperation() ? walkTo(state.walk + 1) : clearInterval(state.timer)), 1800);
}
function dress(theme) {
  document.documentElement.dataset.theme = theme;
  find("theme").textContent = theme === "dark" ? "Light" : "Dark";
  if (state.x) update();
}
const answers = new Answers(find("target"));
const [Input, title] = isImage ? [Drawing, "1 Draw, or pick one"] : isPlane ? [Plane, "1 A point in the plane"] : [Sliders, "1 The inputs"];
find("input-title").textContent = title;
const input = new Input(find("input"), page, (x) => ((state.x = x), update()));
const count = leaves(page.params).reduce((sum, [, { data }]) => sum + data.length, 0);
find("summary").textContent = `${count.toLocaleString("en")} parameters`;
find("rate").value = isPlane ? 0.3 : 0.001;
find("learn-title").textContent = isPlane ? "3 Train on all points" : "3 Take a gradient step";
for (const [id, listener] of [["slow", slowly], ["previous", () => by(-1)], ["next", () => by(1)]]) find(id).addEventListener("click", listener);
find("theme").addEventListener("click", () => dress(document.documentElement.dataset.theme === "dark" ? "light" : "dark"));
dress(matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light");
input.settle();
if (isPlane) {
  const show = (model, params, isNew) => {
    Object.assign(state, { model, params });
    if (isNew) view.build(trace(model, params, state.x));
    update();
  };
  const rate = () => Number(find("rate").value);
  new Training(find("learn"), { model, params: page.params, plane: input, samples: page.samples, rate, show });
} else {
  const needy = { class: "needs-target", disabled: "" };
  find("learn").querySelector(".buttons").append(button("One step", () => learn(1), needy), button("Ten", () => learn(10), needy), button("Reset", forget));
  find("outcome").textContent = "Choose an answer first.";
}
window.fnnet = { decodedTree, predict, sgd, trace, state, input }; // for the console, and for tests
