// One robot in its world, stepped as robometa/sim/locomotion/engine.py steps it.

import { OBJECTIVES } from './objectives.js';

const BEGINNING = 1; // simulated time at which an episode begins, s
const MAXIMUM = 1e10;

export class World {
  constructor(mujoco, model, robot, task) {
    Object.assign(this, { mujoco, model, robot, task, data: new mujoco.MjData(model) });
    this.objective = OBJECTIVES[task.objective];
    this.control = new Float64Array(model.nu);
    this.rest = robot.rest;
  }

  delete() {
    this.data.delete();
  }

  state() {
    const { qpos, qvel, act } = this.data;
    return [this.data.time, ...qpos, ...qvel, ...(act ?? [])];
  }

  put(qpos, qvel) {
    this.mujoco.mj_resetData(this.model, this.data);
    this.data.qpos.set(qpos);
    this.data.qvel.set(qvel);
    this.data.time = BEGINNING;
    this.steps = 0;
  }

  // Begins an episode; `random` draws where.
  reset(random) {
    const { robot } = this;
    const qpos = this.rest.map(one => one + robot.reset_noise * (2 * random.uniform() - 1));
    const draw = () => (robot.reset_velocity_normal ? random.normal() : 2 * random.uniform() - 1);
    const qvel = Array.from({ length: this.model.nv }, () => robot.reset_velocity_noise * draw());
    this.put(qpos, qvel);
    if (this.model.nsensordata) { // a physics step computes the sensors of the state that it starts from
      this.data.ctrl.fill(0);
      this.mujoco.mj_step(this.model, this.data);
      this.sensed = Array.from(this.data.sensordata);
      this.put(qpos, qvel);
    } else this.sensed = [];
    this.mujoco.mj_forward(this.model, this.data); // poses for the picture
    return this.observe();
  }

  observe() {
    const { columns, readings, clip } = this.robot, state = this.state();
    const seen = [...columns.map(column => state[column]), ...readings.map(column => this.sensed[column])];
    const within = (one, n) => (clip && clip[n] !== null ? Math.min(Math.max(one, -clip[n]), clip[n]) : one);
    return Float32Array.from(seen, within);
  }

  place() {
    const { body_sensor: sensor, position } = this.robot;
    if (sensor !== null) return [this.sensed[sensor], this.sensed[sensor + 1]];
    const state = this.state();
    return [state[position[0]], position.length > 1 ? state[position[1]] : 0];
  }

  // Takes an action in -1..1, outside of which it is clipped.
  begin(action) {
    const { offset, scale } = this.robot;
    this.before = { place: this.place(), time: this.data.time, qpos: this.data.qpos.slice(), qvel: this.data.qvel.slice() };
    for (let n = 0; n < this.control.length; n++) {
      this.control[n] = offset[n] + scale[n] * Math.min(Math.max(action[n], -1), 1);
    }
    this.data.ctrl.set(this.control);
    this.data.qacc_warmstart.fill(0);
    this.physics = 0;
  }

  // One physics step; true if the control step is over.
  advance() {
    this.mujoco.mj_step(this.model, this.data);
    return ++this.physics >= this.robot.frame_skip;
  }

  // The outcome of a control step.
  finish(hidden) {
    const { task, robot, data } = this, duration = robot.frame_skip * this.model.opt.timestep;
    const fine = [...data.qpos, ...data.qvel].every(one => Math.abs(one) < MAXIMUM)
      && Math.abs(data.time - this.before.time - duration) < 0.5 * this.model.opt.timestep;
    this.steps++;
    if (!fine) {
      this.put(this.before.qpos, this.before.qvel);
      return { obs: this.observe(), reward: 0, shown: 0, forward: 0, terminated: true, truncated: false };
    }
    if (this.model.nsensordata) this.sensed = Array.from(data.sensordata);
    const position = this.place();
    const step = { position, control: this.control, ...this.velocity(position, duration) };
    const reward = Math.fround(this.objective.reward(step, hidden, task.coefficients));
    const shown = this.objective.shown(step, hidden, task.coefficients);
    const terminated = this.ended();
    const truncated = !terminated && this.steps >= task.horizon;
    return { obs: this.observe(), reward, shown, forward: step.forward, terminated, truncated };
  }

  velocity(position, duration) {
    const named = this.robot.quantities;
    const measured = position.map((one, axis) => (one - this.before.place[axis]) / duration);
    const velocity = named.velocity ? named.velocity.slice(0, 2).map(column => this.sensed[column]) : measured;
    const forward = named.forward_velocity ? this.sensed[named.forward_velocity[0]] : velocity[0];
    return { velocity, forward };
  }

  ended() {
    const { ends } = this.robot, state = this.state();
    const height = ends.height && state[ends.height.column] + ends.height.offset;
    return Boolean(
      (ends.height && (height < (ends.height.low ?? -Infinity) || height > (ends.height.high ?? Infinity)))
      || (ends.pitch && Math.abs(state[ends.pitch.column]) > ends.pitch.limit)
      || (ends.state && ends.state.columns.some(column => Math.abs(state[column]) > ends.state.limit)));
  }
}
