// Control steps from given states: { robot, task, contract, cases } in, the states after them out.
import { loaded } from '../src/model.js';
import { Variable } from '../src/variations.js';
import { World } from '../src/world.js';
import { answer, given, simulator } from './page.mjs';

const { cases, ...policy } = given(), mujoco = await simulator();
const model = loaded(mujoco, policy.robot), variable = new Variable(mujoco, model, policy.robot);
const world = new World(mujoco, model, policy);
answer(cases.map(({ numbers, asked, command, steps }) => {
  variable.apply(numbers);
  world.command = command;
  return steps.map(({ qpos, qvel, act, sensed, action }, n) => {
    world.put(qpos, qvel, act);
    world.sensed = sensed;
    if (n === 0) world.start(); // of an episode: what is kept lasts from step to step
    const first = Array.from(world.observation.seen());
    world.begin(action);
    while (!world.advance());
    const outcome = world.finish(asked);
    const { data } = world;
    return { ...outcome, first, obs: Array.from(outcome.obs), qpos: Array.from(data.qpos), qvel: Array.from(data.qvel) };
  });
}));
