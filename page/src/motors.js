// Motors between a policy and its robot: what delays and changes its actions, and pushes from outside.

export class Motors {
  constructor(model, robot, { action, action_delay: delay, control_hz: rate }) {
    Object.assign(this, { model, action, rate, errors: robot.errors, skip: robot.frame_skip });
    this.delays = delay.map(one => Math.round(one / model.opt.timestep));
    this.depth = 2 + Math.ceil(this.delays[1] / this.skip);
    this.errs = Boolean(this.errors.motor_offset || this.errors.gain_error || this.errors.push_every
      || this.delays[0] < this.delays[1]);
  }

  // An episode begins.
  begin(random) {
    const { errors, delays: [low, high], model } = this, spread = size => size * (2 * random.uniform() - 1);
    this.actions = Array.from({ length: this.depth }, () => new Array(model.nu).fill(0));
    this.offset = this.action.map(() => (errors.motor_offset ? spread(errors.motor_offset) : 0));
    this.gain = errors.gain_error ? this.action.map(() => 1 + spread(errors.gain_error)) : null;
    this.delay = low < high ? low + Math.min(high - low, Math.floor(random.uniform() * (high - low + 1))) : low;
    this.push = errors.push_every && this.wait(random);
  }

  wait(random) {
    const [low, high] = this.errors.push_every;
    return Math.max(1, Math.round((low + (high - low) * random.uniform()) * this.rate));
  }

  // Takes an action in -1..1, outside of which it is clipped.
  act(action) {
    const within = Array.from(action, one => (Number.isFinite(one) ? Math.min(Math.max(one, -1), 1) : 0));
    this.actions = [within, ...this.actions.slice(0, -1)];
  }

  // Controls of a physics step of this control step.
  control(step) {
    const chosen = this.actions[Math.max(0, Math.ceil((this.delay - step) / this.skip))];
    return this.action.map(({ offset, scale, low, high }, n) =>
      Math.min(Math.max(offset + scale * chosen[n], low), high) + this.offset[n]);
  }

  // One physics step with this episode's gains.
  step(mujoco, data) {
    const { model, gain } = this;
    if (!gain) return mujoco.mj_step(model, data);
    const changed = [model.actuator_gainprm, model.actuator_biasprm], before = changed.map(one => one.slice());
    for (const array of changed) {
      for (let n = 0; n < array.length; n++) array[n] *= gain[Math.floor(n * model.nu / array.length)];
    }
    mujoco.mj_step(model, data);
    changed.forEach((array, n) => array.set(before[n]));
  }

  // Pushes the robot if it is time, after the policy has seen where it is.
  pushed(data, random) {
    if (!this.push || --this.push > 0) return;
    const { pushed, push_speed: speed, push_turn: turn } = this.errors, angle = 2 * Math.PI * random.uniform();
    const kicks = [speed * Math.cos(angle), speed * Math.sin(angle), ...pushed.slice(2).map(() => turn * (2 * random.uniform() - 1))];
    kicks.forEach((kick, n) => { if (pushed[n] !== null) data.qvel[pushed[n]] += kick; });
    this.push = this.wait(random);
  }
}
