// The page: starts the simulator, runs the robots in real time, and connects picture, charts and controls.

import loadMujoco from '@mujoco/mujoco';
import { drawLines, drawStrip } from './charts.js';
import { commands, element, handles } from './controls.js';
import { Picture } from './scene.js';
import { Session } from './session.js';
import { unpacked, unpackedText } from './unpack.js';
import { number } from './words.js';

const $ = id => document.getElementById(id);
const KEPT = 400; // control steps on the charts
const BUDGET = 30; // ms of simulation in a frame
const BEHIND = 0.3; // s of simulated time that may be made up for
const METHODS = {
  rl2: 'RL²', varibad: 'VariBAD', 'maml-trpo': 'MAML-TRPO', pearl: 'PEARL', hypernetwork: 'Hypernetwork', anil: 'ANIL',
  fomaml: 'FOMAML', 'meta-sgd': 'Meta-SGD', 'e-maml': 'E-MAML', promp: 'ProMP', reptile: 'Reptile',
  'no-adaptation': 'No adaptation', 'fine-tune': 'Fine-tuning',
};
const PARTS = {
  memory: 'memory', mean: 'belief: mean', log_variance: 'belief: log variance', sample: 'sample of the belief',
  precision: 'belief: precision', weighted_mean: 'belief: mean × precision', parameters: 'change of the parameters',
};

const state = { paused: false, rate: 1, both: true, held: 0, clock: 0, dropped: 0 };
let mujoco, policies, session, picture, show, colors;

function readColors() {
  const style = getComputedStyle(document.documentElement);
  const of = name => style.getPropertyValue(`--${name}`).trim();
  return Object.fromEntries(['background', 'ground', 'line', 'post', 'accent', 'twin', 'asked', 'broken', 'load', 'label',
    'quiet', 'zero', 'plus', 'minus'].map(name => [name, of(name)]));
}

function paint() {
  colors = readColors();
  picture?.paint(colors);
  drawCharts();
}

const measured = () => {
  const { objective, coefficients } = session.policy.task;
  const goal = ['goal', 'sparse-goal'].includes(objective) || (objective === 'terms' && 'goal_distance' in coefficients
    && !('track_velocity' in coefficients));
  return goal ? ['Distance to the goal', 'm'] : ['Speed', 'm/s'];
};

function open(place) {
  session?.delete();
  const policy = policies[place];
  session = new Session(mujoco, policy);
  session.addEventListener('episode', onEpisode);
  session.addEventListener('change', () => { refresh(); announce(); });
  const change = (id, value) => {
    session.set(id, value);
    picture?.paint(colors);
    said.timer = 3;
  };
  const places = [commands($('commands'), policy, change), handles($('handles'), policy, change)];
  show = values => places.forEach(one => one(values));
  $('asking').hidden = !policy.handles.some(one => one.kind === 'command');
  $('task').replaceChildren(element('option', { value: '' }, 'as set below'),
    ...policy.tasks.map((task, n) => element('option', { value: String(n) }, task.label)));
  const method = METHODS[policy.learner] ?? policy.learner;
  $('policy').value = String(place);
  document.title = `A robot that finds out: ${method}, ${policy.suite.name}`;
  $('about').textContent = `${policy.suite.about} ${method}: ${policy.method}`;
  $('explore').hidden = !session.brain.adapt;
  const { episodes, pools } = policy.adapts;
  $('explore').textContent = pools ? `Explore ${episodes} episodes, take a gradient step` : 'Explore an episode, update the belief';
  $('lines-title').textContent = measured().join(', ');
  $('asked-key').hidden = session.wanted === null;
  $('strips').replaceChildren(...session.parts.filter(part => part.size > 1).map(part => {
    const what = PARTS[part.name] ?? part.name.replaceAll('_', ' ');
    const canvas = element('canvas', { role: 'img', 'aria-label': `${what} over time` });
    canvas.style.height = `${part.rows > 24 ? 110 : Math.max(30, 7 * part.rows)}px`;
    part.canvas = canvas;
    const note = `${what}: ${part.size.toLocaleString('en')} numbers${part.rows > 24 ? ', smoothed over time' : ''}`;
    return element('figure', {}, element('figcaption', {}, note), canvas);
  }));
  $('nothing').hidden = session.parts.length > 0;
  picture?.show(session);
  picture?.paint(colors);
  refresh();
  onEpisode();
}

