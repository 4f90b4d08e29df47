// fnnet/datasets/toy_problems.py: points in a plane with classes 0 and 1, as [x, y, class].

// Numbers in [0, 1) from a seed (mulberry32), and normal ones.
export function generator(seed) {
  const uniform = () => {
    seed = (seed + 0x6d2b79f5) | 0;
    let t = Math.imul(seed ^ (seed >>> 15), 1 | seed);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  };
  const normal = () => Math.sqrt(-2 * Math.log(1 - uniform())) * Math.cos(2 * Math.PI * uniform());
  return { uniform, normal };
}

const polar = (radius, angle) => [radius * Math.cos(angle), radius * Math.sin(angle)];
const along = (count) => Array.from({ length: count }, (_, i) => i / (count - 1));

function withNoise(parts, noise, { normal }) {
  return parts.flatMap((part, k) => part.map(([x, y]) => [x + noise * normal(), y + noise * normal(), k]));
}

export const PROBLEMS = {
  "two moons": (count, random) => {
    const upper = along(count / 2).map((t) => polar(1, Math.PI * t));
    return withNoise([upper, upper.map(([x, y]) => [1 - x, 0.5 - y])], 0.1, random).map(([x, y, k]) => [x - 0.5, y, k]);
  },
  circles: (count, random) => {
    const angles = along(count / 2).map((t) => 2 * Math.PI * t);
    return withNoise([angles.map((a) => polar(1, a)), angles.map((a) => polar(0.5, a))], 0.05, random);
  },
  spirals: (count, random) => {
    const arm = (k) => along(count / 2).map((t) => polar(0.1 + 0.9 * t, 2 * Math.PI * (0.75 * t + k / 2)));
    return withNoise([arm(0), arm(1)], 0.02, random);
  },
  XOR: () => [[-1, -1, 0], [-1, 1, 1], [1, -1, 1], [1, 1, 0]],
};
