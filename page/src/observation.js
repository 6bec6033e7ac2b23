// What a policy sees: numbers from the places that the robot names, changed as its contract says.

import { heading, turnedBack } from './frames.js';

export const TOUCHING = 1; // N on a foot that count as contact

// A number of its world at this moment, by the kind of its source.
const SOURCES = {
  state: (world, column) => world.state[column],
  reading: (world, index) => world.sensed[index],
  foot: (world, index) => (world.sensed[index] > TOUCHING ? 1 : 0),
  action: (world, place) => world.actions[0][place],
  command: (world, place) => world.command[place],
  gravity: (world, axis) => turnedBack(world.turn, world.down)[axis],
  body: (world, first, axis) => turnedBack(world.turn, world.sensed.slice(first, first + 3))[axis],
  heading: (world, first, axis) => turnedBack(heading(world.turn), world.sensed.slice(first, first + 3))[axis],
};

export const read = (world, [kind, ...more]) => SOURCES[kind](world, ...more);

export class Observation {
  constructor({ samples, observed }, { observation, control_hz: rate }) {
    this.observed = observed;
    this.ages = observation.map(one => Math.round(one.delay * rate));
    this.depth = 1 + Math.max(0, ...this.ages);
    this.samples = samples.map((source, n) => ({ source, ...observation[observed.indexOf(n)] }));
    this.errs = this.samples.some(one => one.bias || one.noise);
  }

  // An episode begins: what was seen before it is what is seen first.
  begin(world, random) {
    this.bias = this.samples.map(one => (one.bias ? one.bias * (2 * random.uniform() - 1) : 0));
    this.kept = new Array(this.depth).fill(this.sample(world, random));
  }

  measure(world, random) {
    this.kept = [this.sample(world, random), ...this.kept.slice(0, -1)];
  }

  sample(world, random) {
    return this.samples.map(({ source, offset, noise, noise_kind: kind, clip, scale }, n) => {
      let value = read(world, source) - offset + this.bias[n];
      if (noise) value += noise * (kind === 'normal' ? random.normal() : 2 * random.uniform() - 1);
      if (clip) value = Math.min(Math.max(value, clip[0]), clip[1]);
      return value * scale;
    });
  }

  seen() {
    return Float32Array.from(this.observed, (place, n) => this.kept[this.ages[n]][place]);
  }
}
