// Rewards of robometa/suites/objectives.py and the terms of reward_terms.py. `step` has the quantities of a control
// step, `asked` what the task hides and what it commands.

const squares = numbers => numbers.reduce((sum, one) => sum + one * one, 0);
const effort = step => squares(step.control);
const lasting = (step, weight) => (weight.alive_bonus ?? 0) - weight.control_cost * effort(step);

function distance(step, asked, weight) {
  const [x, y] = [0, 1].map(axis => Math.abs(step.position[axis] - asked.goal[axis]));
  return (x ** weight.norm + y ** weight.norm) ** (1 / weight.norm);
}

const ahead = (step, angle) => step.velocity[0] * Math.cos(angle) + step.velocity[1] * Math.sin(angle);

// `shown` is the number that the page plots, and `wanted` the value that it should have, if there is one.
export const OBJECTIVES = {
  forward: {
    reward: (step, asked, weight) => step.forward + lasting(step, weight),
    shown: step => step.forward,
  },
  velocity: {
    reward: (step, asked, weight) => lasting(step, weight) - Math.abs(step.forward - asked.velocity[0]),
    shown: step => step.forward,
    wanted: asked => asked.velocity[0],
  },
  direction: {
    reward: (step, asked, weight) => asked.direction[0] * step.forward + lasting(step, weight),
    shown: step => step.forward,
  },
  heading: {
    reward: (step, asked, weight) => weight.velocity_weight * ahead(step, asked.angle[0]) + lasting(step, weight),
    shown: (step, asked) => ahead(step, asked.angle[0]),
  },
  goal: {
    reward: (step, asked, weight) => -distance(step, asked, weight) - weight.control_cost * effort(step),
    shown: (step, asked, weight) => distance(step, asked, weight),
    wanted: () => 0,
  },
  'sparse-goal': {
    reward: (step, asked, weight) => {
      const away = distance(step, asked, weight);
      return away < weight.radius ? 1 - away : 0;
    },
    shown: (step, asked, weight) => distance(step, asked, weight),
    wanted: () => 0,
  },
  terms: {
    reward: (step, asked, weight) => Object.keys(weight).filter(name => !name.includes('.')).reduce(
      (sum, name) => sum + weight[name] * TERMS[name](step, asked, optionsOf(name, weight)), 0),
    shown: (step, asked, weight) => ('track_velocity' in weight ? step.headingVelocity[0]
      : 'goal_distance' in weight ? distance(step, asked, optionsOf('goal_distance', weight)) : step.forward),
    wanted: (asked, weight) => ('track_velocity' in weight || 'speed_error' in weight ? asked.velocity[0]
      : 'goal_distance' in weight ? 0 : null),
  },
};

const optionsOf = (name, weight) => Object.fromEntries(Object.entries(weight)
  .filter(([key]) => key.startsWith(`${name}.`)).map(([key, value]) => [key.slice(name.length + 1), value]));

const track = (error, sigma) => Math.exp(-error * error / sigma);

function trackingError(step, asked) {
  const [x, y] = step.headingVelocity, off = x - asked.velocity[0];
  return asked.lateral_velocity ? Math.hypot(off, y - asked.lateral_velocity[0]) : Math.abs(off);
}

const STANDING = 0.1; // commanded speed below which a robot is asked to stand, m/s

// 1 if the command is no stand.
function moves(asked) {
  const speeds = ['velocity', 'lateral_velocity', 'yaw_rate'].filter(name => name in asked).map(name => Math.abs(asked[name][0]));
  return Number(!speeds.length || speeds.reduce((sum, one) => sum + one) > STANDING);
}

export const TERMS = {
  alive: () => 1,
  forward: step => step.forward,
  speed_error: (step, asked) => Math.abs(step.forward - asked.velocity[0]),
  track_velocity: (step, asked, { sigma }) => track(trackingError(step, asked), sigma),
  track_yaw_rate: (step, asked, { sigma }) => track(step.baseRates[2] - asked.yaw_rate[0], sigma),
  goal_distance: distance,
  upright: step => step.up[2],
  tilt: step => squares(step.up.slice(0, 2)),
  height_error: (step, asked, { target }) => (step.baseHeight - (asked.height?.[0] ?? target)) ** 2,
  vertical_velocity: step => step.baseVelocity[2] ** 2,
  rolling: step => squares(step.baseRates.slice(0, 2)),
  effort,
  torque: step => squares(step.forces),
  energy: step => step.forces.reduce((sum, one, n) => sum + Math.abs(one * step.actuatorVelocities[n]), 0),
  smoothness: step => squares(step.action.map((one, n) => one - step.lastAction[n])),
  pose: step => squares(step.jointOffsets),
  feet_air_time: (step, asked, { target }) =>
    step.landed.reduce((sum, one, n) => sum + (step.airTime[n] - target) * one, 0) * moves(asked),
};
