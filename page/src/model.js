// A robot's model as Python has it: its text, and the numbers that a text rounds.

import { bytesOf } from './graph.js';

export function loaded(mujoco, robot) {
  const model = mujoco.MjModel.from_xml_string(robot.xml);
  for (const [name, packed] of Object.entries(robot.numbers)) {
    const numbers = typeof packed === 'string' ? new Float64Array(bytesOf(packed)) : packed, array = model[name];
    if (array?.length !== numbers.length) throw new Error(`${name} has ${array?.length} numbers, not ${numbers.length}`);
    array.set(numbers);
  }
  for (const [name, number] of Object.entries(robot.options)) {
    if (typeof number === 'number') model.opt[name] = number;
    else number.forEach((one, place) => { model.opt[name][place] = one; });
  }
  return model;
}
