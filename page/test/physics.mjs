// One control step from each of many states: { robot, task, cases } in, the states after them out.
import { Variable } from '../src/variations.js';
import { World } from '../src/world.js';
import { answer, given, simulator } from './page.mjs';

const { robot, task, cases } = given(), mujoco = await simulator();
const model = mujoco.MjModel.from_xml_string(robot.xml), variable = new Variable(mujoco, model, robot);
const world = new World(mujoco, model, robot, task);
answer(cases.map(({ numbers, hidden, steps }) => {
  variable.apply(numbers);
  return steps.map(({ qpos, qvel, sensed, action }) => {
    world.put(qpos, qvel);
    world.sensed = sensed;
    world.begin(action);
    while (!world.advance());
    const outcome = world.finish(hidden);
    const { data } = world;
    return { ...outcome, obs: Array.from(outcome.obs), qpos: Array.from(data.qpos), qvel: Array.from(data.qvel) };
  });
}));
