// One robot in its world, stepped as robometa/sim/locomotion/engine.py steps it.

import { drawn } from './beginnings.js';
import { heading, turnedBack } from './frames.js';
import { Motors } from './motors.js';
import { OBJECTIVES } from './objectives.js';
import { Observation, TOUCHING, read } from './observation.js';
import { Random } from './random.js';

const BEGINNING = 1; // simulated time at which an episode begins, s
const MAXIMUM = 1e10;

export class World {
  constructor(mujoco, model, { robot, task, contract }) {
    Object.assign(this, { mujoco, model, robot, task, data: new mujoco.MjData(model) });
    this.objective = OBJECTIVES[task.objective];
    this.observation = new Observation(robot, contract);
    this.motors = new Motors(model, robot, contract);
    this.feet = robot.quantities.feet ?? [];
    this.duration = robot.frame_skip * model.opt.timestep;
    this.command = [];
    this.random = new Random(1);
  }

  delete() {
    this.data.delete();
  }

  get actions() {
    return this.motors.actions;
  }

  // The body's orientation by its sensor, a quaternion.
  get turn() {
    return this.readings('base/turn');
  }

  // The direction of gravity.
  get down() {
    const gravity = Array.from(this.model.opt.gravity), size = Math.hypot(...gravity);
    return size > 0 ? gravity.map(one => one / size) : [0, 0, -1];
  }

  readings(name) {
    return this.robot.quantities[name].map(column => this.sensed[column]);
  }

  put(qpos, qvel, act = this.robot.begin.act) {
    this.mujoco.mj_resetData(this.model, this.data);
    this.data.qpos.set(qpos);
    this.data.qvel.set(qvel);
    this.data.act?.set(act);
    this.data.time = BEGINNING;
    this.look();
  }

  look() {
    const { time, qpos, qvel, act } = this.data;
    this.state = [time, ...qpos, ...qvel, ...(act ?? [])];
  }

  // Begins an episode; `random` draws where.
  reset(random) {
    const { qpos, qvel } = drawn(this, random);
    this.put(qpos, qvel);
    this.sensed = [];
    if (this.model.nsensordata) { // a physics step computes the sensors of the state that it starts from
      this.data.ctrl.set(this.robot.begin.control);
      this.mujoco.mj_step(this.model, this.data);
      this.sensed = Array.from(this.data.sensordata);
      this.put(qpos, qvel);
    }
    this.mujoco.mj_forward(this.model, this.data); // poses for the picture
    if (this.motors.errs || this.observation.errs) this.random = new Random(random.uniform() * 2 ** 32);
    this.start();
    return this.observation.seen();
  }

  // Begins an episode in the present state.
  start() {
    this.steps = 0;
    this.air = this.feet.map(() => 0);
    this.motors.begin(this.random);
    this.observation.begin(this, this.random);
  }

  place() {
    const [x, y] = this.robot.place.sources.map(source => read(this, source));
    return [x, y ?? 0];
  }

  // Takes an action in -1..1, outside of which it is clipped.
  begin(action) {
    const { qpos, qvel, act, time } = this.data;
    this.before = { place: this.place(), time, qpos: qpos.slice(), qvel: qvel.slice(), act: act?.slice(), sensed: this.sensed };
    this.motors.act(action);
    this.data.qacc_warmstart.fill(0);
    this.physics = 0;
  }

  // One physics step; true if the control step is over.
  advance() {
    this.control = this.motors.control(this.physics);
    this.data.ctrl.set(this.control);
    this.motors.step(this.mujoco, this.data);
    return ++this.physics >= this.robot.frame_skip;
  }

  // The outcome of a control step; `asked` has what the task hides and what it commands.
  finish(asked) {
    const { task, data, before, model } = this;
    const fine = [...data.qpos, ...data.qvel].every(one => Math.abs(one) < MAXIMUM)
      && Math.abs(data.time - before.time - this.duration) < 0.5 * model.opt.timestep;
    this.steps++;
    if (!fine) {
      this.put(before.qpos, before.qvel, before.act);
      return { obs: this.observation.seen(), reward: 0, shown: 0, forward: 0, terminated: true, truncated: false };
    }
    this.look();
    if (model.nsensordata) this.sensed = Array.from(data.sensordata);
    this.placeBody();
    const step = new Step(this);
    const reward = Math.fround(this.objective.reward(step, asked, task.coefficients));
    const shown = this.objective.shown(step, asked, task.coefficients);
    const terminated = this.ended();
    const truncated = !terminated && this.steps >= task.horizon;
    this.air = this.air.map((one, n) => (step.touching[n] ? 0 : one + this.duration));
    this.observation.measure(this, this.random);
    this.motors.pushed(data, this.random);
    return { obs: this.observation.seen(), reward, shown, forward: step.forward, terminated, truncated };
  }

  // Reads the body's place after the step where it is a reading: those of a step are of its beginning.
  placeBody() {
    const { reading } = this.robot.place;
    if (reading === null) return;
    this.mujoco.mj_kinematics(this.model, this.data);
    for (let axis = 0; axis < 3; axis++) this.sensed[reading + axis] = this.data.xpos[3 * this.robot.body + axis];
  }

  ended() {
    const { ends } = this.robot, { state } = this;
    const height = ends.height && read(this, ends.height.source) + ends.height.offset;
    return Boolean(
      (ends.height && (height < (ends.height.low ?? -Infinity) || height > (ends.height.high ?? Infinity)))
      || (ends.pitch && Math.abs(state[ends.pitch.column]) > ends.pitch.limit)
      || (ends.state && ends.state.columns.some(column => Math.abs(state[column]) > ends.state.limit)));
  }
}

// The quantities of a control step that just ended, as robometa/sim/locomotion/quantities.py names them.
class Step {
  constructor(world) {
    this.world = world;
    this.control = world.control;
    this.position = this.measured('position', 2) ?? world.place();
    this.velocity = this.measured('velocity', 2)
      ?? world.place().map((one, axis) => (one - world.before.place[axis]) / world.duration);
    this.forward = this.measured('forward_velocity', 1)?.[0] ?? this.velocity[0];
  }

  measured(name, count) {
    return name in this.world.robot.quantities ? this.world.readings(name).slice(0, count) : null;
  }

  get touching() {
    return this.world.feet.map(column => this.world.sensed[column] > TOUCHING);
  }

  get airTime() {
    return this.world.air.map(one => one + this.world.duration);
  }

  get landed() {
    return this.touching.map((one, n) => Number(one && this.world.air[n] > 0));
  }

  get action() {
    return this.world.actions[0];
  }

  get lastAction() {
    return this.world.actions[1];
  }

  get jointOffsets() {
    const { robot: { joints, begin }, state } = this.world;
    return joints.map(address => state[1 + address] - begin.qpos[address]);
  }

  get headingVelocity() {
    return turnedBack(heading(this.world.turn), this.baseVelocity).slice(0, 2);
  }

  get baseVelocity() {
    return this.world.readings('base/velocity');
  }

  get baseRates() {
    return turnedBack(this.world.turn, this.world.readings('base/rates'));
  }

  get baseHeight() {
    return this.world.readings('base/place')[2];
  }

  get up() {
    const [w, x, y, z] = this.world.turn;
    return [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)];
  }

  get forces() {
    return this.world.readings('forces/force');
  }

  get actuatorVelocities() {
    return this.world.readings('forces/velocity');
  }
}
