// Vectors in other frames, as robometa/sim/locomotion/base.py turns them.

const cross = ([a, b, c], [x, y, z]) => [b * z - c * y, c * x - a * z, a * y - b * x];

// Turns a vector by the inverse of a unit quaternion w, x, y, z.
export function turnedBack([w, ...axis], vector) {
  const once = cross(axis, vector), twice = cross(axis, once);
  return vector.map((one, n) => one - 2 * w * once[n] + 2 * twice[n]);
}

// The part of a unit quaternion that turns about the vertical.
export function heading([w, x, y, z]) {
  const half = Math.atan2(2 * (w * z + x * y), 1 - 2 * (y * y + z * z)) / 2;
  return [Math.cos(half), 0, 0, Math.sin(half)];
}
