// A policy at work: one robot that adapts and a twin that cannot, in worlds with the same hidden numbers.

import { Agent, Brain } from './agent.js';
import { loaded } from './model.js';
import { OBJECTIVES } from './objectives.js';
import { Random } from './random.js';
import { Variable } from './variations.js';
import { EPISODE, inWords } from './words.js';
import { World } from './world.js';

const KEPT = 600; // control steps of history
const BLOCKS = 96; // rows that a long vector is drawn in
const MAX_ROWS = 160; // longest vector that is drawn number by number

// One robot: its world, its agent, its episode.
class Runner {
  constructor(session, seed, forgets) {
    const { mujoco, model, policy, brain } = session;
    this.random = new Random(seed); // equal for both robots, so that their episodes begin alike
    this.world = new World(mujoco, model, policy);
    this.world.command = session.command;
    this.agent = new Agent(brain, new Random(seed + 1), { forgets });
    this.speed = 0; // smoothed, also over the ends of episodes
    this.reset();
  }

  reset() {
    this.obs = this.world.reset(this.random);
    this.total = 0;
    this.acting = false;
  }

  // One physics step; the outcome, if it ends a control step.
  advance(asked, explore) {
    if (!this.acting) {
      this.action = this.agent.act(this.obs, explore);
      this.world.begin(this.action);
      this.acting = true;
    }
    if (!this.world.advance()) return null;
    this.acting = false;
    const seen = this.obs, outcome = this.world.finish(asked);
    this.agent.outcome(outcome);
    this.obs = outcome.obs;
    this.total += outcome.reward;
    this.speed += 0.15 * (outcome.shown - this.speed);
    outcome.step = { ...outcome, obs: seen, action: this.action, next_obs: outcome.obs };
    outcome.over = outcome.terminated || outcome.truncated;
    if (outcome.over) {
      outcome.total = this.total;
      this.reset();
    }
    return outcome;
  }
}

export class Session extends EventTarget {
  constructor(mujoco, policy, seed = 1) {
    super();
    Object.assign(this, { mujoco, policy });
    this.model = loaded(mujoco, policy.robot);
    this.variable = new Variable(mujoco, this.model, policy.robot);
    this.brain = new Brain(policy);
    this.values = Object.fromEntries(policy.handles.map(handle => [handle.id, handle.value]));
    this.base = {};
    this.command = [];
    this.apply();
    this.robots = [new Runner(this, seed, false), new Runner(this, seed, true)];
    this.parts = this.brain.initial.map(part => ({ ...part, rows: part.size > MAX_ROWS ? BLOCKS : part.size }));
    this.clear();
  }

  delete() {
    this.robots.forEach(robot => robot.world.delete());
    this.variable.delete();
    this.model.delete();
  }

  get adaptive() {
    return this.robots[0];
  }

  get twin() {
    return this.robots[1];
  }

  clear() {
    this.history = [];
    this.episodes = [];
    this.mark = null;
    this.steps = 0;
    this.gradients = 0;
    this.exploring = null;
  }

  // Sets a hidden number as the page shows it.
  set(id, value) {
    if (this.values[id] === value) return;
    this.values[id] = value;
    const handle = this.policy.handles.find(one => one.id === id);
    this.mark = handle.kind === 'joint' ? (value < 0 ? 'mended' : `${inWords(handle, value)} broken`)
      : `${handle.label.replace(' asked for', '').toLowerCase()} ${inWords(handle, value)}`;
    this.apply();
  }

  // Takes the hidden numbers of one of the suite's tasks.
  take(task) {
    this.base = {};
    const drawn = task ? task.parameters : {};
    for (const handle of this.policy.handles) {
      if (handle.kind === 'joint' || handle.kind === 'command') continue;
      const numbers = drawn[handle.name];
      this.values[handle.id] = numbers && (handle.kind === 'objective' || numbers.length === 1)
        ? numbers[handle.index] / handle.factor : handle.value;
    }
    for (const [name, numbers] of Object.entries(drawn)) {
      if (numbers.length > 1 && !this.policy.handles.some(one => one.kind === 'objective' && one.name === name)) {
        this.base[name] = numbers;
      }
    }
    this.mark = 'another task';
    this.apply();
  }