function refresh() {
  show(session.values);
  const { exploring } = session;
  $('explore').disabled = Boolean(exploring);
  $('twin-label').textContent = 'twin: never adapts';
  $('own-label').textContent = exploring ? 'explores, fast' : session.brain.adapt
    ? session.gradients ? `after ${session.gradients} ${session.policy.adapts.pools ? 'gradient step' : 'update'}${session.gradients > 1 ? 's' : ''}` : 'before adapting'
    : 'adapts';
  picture?.paint(colors);
}

function onEpisode() {
  const last = session.episodes.slice(-6), from = session.episodes.length - last.length;
  $('returns').replaceChildren(...last.map((one, n) => element('tr', {},
    element('th', { scope: 'row' }, String(from + n + 1)),
    element('td', {}, one.asked),
    element('td', {}, number(one.adaptive, 1)), element('td', {}, one.twin === null ? '' : number(one.twin, 1)))).reverse());
  if (session.episodes.length) announce();
}

const said = { timer: 0 };

// One sentence for those who cannot see the charts, after changes and episodes only.
function announce() {
  const last = session.episodes.at(-1), { speed } = session.adaptive, [what, unit] = measured();
  const wanted = session.wanted ? ` of ${number(session.wanted)} asked for` : '';
  const paid = last ? ` Last episode: return ${number(last.adaptive, 1)}.` : '';
  $('status').textContent = session.exploring ? 'The robot explores.' : `${what} ${number(speed)} ${unit}${wanted}.${paid}`;
}

function drawCharts() {
  if (!session || !colors) return;
  const history = session.history.slice(-KEPT);
  drawLines($('lines'), state.both ? history : history.map(one => ({ ...one, twin: null })), KEPT, colors);
  session.parts.forEach((part, place) => part.canvas && drawStrip(part.canvas, history, KEPT, place, part, colors));
}

function readouts() {
  const [, unit] = measured(), { exploring } = session;
  const asked = session.wanted ? ` of ${number(session.wanted)}` : '';
  $('own-speed').textContent = exploring
    ? `episode ${exploring.episodes.length + 1} of ${exploring.wanted}` : `${number(session.adaptive.speed)}${asked} ${unit}`;
  $('twin-speed').textContent = `${number(session.twin.speed)} ${unit}`;
  const { steps } = session.adaptive.world;
  $('step').textContent = `step ${steps} of ${session.policy.task.horizon}`;
  $('bar').value = exploring ? exploring.episodes.length / exploring.wanted : steps / session.policy.task.horizon;
}

let last = performance.now(), lag = 0;

function simulate(elapsed) {
  const duration = session.model.opt.timestep, began = performance.now();
  let acted = false;
  if (session.exploring) {
    while (session.exploring && performance.now() - began < BUDGET) acted = session.advance() || acted;
    lag = 0;
    return acted;
  }
  lag += elapsed * state.rate;
  while (lag >= duration && performance.now() - began < BUDGET) {
    const ended = session.advance();
    lag -= duration;
    if (ended) {
      acted = true;
      state.held++;
    }
    if (session.exploring) break;
  }
  if (lag > BEHIND) {
    state.dropped += lag;
    lag = 0;
  }
  return acted;
}

function frame(now) {
  const elapsed = Math.min((now - last) / 1000, BEHIND);
  last = now;
  if (!state.paused) {
    state.clock += elapsed;
    if (simulate(elapsed)) {
      drawCharts();
      readouts();
    }
    if (said.timer > 0 && (said.timer -= elapsed) <= 0) announce();
  }
  picture?.draw(state.paused ? 0 : elapsed * state.rate, state.both && !session.exploring);
  requestAnimationFrame(frame);
}

function pause(paused = !state.paused) {
  state.paused = paused;
  $('pause').textContent = paused ? 'Run' : 'Pause';
}

