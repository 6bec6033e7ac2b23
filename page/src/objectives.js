// Rewards of robometa/suites/objectives.py. `step` has position, velocity [x, y] and control; `hidden` what the task asks.

const effort = step => step.control.reduce((sum, one) => sum + one * one, 0);
const lasting = (step, weight) => (weight.alive_bonus ?? 0) - weight.control_cost * effort(step);

function distance(step, hidden, weight) {
  const [x, y] = [0, 1].map(axis => Math.abs(step.position[axis] - hidden.goal[axis]));
  return (x ** weight.norm + y ** weight.norm) ** (1 / weight.norm);
}

const ahead = (step, angle) => step.velocity[0] * Math.cos(angle) + step.velocity[1] * Math.sin(angle);

// `shown` is the number that the page plots, and `wanted` the value that it should have, if there is one.
export const OBJECTIVES = {
  forward: {
    reward: (step, hidden, weight) => step.forward + lasting(step, weight),
    shown: step => step.forward,
  },
  velocity: {
    reward: (step, hidden, weight) => lasting(step, weight) - Math.abs(step.forward - hidden.velocity[0]),
    shown: step => step.forward,
    wanted: hidden => hidden.velocity[0],
  },
  direction: {
    reward: (step, hidden, weight) => hidden.direction[0] * step.forward + lasting(step, weight),
    shown: step => step.forward,
  },
  heading: {
    reward: (step, hidden, weight) => weight.velocity_weight * ahead(step, hidden.angle[0]) + lasting(step, weight),
    shown: (step, hidden) => ahead(step, hidden.angle[0]),
  },
  goal: {
    reward: (step, hidden, weight) => -distance(step, hidden, weight) - weight.control_cost * effort(step),
    shown: (step, hidden, weight) => distance(step, hidden, weight),
    wanted: () => 0,
  },
  'sparse-goal': {
    reward: (step, hidden, weight) => {
      const away = distance(step, hidden, weight);
      return away < weight.radius ? 1 - away : 0;
    },
    shown: (step, hidden, weight) => distance(step, hidden, weight),
    wanted: () => 0,
  },
};
