// Errors that are drawn: { robot, task, contract, asked, command } in, what many episodes drew out.
import { loaded } from '../src/model.js';
import { Random } from '../src/random.js';
import { World } from '../src/world.js';
import { answer, given, simulator } from './page.mjs';

const EPISODES = 40, STEPS = 20, SAMPLES = 300;
const { asked, command, ...policy } = given(), mujoco = await simulator();
const model = loaded(mujoco, policy.robot), world = new World(mujoco, model, policy), random = new Random(1);
const drawn = Array.from(model.actuator_gainprm), still = new Array(model.nu).fill(0), kicks = [];
world.command = command;
const episodes = Array.from({ length: EPISODES }, () => {
  world.reset(random);
  const { delay, offset, gain } = world.motors, { bias } = world.observation;
  for (let step = 0; step < STEPS; step++) {
    world.begin(still);
    while (!world.advance());
    world.finish(asked);
    const pushed = world.data.qvel.map((one, n) => one - world.state[1 + model.nq + n]);
    if (pushed.some(one => one !== 0)) kicks.push({ step, pushed: Array.from(pushed) });
  }
  return { delay, offset, gain, bias };
});
const samples = Array.from({ length: SAMPLES }, () => world.observation.sample(world, random));
const spread = samples[0].map((_, n) => {
  const column = samples.map(one => one[n]), mean = column.reduce((sum, one) => sum + one) / SAMPLES;
  return { low: Math.min(...column) - mean, high: Math.max(...column) - mean, deviation: Math.sqrt(column.reduce((sum, one) => sum + (one - mean) ** 2, 0) / SAMPLES) };
});
answer({ episodes, kicks, spread, whole: model.actuator_gainprm.every((one, n) => one === drawn[n]) });