function breakNext() {
  const { choices } = session.policy.handles.find(one => one.id === 'broken');
  const next = choices[(choices.findIndex(one => one.value === session.values.broken) + 1) % choices.length];
  session.set('broken', next.value);
  refresh();
  $('status').textContent = `Broken joint: ${next.label}.`;
}

function reset() {
  session.base = {};
  for (const handle of session.policy.handles) session.set(handle.id, handle.value);
  session.apply();
  $('task').value = '';
  refresh();
}

const KEYS = { ' ': () => pause(), f: () => session.forget(), b: breakNext, a: () => session.explore(), r: reset };

function listen() {
  $('pause').addEventListener('click', () => pause());
  $('forget').addEventListener('click', () => session.forget());
  $('explore').addEventListener('click', () => session.explore());
  $('reset').addEventListener('click', reset);
  $('both').addEventListener('change', event => {
    state.both = event.target.checked;
    $('view').classList.toggle('single', !state.both);
  });
  $('rate').addEventListener('change', event => { state.rate = Number(event.target.value); });
  $('policy').addEventListener('change', event => open(Number(event.target.value)));
  $('task').addEventListener('change', event => {
    session.take(session.policy.tasks[Number(event.target.value || -1)] ?? null);
    refresh();
  });
  $('view').addEventListener('keydown', event => {
    const act = event.target === $('view') && !event.ctrlKey && !event.metaKey && !event.altKey && KEYS[event.key.toLowerCase()];
    if (!act) return;
    event.preventDefault();
    act();
  });
  matchMedia('(prefers-color-scheme: dark)').addEventListener('change', paint);
  new ResizeObserver(drawCharts).observe($('lines'));
}

// For tests and the console: what the page computes, without the clock.
window.robometa = {
  get session() { return session; },
  get policies() { return policies; },
  get picture() { return picture; },
  state,
  open,
  pause,
  refresh,
  draw() {
    drawCharts();
    readouts();
  },
  control(steps) {
    const before = session.steps;
    while (session.steps < before + steps) session.advance();
    return session.history.slice(-steps).map(one => one.shown);
  },
  // One control step from a state, with hidden numbers by variation.
  physics({ qpos, qvel, action, numbers }) {
    const { world } = session.adaptive;
    session.variable.apply(numbers);
    world.put(qpos, qvel);
    world.sensed = new Array(session.model.nsensordata).fill(0);
    world.start();
    world.begin(Float32Array.from(action));
    while (!world.advance());
    const outcome = world.finish(session.asking);
    return { qpos: Array.from(world.data.qpos), qvel: Array.from(world.data.qvel), obs: Array.from(outcome.obs), reward: outcome.reward };
  },
};

function fail(error) {
  $('problem').hidden = false;
  $('problem').textContent = `This browser cannot show the page: ${error?.message ?? error}`;
  throw error;
}

async function start() {
  const began = performance.now();
  colors = readColors();
  await new Promise(resolve => requestAnimationFrame(() => setTimeout(resolve))); // the page is seen before it works
  policies = JSON.parse(await unpackedText('policies'));
  mujoco = await loadMujoco({ wasmBinary: await unpacked('mujoco') });
  $('policy').replaceChildren(...policies.map((one, n) => element('option', { value: String(n) },
    policies.filter(other => other.learner === one.learner && other.suite.name === one.suite.name).length > 1
      ? one.name : `${METHODS[one.learner] ?? one.learner} · ${one.suite.name}`)));
  $('policy-choice').hidden = policies.length < 2;
  try {
    picture = new Picture($('canvas'));
  } catch {
    $('no-picture').hidden = false; // the rest works without WebGL
  }
  open(0);
  listen();
  $('versions').textContent = `MuJoCo ${mujoco.mj_versionString()}`;
  $('loading').remove();
  document.body.classList.add('ready');
  pause(matchMedia('(prefers-reduced-motion: reduce)').matches);
  state.ready = performance.now() - began;
  last = performance.now();
  requestAnimationFrame(frame);
  performance.mark('robots-run');
  window.robometa.ready = true;
}

start().catch(fail);
