// fnnet/datasets/toy_problems.py: points in a plane with classes 0 and 1, as [x, y, class].
export const normal = () => Math.sqrt(-2 * Math.log(1 - Math.random())) * Math.cos(2 * Math.PI * Math.random());
const polar = (radius, angle) => [radius * Math.cos(angle), radius * Math.sin(angle)];
const along = (count) => Array.from({ length: count / 2 }, (_, i) => i / (count / 2 - 1));
const noisy = (parts, noise) =>
  parts.flatMap((part, k) => part.map(([x, y]) => [x + noise * normal(), y + noise * normal(), k]));
export const PROBLEMS = {
  "two moons": (count) => {
    const upper = along(count).map((t) => polar(1, Math.PI * t));
    return noisy([upper, upper.map(([x, y]) => [1 - x, 0.5 - y])], 0.1).map(([x, y, k]) => [x - 0.5, y, k]);
  },
  circles: (count) => noisy([1, 0.5].map((r) => along(count).map((t) => polar(r, 2 * Math.PI * t))), 0.05),
  spirals: (count) =>
    noisy([0, 0.5].map((arm) => along(count).map((t) => polar(0.1 + 0.9 * t, 2 * Math.PI * (0.75 * t + arm)))), 0.02),
  XOR: () => [[-1, -1, 0], [-1, 1, 1], [1, -1, 1], [1, 1, 0]],
};
