// Arrays: numbers in C order with a shape, the batch axis first, as in NumPy. Everything computes in float64.
export const sizeOf = (shape) => shape.reduce((product, n) => product * n, 1);
export const array = (shape, data = new Float64Array(sizeOf(shape))) => ({ shape, data });

// How large the numbers are: the largest magnitude, how many are 0, the Euclidean norm.
export function summary({ data }) {
  let [largest, zeros, squares] = [0, 0, 0];
  for (const v of data) {
    if (v === 0) zeros++;
    else largest = Math.max(largest, Math.abs(v));
    squares += v * v;
  }
  return { largest, zeros, norm: Math.sqrt(squares) };
}

// f(i) for the entry number i.
export function filled(shape, f) {
  const y = array(shape);
  for (let i = 0; i < y.data.length; i++) y.data[i] = f(i);
  return y;
}

// An entry-by-entry function of arrays of one shape.
export function map(f, first, ...others) {
  const y = array(first.shape);
  for (let i = 0; i < y.data.length; i++) y.data[i] = f(first.data[i], ...others.map((a) => a.data[i]));
  return y;
}

// The function of every number in a tree of arrays: parameters are objects, lists and nulls of arrays.
export function mapTree(f, tree, ...others) {
  if (tree === null) return null;
  if (tree.data) return map(f, tree, ...others);
  const parts = Object.keys(tree).map((k) => [k, mapTree(f, tree[k], ...others.map((t) => t[k]))]);
  return Array.isArray(tree) ? parts.map(([, part]) => part) : Object.fromEntries(parts);
}

// [path, array] of every array in a tree, ["2.w", ...] for a Dense that is third in a Serial.
export function leaves(tree, path = []) {
  if (tree === null) return [];
  return tree.data ? [[path.join("."), tree]] : Object.keys(tree).flatMap((k) => leaves(tree[k], [...path, k]));
}

// What Python wrote, with every {shape, float32 or uint8: base64} in it as an array.
export function decodedTree(node) {
  if (node === null || typeof node !== "object") return node;
  if (Array.isArray(node)) return node.map(decodedTree);
  const text = node.float32 ?? node.uint8;
  if (text === undefined) return Object.fromEntries(Object.entries(node).map(([k, v]) => [k, decodedTree(v)]));
  const bytes = Uint8Array.from(atob(text), (c) => c.charCodeAt(0));
  return array(node.shape, Float64Array.from(node.uint8 === undefined ? new Float32Array(bytes.buffer) : bytes));
}
