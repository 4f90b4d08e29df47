// What the page says: in words for a layer, in numbers for one entry of an array.
import { array, largest, norm, sizeOf } from "../arrays.js";
import { LAYERS } from "../layers/composition.js";
import { digits, layoutOf } from "./colors.js";

const POOL = "An output moves only with the entries of its window, so they share its gradient.";
const WORDS = {
  Dense: [
    "Each neuron adds up all its inputs, each times a weight, and a bias.",
    "Each weight's gradient is its input times its neuron's gradient. Each input collects the gradients of all neurons, through the same weights as forward.",
  ],
  Conv: [
    "The same small weights at every place: an output sees only the inputs under its window.",
    "A weight is used at every place, so its gradient is a sum over places. Each input collects from all windows that saw it.",
  ],
  Relu: [
    "What is below 0 becomes 0, the rest stays.",
    "Where the input was above 0 the gradient passes unchanged. Elsewhere the output is flat, so the gradient is 0: that neuron learns nothing from this example.",
  ],
  MaxPool: ["The largest number of each window.", "Only the largest entry moved the output, so it gets the whole gradient."],
  GlobalMaxPool: ["The largest number of each channel.", "Only the largest entry moved the output, so it gets the whole gradient."],
  MeanPool: ["The mean over each window.", POOL],
  GlobalMeanPool: ["The mean over each channel.", POOL],
  Flatten: ["The same numbers in one row.", "The same gradients, back in their places."],
  Reshape: ["The same numbers in another shape.", "The same gradients, back in their places."],
  Rescale: ["Every number times one factor.", "Every gradient times the same factor."],
  Standardize: ["Inputs of any scale become numbers around 0.", "Every gradient over the same deviation."],
  Residual: ["What went in is added to what came out.", "x reaches the output along two paths, so its gradient is a sum of two."],
  Softmax: ["Numbers become probabilities, which share a denominator.", "Raising one probability lowers the others, so the gradients of a row mix."],
  SoftmaxCrossEntropy: [
    "Scores become probabilities p. The loss is −log of the probability that the right answer got.",
    "Here the backward pass starts: the gradient of each score is its probability minus what it should have been.",
  ],
  SigmoidBinaryCrossEntropy: [
    "A score becomes a probability p. The loss is −log of the probability given to the truth.",
    "Here the backward pass starts: the gradient of a score is its probability minus what it should have been.",
  ],
  SquaredError: ["The squared distance from the right values.", "Here the backward pass starts: twice the distance."],
};
const ACTIVATION = ["One function, applied to every number.", "Each gradient times the slope of the function at that place."];
export const words = (spec) => WORDS[spec.kind] ?? ACTIVATION;

const isElementwise = (spec) => spec && !spec.isLoss && LAYERS[spec.kind]?.isElementwise;
const product = (a, b) => `${digits(a)} × ${b < 0 ? `(${digits(b)})` : digits(b)}`;

// "17", or "3,4,2" in an array of more axes.
function place(index, shape) {
  const found = [];
  for (const size of shape.toReversed()) [found[found.length], index] = [index % size, Math.floor(index / size)];
  return found.toReversed().join(",");
}
const called = (symbol, index, a) => `${symbol}[${place(index, a.shape.slice(1))}]`;

// {title, lines, pictures} of one entry of a figure.
export function explain(view, { column, part }, index) {
  const { pass } = view;
  if (column.isLoss) return { title: "Loss", lines: lossLines(view, index), pictures: [] };
  const layer = pass.layers.get(column.name) ?? { y: pass.x, dy: pass.dx };
  if (part === "dw") return weight(view, column, layer, index);
  const name = called(column.output, index, layer.y);
  const lines = column.spec ? forwardLines(view, column, layer, index) : [`${name} = ${digits(pass.x.data[index])} goes in`];
  if (pass.grads) lines.push(...backwardLines(view, column, layer, index));
  return { title: part === "y" ? name : `d${name}`, lines, pictures: pictures(view, column, index) };
}

function forwardLines(view, column, { spec, params, x, y }, index) {
  const [name, number, value] = [called(spec.output, index, y), column.name.split(" ")[0], y.data[index]];
  const all = view.contributions(column, index);
  const strongest = all.slice(0, 3).filter(({ pushes }) => pushes !== 0);
  if (isElementwise(spec)) return [`${name} = ${digits(value)}, from ${called(spec.input, index, x)} = ${digits(x.data[index])}`];
  if (spec.kind === "Dense" || spec.kind === "Conv") {
    const o = index % params.w.shape.at(-1);
    const b = params.b ? params.b.data[o] : 0;
    const sum = `sum of ${all.length} products ${spec.input} · w${number}`;
    return [
      `${name} = ${sum}${params.b ? ` + b${number}[${o}] = ${digits(value - b)} + ${digits(b)}` : ""} = ${digits(value)}`,
      `strongest: ${strongest.map((c) => `${called(spec.input, c.i, x)} · w = ${product(c.x, c.slope)}`).join(",  ")}`,
    ];
  }
  return [`${name} = ${digits(value)}`, ...strongest.slice(0, 2).map((c) => `from ${called(spec.input, c.i, x)} = ${digits(c.x)}`)];
}

