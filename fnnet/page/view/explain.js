// What the page says about one entry of an array, in symbols and numbers.
import { array, filled, sizeOf, summary } from "../arrays.js";
import { LAYERS } from "../layers/composition.js";
import { digits, layoutOf } from "./colors.js";
const isElementwise = (spec) => spec && LAYERS[spec.kind]?.isElementwise;
const product = (a, b) => `${digits(a)} × ${b < 0 ? `(${digits(b)})` : digits(b)}`;

// "a2[17]", or "y3[3,4,2]" in an array of more axes; the batch axis is left out.
function called(symbol, index, { shape }) {
  const found = [];
  for (const size of shape.slice(1).toReversed()) [found[found.length], index] = [index % size, Math.floor(index / size)];
  return `${symbol}[${found.toReversed().join(",")}]`;
}

// {title, lines, pictures} of one entry of a figure.
export function explain(view, figure, at) {
  const [{ column, part }, { pass }, index] = [figure, view, view.entry(figure, at)];
  if (column.isLoss) return { title: "Loss", lines: lossLines(view, index), pictures: [] };
  const layer = pass.layers.get(column.name) ?? { y: pass.x, dy: pass.dx };
  if (part === "dw") return weight(view, column, layer, index);
  const name = called(column.output, index, layer.y);
  const forward = column.spec ? forwardLines(view, column, layer, index) : [`${name} = ${digits(pass.x.data[index])} goes in`];
  const backward = pass.grads ? backwardLines(view, column, layer, index) : [];
  const [title, lines] = part === "y" ? [name, [...forward, ...backward]] : [`d${name}`, [...backward, ...forward]];
  return { title, lines, pictures: pictures(view, column, index) };
}
function forwardLines(view, column, { spec, params, x, y }, index) {
  const [name, value] = [called(spec.output, index, y), y.data[index]];
  const all = view.contributions(column, index);
  if (isElementwise(spec)) return [`${name} = ${digits(value)}, from ${called(spec.input, index, x)} = ${digits(x.data[index])}`];
  if (!params.w) return [`${name} = ${digits(value)}, from ${all.slice(0, 3).map((c) => `${called(spec.input, c.i, x)} = ${digits(c.x)}`).join(", ")}`];
  const [number, o] = [column.spec.number, index % params.w.shape.at(-1)];
  const bias = params.b?.data[o];
  const parts = params.b ? ` + b${number}[${o}] = ${digits(value - bias)} + ${digits(bias)}` : "";
  const strongest = all.slice(0, 3).map((c) => `${called(spec.input, c.i, x)} · w = ${product(c.x, c.slope)}`);
  return [`${name} = sum of ${all.length} products ${spec.input} · w${number}${parts} = ${digits(value)}`, `strongest: ${strongest.join(", ")}`];
}

