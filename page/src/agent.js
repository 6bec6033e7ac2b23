// A policy that acts and adapts by exported graphs, for one robot at a time.

import { Graph, decoded, floats } from './graph.js';

const NEXT = '_next';

// The graphs of a policy, and what it is before any experience.
export class Brain {
  constructor(policy) {
    const { contract } = policy;
    this.contract = contract;
    this.step = new Graph(policy.step);
    this.adapt = policy.adapt && new Graph(policy.adapt);
    this.actions = contract.action.length;
    this.initial = contract.adaptation.map(part => ({ ...part, start: part.initial === 'standard normal' ? null : decoded(part.initial) }));
  }

  begin(random) {
    return Object.fromEntries(this.initial.map(({ name, size, start }) =>
      [name, floats([1, size], start ?? Array.from({ length: size }, () => random.normal()))]));
  }

  draw(random) {
    const drawn = this.initial.find(part => !part.start);
    return floats([1, drawn?.size ?? 1], Array.from({ length: drawn?.size ?? 1 }, () => random.normal()));
  }
}

export class Agent {
  // An agent that forgets has the adaptation of its first step at every step.
  constructor(brain, random, { forgets = false } = {}) {
    Object.assign(this, { brain, random, forgets });
    this.reset();
  }

  reset() {
    this.adaptation = this.brain.begin(this.random);
    this.first = this.adaptation;
    this.episode();
  }

  // Forgets what went before this step, but not the adaptation.
  episode() {
    this.last = { action: new Float32Array(this.brain.actions), reward: 0, done: 0 };
  }

  act(obs, explore = false) {
    const { brain, last } = this, size = brain.actions;
    const noise = Float32Array.from({ length: size }, () => (explore ? this.random.normal() : 0));
    const found = brain.step.run({
      obs: floats([1, obs.length], obs),
      last_action: floats([1, size], last.action),
      last_reward: floats([1, 1], [last.reward]),
      last_done: floats([1, 1], [last.done]),
      noise: floats([1, size], noise),
      ...(this.forgets ? this.first : this.adaptation),
    });
    this.adaptation = { ...this.adaptation };
    for (const [name, after] of Object.entries(found)) {
      if (name.endsWith(NEXT)) this.adaptation[name.slice(0, -NEXT.length)] = after;
    }
    this.last = { action: found.emitted_action.data, reward: 0, done: 0 };
    return found.emitted_action.data;
  }

  // The outcome of the last action.
  outcome({ reward, terminated, truncated }) {
    this.last = { ...this.last, reward, done: terminated || truncated ? 1 : 0 };
  }

  // Adapts to episodes of equal length: lists of steps with obs, action, reward, next_obs, terminated, truncated.
  adapt(episodes) {
    const worlds = episodes.length, time = episodes[0].length;
    const column = (name, width) => {
      const rows = episodes.flat().map(step => step[name]);
      return floats([worlds, time, ...(width ? [width] : [])], width ? rows.flatMap(row => Array.from(row)) : rows.map(Number));
    };
    const { obs, action } = episodes[0][0];
    const found = this.brain.adapt.run({
      ...this.adaptation,
      draw: this.brain.draw(this.random),
      obs: column('obs', obs.length),
      action: column('action', action.length),
      next_obs: column('next_obs', obs.length),
      reward: column('reward'),
      terminated: column('terminated'),
      truncated: column('truncated'),
    });
    const after = { ...this.adaptation };
    for (const [name, one] of Object.entries(found)) after[name.slice(0, -NEXT.length)] = one;
    if (Object.values(after).some(one => !one.data.every(Number.isFinite))) throw new Error('the adaptation is not finite');
    this.adaptation = after;
  }
}
