// Changes to a MuJoCo model, as robometa/suites/variations.py makes them.

const scale = (array, factors, width = 1) => {
  for (let n = 0; n < array.length; n++) array[n] *= factors[Math.floor(n / width)];
};

export const VARIATIONS = {
  body_mass: (model, factor) => {
    factor.forEach((one, n) => {
      model.body_mass[n + 1] *= one;
      for (let axis = 0; axis < 3; axis++) model.body_inertia[3 * (n + 1) + axis] *= one;
    });
  },
  geom_friction: (model, factor) => scale(model.geom_friction, factor),
  joint_damping: (model, factor) => scale(model.dof_damping, factor),
  gravity: (model, factor) => scale(model.opt.gravity, [factor[0], factor[0], factor[0]]),
  slope: (model, angle) => {
    const gravity = model.opt.gravity, [x, , z] = gravity, sine = Math.sin(angle[0]), cosine = Math.cos(angle[0]);
    gravity[0] = cosine * x + sine * z;
    gravity[2] = cosine * z - sine * x;
  },
  motor_strength: (model, factor) => {
    for (const array of [model.actuator_gainprm, model.actuator_biasprm]) {
      scale(array, factor, array.length / model.nu);
    }
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

const CHANGED = ['body_mass', 'body_inertia', 'geom_friction', 'dof_damping', 'actuator_gainprm', 'actuator_biasprm', 'qpos0'];

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
