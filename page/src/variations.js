// Changes to a MuJoCo model, as robometa/suites/variations.py makes them.

const scale = (array, factors, width = 1) => {
  for (let n = 0; n < array.length; n++) array[n] *= factors[Math.floor(n / width)];
};

const MUSCLE = 2, JOINT_IN_PARENT = 1, SCALAR = [2, 3]; // MuJoCo's numbers

// Scales the friction of explicit pairs as MuJoCo mixes that of their geoms: the larger, or of the higher priority.
function pairs(model, factor) {
  const mixed = [0, 0, 1, 2, 2];
  for (let pair = 0; pair < model.npair; pair++) {
    const [one, other] = [model.pair_geom1[pair], model.pair_geom2[pair]];
    const [first, second] = [model.geom_priority[one], model.geom_priority[other]];
    mixed.forEach((kind, n) => {
      const larger = model.geom_friction[3 * one + kind] >= model.geom_friction[3 * other + kind];
      model.pair_friction[5 * pair + n] *= factor[3 * ((first === second ? larger : first > second) ? one : other) + kind];
    });
  }
}

// Scales a range; a negative factor turns it over.
function scaleRange(ranges, place, factor) {
  const ends = [ranges[2 * place] * factor, ranges[2 * place + 1] * factor].sort((a, b) => a - b);
  [ranges[2 * place], ranges[2 * place + 1]] = ends;
}

// The strongest of the actuators of each joint that one drives.
function strongest(model, factor) {
  const found = new Map();
  factor.forEach((strength, actuator) => {
    const joint = model.actuator_trnid[2 * actuator];
    if (model.actuator_trntype[actuator] > JOINT_IN_PARENT || !SCALAR.includes(model.jnt_type[joint])) return;
    if (!(Math.abs(found.get(joint)) >= Math.abs(strength))) found.set(joint, strength);
  });
  return found;
}

export const VARIATIONS = {
  body_mass: (model, factor) => {
    factor.forEach((one, n) => {
      model.body_mass[n + 1] *= one;
      for (let axis = 0; axis < 3; axis++) model.body_inertia[3 * (n + 1) + axis] *= one;
    });
  },
  geom_friction: (model, factor) => {
    pairs(model, factor);
    scale(model.geom_friction, factor);
  },
  joint_damping: (model, factor) => scale(model.dof_damping, factor),
  gravity: (model, factor) => scale(model.opt.gravity, [factor[0], factor[0], factor[0]]),
  slope: (model, angle) => {
    const gravity = model.opt.gravity, [x, , z] = gravity, sine = Math.sin(angle[0]), cosine = Math.cos(angle[0]);
    gravity[0] = cosine * x + sine * z;
    gravity[2] = cosine * z - sine * x;
  },
  motor_strength: (model, factor) => {
    factor.forEach((strength, actuator) => {
      const muscle = model.actuator_gaintype[actuator] === MUSCLE;
      for (const array of [model.actuator_gainprm, model.actuator_biasprm]) {
        const width = array.length / model.nu, first = width * actuator;
        if (muscle) array[first + (model.actuator_gainprm[width * actuator + 2] >= 0 ? 2 : 3)] *= strength;
        else for (let n = first; n < first + width; n++) array[n] *= strength;
      }
      scaleRange(model.actuator_forcerange, actuator, strength); // a limit is what the actuator can give
    });
    for (const [joint, strength] of strongest(model, factor)) scaleRange(model.jnt_actfrcrange, joint, strength);
  },
  payload: (model, mass, robot) => {
    model.body_mass[robot.body] += mass[0];
  },
  joint_offset: (model, angle, robot) => {
    robot.driven.forEach((address, n) => {
      model.qpos0[address] -= angle[n];
    });
  },
};

const CHANGED = ['body_mass', 'body_inertia', 'geom_friction', 'dof_damping', 'actuator_gainprm', 'actuator_biasprm', 'qpos0',
  'pair_friction', 'actuator_forcerange', 'jnt_actfrcrange'];

// A model and what it was before any change.
export class Variable {
  constructor(mujoco, model, robot) {
    [this.mujoco, this.model, this.robot] = [mujoco, model, robot];
    this.drawn = CHANGED.map(name => Float64Array.from(model[name]));
    this.gravity = Array.from(model.opt.gravity);
    this.scratch = new mujoco.MjData(model);
  }

  // Applies variations by name to the model as drawn, and computes what follows from masses and poses.
  apply(numbers) {
    CHANGED.forEach((name, n) => this.model[name].set(this.drawn[n]));
    this.gravity.forEach((one, axis) => { this.model.opt.gravity[axis] = one; });
    for (const [name, values] of Object.entries(numbers)) VARIATIONS[name](this.model, values, this.robot);
    this.mujoco.mj_resetData(this.model, this.scratch);
    this.mujoco.mj_setConst(this.model, this.scratch);
  }

  delete() {
    this.scratch.delete();
  }
}
