// fnnet/_windows.py: windows that move over images, what convolutions and pooling share.
const pair = (value) => (Array.isArray(value) ? value : [value, value]);

// The window as it moves over images of [H, W]: output (h, w) sees, at (i, j), row h s + i d - p.
export function windowOver(image, size, stride, dilation, padding) {
  const [s, d] = [pair(stride), pair(dilation)];
  const spans = size.map((k, a) => (k - 1) * d[a] + 1);
  if (padding === "valid") padding = [[0, 0], [0, 0]];
  if (padding === "same") {
    const missing = image.map((n, a) => Math.max(0, (Math.ceil(n / s[a]) - 1) * s[a] + spans[a] - n));
    padding = missing.map((m) => [Math.floor(m / 2), m - Math.floor(m / 2)]);
  }
  const outputs = image.map((n, a) => Math.floor((n + padding[a][0] + padding[a][1] - spans[a]) / s[a]) + 1);
  return { image, size, stride: s, dilation: d, low: padding.map(([before]) => before), outputs };
}

// visit(place of the output, place in the image, number of the position) for every pair that lies in the image;
// places are counted in pixels, row b included.
export function visitAll(window, rows, visit) {
  const { image: [H, W], size: [k, l], stride, dilation, low, outputs: [h, w] } = window;
  for (let b = 0; b < rows; b++)
    for (let y = 0; y < h; y++)
      for (let x = 0; x < w; x++)
        for (let i = 0; i < k; i++) {
          const row = y * stride[0] + i * dilation[0] - low[0];
          if (row < 0 || row >= H) continue;
          for (let j = 0; j < l; j++) {
            const column = x * stride[1] + j * dilation[1] - low[1];
            if (column >= 0 && column < W) visit((b * h + y) * w + x, (b * H + row) * W + column, i * l + j);
          }
        }
}