  apply() {
    this.asking = {}; // what the task hides and what it commands
    this.command.length = 0;
    const numbers = {};
    for (const { id, kind, name, index, factor } of this.policy.handles) {
      const value = this.values[id] * (factor ?? 1);
      if (kind === 'objective' || kind === 'command') (this.asking[name] ??= [])[index] = value;
      if (kind === 'command') this.command.push(value); // in the order in which the policy sees them
      if (kind === 'variation') numbers[name] = this.combined(name, value);
    }
    const { broken } = this.values;
    if (broken >= 0) numbers.motor_strength[broken] = 0;
    this.variable.apply(numbers);
  }

  // A variation's numbers: the task's, changed by the page's.
  combined(name, value) {
    const { size, neutral } = this.policy.variations[name];
    const base = this.base[name] ?? new Array(size).fill(neutral);
    return base.map(one => (neutral === 1 ? one * value : one + value));
  }

  get wanted() {
    return OBJECTIVES[this.policy.task.objective].wanted?.(this.asking, this.policy.task.coefficients) ?? null;
  }

  // What the robot is asked for, in words; nothing if its tasks differ in dynamics only.
  get asked() {
    const handles = this.policy.handles.filter(one => one.kind === 'objective' || one.kind === 'command');
    return handles.map(one => inWords(one, this.values[one.id])).join(', ');
  }

  // Forgets the task: the adaptation is what it was before any experience.
  forget() {
    this.adaptive.agent.reset();
    this.exploring = null;
    this.gradients = 0;
    this.mark = 'forgot';
    this.dispatchEvent(new Event('change'));
  }

  restart() {
    this.robots.forEach(robot => robot.reset());
    this.robots.forEach(robot => robot.agent.episode());
  }

  // Explores for the episodes that an adaptation needs, and then adapts.
  explore() {
    if (!this.brain.adapt || this.exploring) return;
    this.exploring = { episodes: [], steps: [], wanted: this.policy.adapts.episodes };
    this.adaptive.reset();
    this.adaptive.agent.episode();
    this.mark = null;
    this.dispatchEvent(new Event('change'));
  }

  // One physics step of all robots; true if a control step ended.
  advance() {
    const { exploring } = this;
    const outcome = this.adaptive.advance(this.asking, Boolean(exploring));
    const other = exploring ? null : this.twin.advance(this.asking, false);
    if (exploring && outcome) this.explored(outcome);
    else if (outcome) this.record(outcome, other);
    return Boolean(outcome);
  }

  explored(outcome) {
    const { exploring } = this;
    exploring.steps.push(outcome.step);
    this.steps++;
    if (!outcome.over) return;
    exploring.episodes.push(exploring.steps);
    exploring.steps = [];
    if (exploring.episodes.length < exploring.wanted) return;
    this.exploring = null;
    this.adaptive.agent.adapt(even(exploring.episodes));
    this.gradients++;
    this.mark = 'adapted';
    this.twin.random.state = this.adaptive.random.state;
    this.restart();
    this.dispatchEvent(new Event('change'));
  }

  record(outcome, other) {
    this.steps++;
    this.history.push({
      shown: outcome.shown,
      twin: other?.shown ?? null,
      wanted: this.wanted,
      reward: outcome.reward,
      parts: this.parts.map(part => this.rows(part)),
      mark: this.mark,
    });
    this.mark = null;
    if (this.history.length > KEPT) this.history.shift();
    if (outcome.over) {
      this.episodes.push({ adaptive: outcome.total, twin: null, asked: this.asked });
      this.mark = EPISODE;
    }
    if (other?.over && this.episodes.length) this.episodes.at(-1).twin = other.total;
    if (outcome.over) this.dispatchEvent(new Event('episode'));
  }

  // What is drawn of a part of the adaptation: its numbers, or of many numbers the size of their change.
  rows(part) {
    const { data } = this.adaptive.agent.adaptation[part.name];
    if (part.rows === part.size) return data;
    const start = this.adaptive.agent.first[part.name].data, width = part.size / part.rows;
    return Float32Array.from({ length: part.rows }, (_, row) => {
      let sum = 0, members = 0;
      for (let n = Math.floor(row * width); n < Math.floor((row + 1) * width); n++, members++) sum += (data[n] - start[n]) ** 2;
      return Math.sqrt(sum / members);
    });
  }
}

// Episodes side by side if all are equally long, else one after the other, as robometa_runtime has them.
function even(episodes) {
  return episodes.every(steps => steps.length === episodes[0].length) ? episodes : [episodes.flat()];
}