// Where the gradient of an entry comes from: the backward pass of every layer that read it.
function backwardLines(view, { output, spec }, { y, dy }, index) {
  const [name, total] = [called(`d${output}`, index, y), dy.data[index]];
  const readers = view.columns.filter((column) => column.spec?.input === output);
  const lines = readers.flatMap((reader) => {
    if (reader.isLoss) return lossLines(view, index);
    const layer = view.pass.layers.get(reader.name);
    const [theirs, back] = [`d${reader.spec.output}`, digits(layer.dx.data[index])];
    if (reader.spec.kind === "Dense") return `${name} = sum of ${layer.dy.shape.at(-1)} products ${theirs} · w${reader.spec.number} = ${back}`;
    if (!isElementwise(reader.spec)) return `${name} gets ${back} through ${reader.name}`;
    const ones = filled(layer.y.shape, () => 1);
    const slope = LAYERS[reader.spec.kind].backward(reader.spec, layer.params, layer.residuals, ones)[1].data[index];
    const why = reader.spec.kind === "Relu" && slope === 0 ? `, because ${called(output, index, y)} is not above 0` : "";
    return `${name} = ${called(theirs, index, y)} · slope of ${reader.spec.kind} = ${product(layer.dy.data[index], slope)} = ${back}${why}`;
  });
  if (readers.length > 1) lines.push(`${name} = ${digits(total)}, the sum over the paths`);
  if (!spec && total !== 0) lines.push(`${view.isImage ? "more ink in this pixel" : "raising this input a little"} would ${total > 0 ? "raise" : "lower"} the loss`);
  return lines;
}
function lossLines({ pass, page: { loss } }, index) {
  const [p, name, isError] = [pass.probabilities.data[index], `${loss.input}[${index}]`, loss.kind === "SquaredError"];
  if (!pass.grads) return [isError ? `${name} = ${digits(p)}` : `p[${index}] = ${digits(p)}, from ${name} = ${digits(pass.outputs.data[index])}`];
  const d = pass.doutputs.data[index];
  if (isError) return [`d${name} = 2 × (${digits(p)} − ${digits(pass.targets.data[index])}) = ${digits(d)}: the backward pass starts here`];
  return [`d${name} = p[${index}] − t[${index}] = ${digits(p)} − ${digits(p - d)} = ${digits(d)}: the backward pass starts here`];
}
function weight(view, column, { spec, params: { w }, grads, x, dy }, index) {
  const [number, O] = [column.spec.number, w.shape.at(-1)];
  const [o, i, name] = [index % O, Math.floor(index / O), called(`w${number}`, index, { shape: [1, ...w.shape] })];
  const was = view.start?.layers.get(column.name).params.w.data[index];
  const lines = [`${name} = ${digits(w.data[index])}${was === undefined ? "" : `; the steps moved it by ${digits(w.data[index] - was)}`}`];
  if (grads && spec.kind === "Dense" && sizeOf(x.shape) === w.shape[0])
    lines.push(
      `d${name} = ${called(spec.input, i, x)} · d${spec.output}[${o}] = ${product(x.data[i], dy.data[o])} = ${digits(grads.w.data[index])}`,
      `All of dw${number} is made so: every entry of ${spec.input}, the input, times every entry of d${spec.output}, the gradient.`,
    );
  else if (grads) lines.push(`d${name} = ${digits(grads.w.data[index])}, the sum of ${spec.input} · d${spec.output} over all places`);
  return { title: grads ? `d${name}` : name, lines, pictures: pictures(view, column, o) };
}

// The weights into a neuron as an image; with gradients, what they are made of: input times the neuron's gradient.
function pictures(view, column, index) {
  while (isElementwise(column.spec)) column = view.columns.find(({ output }) => output === column.spec.input);
  const { spec, params, grads, x, dy } = view.pass.layers.get(column.name) ?? {};
  const isDense = spec?.kind === "Dense";
  if (!params?.w || (isDense && sizeOf(x.shape) !== params.w.shape[0])) return [];
  const O = params.w.shape.at(-1);
  const [o, source] = [index % O, view.columns.find(({ output }) => output === spec.input)];
  const into = (w) => array(w.shape.slice(0, -1), w.data.filter((_, i) => i % O === o));
  const [name, layout] = [`w${column.spec.number}[${isDense ? "" : ":,:,"}:,${o}]`, layoutOf(params.w.shape.slice(0, -1), source.image)];
  const weights = { title: name, note: "weights into this neuron", a: into(params.w), layout };
  if (!grads) return [weights];
  const gradient = { title: `d${name}`, note: "gradient of the weights", a: into(grads.w), layout };
  if (!isDense) return [weights, gradient];
  const inputs = { title: spec.input, note: `d${spec.output}[${o}] = ${digits(dy.data[o])}`, a: x, layout };
  return [weights, { ...gradient, sign: " " }, { ...inputs, title: `${spec.input}, times`, sign: "=" }];
}

// What a step did: to the loss, and to the weights of every layer.
export function changes(before, after) {
  const lines = [...after.layers].filter(([, { params }]) => params?.w).map(([name, { spec, params: { w } }]) => {
    const [old, O] = [before.layers.get(name).params.w, w.shape.at(-1)];
    const delta = array(w.shape, w.data.map((v, i) => v - old.data[i]));
    const moved = new Set([...delta.data.keys()].filter((i) => delta.data[i] !== 0).map((i) => i % O));
    const size = Number(((100 * summary(delta).norm) / summary(old).norm).toPrecision(2));
    return `w${spec.number} ${moved.size ? `moved ${size}% (${moved.size}/${O} neurons)` : "did not move: gradient 0"}`;
  });
  return [`loss ${digits(before.value)} → ${digits(after.value)}`, ...lines];
}
