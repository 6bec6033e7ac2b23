// Acts and adapts on recorded inputs: { contract, step, adapt, vectors } in, the largest gap out.
import { Agent, Brain } from '../src/agent.js';
import { answer, given } from './page.mjs';

const { vectors, ...policy } = given();
const brain = new Brain(policy), agent = new Agent(brain, { normal: () => 0 });
const row = (name, time) => Float32Array.from(vectors[`step/${name}`][time]);
const gaps = [];
const compare = (found, wanted) => {
  const most = Math.max(1, ...wanted.map(Math.abs));
  wanted.forEach((one, n) => gaps.push(Math.abs(one - found[n]) / most));
};
const compareAll = prefix => {
  for (const { name } of brain.initial) compare(agent.adaptation[name].data, vectors[`${prefix}/${name}`][0]);
};
for (const { name } of brain.initial) agent.adaptation[name] = { ...agent.adaptation[name], data: Float32Array.from(vectors[`start/${name}`][0]) };
const steps = vectors['step/obs'].length, episode = [];
for (let time = 0; time < steps; time++) {
  const noise = row('noise', time);
  let at = 0;
  agent.random = { normal: () => noise[at++] };
  agent.last = { action: row('last_action', time), reward: row('last_reward', time)[0], done: row('last_done', time)[0] };
  compare(agent.act(row('obs', time), true), vectors['step/emitted_action'][time]);
  episode.push({
    obs: row('obs', time), action: row('emitted_action', time), next_obs: row('next_obs', time),
    reward: row('reward', time)[0], terminated: row('terminated', time)[0], truncated: row('truncated', time)[0],
  });
}
compareAll('end');
if (brain.adapt) {
  const last = episode.at(-1);
  last.truncated = 1 - last.terminated;
  brain.draw = () => ({ type: 'f', dims: [1, vectors.draw[0].length], data: Float32Array.from(vectors.draw[0]) });
  agent.adapt([episode]);
  compareAll('adapted');
}
answer({ gap: Math.max(...gaps.map(gap => (Number.isNaN(gap) ? Infinity : gap))), compared: gaps.length });