// Where the gradient of an entry comes from: the backward pass of every layer that read it.
function backwardLines(view, { output, spec }, { y, dy }, index) {
  const name = called(`d${output}`, index, y);
  const readers = view.columns.filter((column) => column.spec?.input === output);
  const lines = readers.flatMap((reader) => {
    if (reader.isLoss) return lossLines(view, index);
    const layer = view.pass.layers.get(reader.name);
    const [theirs, back] = [reader.spec.output, layer.dx.data[index]];
    if (isElementwise(reader.spec)) {
      const one = array(layer.y.shape, new Float64Array(layer.y.data.length).fill(1));
      const slope = LAYERS[reader.spec.kind].backward(reader.spec, layer.params, layer.residuals, one)[1].data[index];
      const why = reader.spec.kind === "Relu" && slope === 0 ? `: ${called(output, index, y)} is not above 0, so nothing passes` : "";
      return [`${name} = ${called(`d${theirs}`, index, y)} · slope of ${reader.spec.kind} = ${product(layer.dy.data[index], slope)} = ${digits(back)}${why}`];
    }
    if (reader.spec.kind === "Dense") {
      const number = reader.name.split(" ")[0];
      return [`${name} = sum of ${layer.dy.shape.at(-1)} products d${theirs} · w${number} = ${digits(back)}`];
    }
    return [`${name} gets ${digits(back)} through ${reader.name}`];
  });
  const total = dy.data[index];
  if (readers.length > 1) lines.push(`${name} = ${digits(total)}, the sum over both paths`);
  if (!spec && total !== 0) lines.push(`raising this input by a little ${total > 0 ? "raises" : "lowers"} the loss`);
  return lines;
}

function lossLines({ pass, loss }, index) {
  const [p, name] = [pass.probabilities.data[index], `${loss.input}[${index}]`];
  const isError = loss.kind === "SquaredError";
  if (!pass.grads) return [isError ? `${name} = ${digits(p)}` : `p[${index}] = ${digits(p)}, from ${name} = ${digits(pass.outputs.data[index])}`];
  const d = pass.doutputs.data[index];
  const t = isError ? pass.targets.data[index] : p - d;
  return [`d${name} = ${isError ? `2 · (${loss.input} − t)` : `p[${index}] − t[${index}]`} = ${isError ? "2 × (" : ""}${digits(p)} − ${digits(t)}${isError ? ")" : ""} = ${digits(d)}: the backward pass starts here`];
}

function weight(view, column, { spec, params, grads, x, dy }, index) {
  const [number, [I, O]] = [column.name.split(" ")[0], params.w.shape.slice(-2)];
  const [o, name] = [index % O, `w${number}[${place(index, params.w.shape)}]`];
  const lines = [`${name} = ${digits(params.w.data[index])}`];
  if (grads && spec.kind === "Dense" && sizeOf(x.shape) === I) {
    const i = Math.floor(index / O);
    lines.push(`d${name} = ${called(spec.input, i, x)} · d${spec.output}[${o}] = ${product(x.data[i], dy.data[o])} = ${digits(grads.w.data[index])}`);
    lines.push(`d${spec.output} comes from the right, ${spec.input} from the left: d${"w" + number} is every product of the two`);
  } else if (grads) lines.push(`d${name} = ${digits(grads.w.data[index])}, a sum over all places of ${spec.input} · d${spec.output}`);
  return { title: grads ? `d${name}` : name, lines, pictures: pictures(view, column, o) };
}

// The weights into a neuron as an image; with gradients, what they are made of: input times the neuron's gradient.
function pictures(view, column, index) {
  while (isElementwise(column.spec)) column = view.columns.find(({ output }) => output === column.spec.input);
  const { spec, params, grads, x, dy } = view.pass.layers.get(column.name) ?? {};
  if (!params?.w || (spec.kind === "Dense" && sizeOf(x.shape) !== params.w.shape[0])) return [];
  const [number, O] = [column.name.split(" ")[0], params.w.shape.at(-1)];
  const o = index % O;
  const source = view.figures.find((figure) => figure.part === "y" && figure.column.output === spec.input);
  const into = (w) => array(w.shape.slice(0, -1), w.data.filter((_, i) => i % O === o));
  const layout = spec.kind === "Dense" ? source.layout : layoutOf(params.w.shape.slice(0, -1));
  const isDense = spec.kind === "Dense";
  const found = [{ title: `w${number}[${isDense ? "" : ":,:,"}:,${o}]`, note: "the weights into this neuron", a: into(params.w), layout }];
  if (!grads) return found;
  const gradient = { title: `dw${number}[${isDense ? "" : ":,:,"}:,${o}]`, note: "their gradient", a: into(grads.w), layout };
  if (!isDense) return [...found, gradient];
  return [...found, { title: spec.input, note: `times d${spec.output}[${o}] = ${digits(dy.data[o])}`, a: source.array, layout, sign: "×" }, { ...gradient, sign: "=" }];
}

// What a step did: to the loss, to the answer and to the weights of every layer.
export function changes(before, after, view) {
  const lines = [`loss ${digits(before.value)} → ${digits(after.value)}`];
  for (const [name, { params }] of after.layers) {
    const old = before.layers.get(name);
    if (!params?.w) continue;
    const delta = array(params.w.shape, params.w.data.map((v, i) => v - old.params.w.data[i]));
    const O = params.w.shape.at(-1);
    const moved = new Set();
    delta.data.forEach((v, i) => v !== 0 && moved.add(i % O));
    const size = largest(delta) ? `moved by ${digits((100 * norm(delta)) / norm(old.params.w))} % of its size, in ${moved.size} of ${O} neurons` : "did not move";
    lines.push(`w${name.split(" ")[0]} ${size}`);
  }
  return lines;
}
