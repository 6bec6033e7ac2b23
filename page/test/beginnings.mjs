// Where episodes begin: { robot, draws } in, the positions and velocities for each draw out.
import { drawn } from '../src/beginnings.js';
import { loaded } from '../src/model.js';
import { answer, given, simulator } from './page.mjs';

const { robot, draws } = given(), mujoco = await simulator(), model = loaded(mujoco, robot), data = new mujoco.MjData(model);
answer(draws.map(one => drawn({ mujoco, model, data, robot }, { uniform: () => one, normal: () => one })));
