// Where episodes begin, as robometa/sim/locomotion/beginnings.py has it.

const FREE = 0, BALL = 1, SLIDE = 2;
const DEEP = 1e-4; // m in the ground at which a foot still rests on it
const LIFTS = 5, STEEP = 0.1;

const of = (array, width, place) => Array.from(array.slice(width * place, width * (place + 1)));

// Positions and velocities; `random` draws the noise.
export function drawn({ mujoco, model, data, robot: { begin } }, random) {
  const qpos = begin.qpos.map((one, n) => one + begin.noise[n] * (2 * random.uniform() - 1));
  if (begin.careful) {
    withinRanges(model, begin.limited, qpos);
    lift(mujoco, model, data, qpos);
  }
  const draw = () => (begin.velocity_normal ? random.normal() : 2 * random.uniform() - 1);
  const noise = begin.velocity_noise; // one number, or one for each velocity
  return { qpos, qvel: begin.qvel.map((one, n) => one + (noise[n] ?? noise) * draw()) };
}

function withinRanges(model, limited, qpos) {
  for (let joint = 0; joint < model.njnt; joint++) {
    const kind = model.jnt_type[joint], first = model.jnt_qposadr[joint] + (kind === FREE ? 3 : 0);
    if (kind === FREE || kind === BALL) {
      const size = Math.max(Math.hypot(...qpos.slice(first, first + 4)), 1e-9);
      for (let n = first; n < first + 4; n++) qpos[n] /= size;
    } else if (limited.includes(joint)) {
      const [low, high] = of(model.jnt_range, 2, joint);
      qpos[first] = Math.min(Math.max(qpos[first], low), high);
    }
  }
}

// Lifts what is in the ground, as far as joints can.
function lift(mujoco, model, data, qpos) {
  for (let tries = 0; tries < LIFTS; tries++) {
    data.qpos.set(qpos);
    let lifted = false;
    for (const [root, depth] of depths(mujoco, model, data)) {
      if (depth > DEEP) lifted = raise(model, root, depth, qpos) || lifted;
    }
    if (!lifted) return;
  }
}

// Heights by which each tree of bodies must rise to leave the ground, by its root.
function depths(mujoco, model, data) {
  mujoco.mj_kinematics(model, data);
  mujoco.mj_comPos(model, data);
  mujoco.mj_collision(model, data);
  const deepest = new Map(), contacts = data.contact, fixed = geom => model.body_weldid[model.geom_bodyid[geom]] === 0;
  for (let n = 0; n < data.ncon; n++) {
    const contact = contacts.get(n), [one, other] = contact.geom, up = Math.abs(contact.frame[2]);
    if (contact.dist < 0 && fixed(one) !== fixed(other) && up >= STEEP) {
      const root = model.body_rootid[model.geom_bodyid[fixed(one) ? other : one]];
      deepest.set(root, Math.max(deepest.get(root) ?? 0, -contact.dist / up));
    }
    contact.delete();
  }
  contacts.delete();
  return deepest;
}

// Raises a tree of bodies by its root's free joint or upright slide; false if it has neither.
function raise(model, root, height, qpos) {
  const from = model.body_jntadr[root];
  for (let joint = from; joint < from + model.body_jntnum[root]; joint++) {
    const first = model.jnt_qposadr[joint], upwards = model.jnt_axis[3 * joint + 2];
    if (model.jnt_type[joint] === FREE) {
      qpos[first + 2] += height;
      return true;
    }
    if (model.jnt_type[joint] === SLIDE && Math.abs(upwards) > 0.999) {
      qpos[first] += height * Math.sign(upwards);
      return true;
    }
  }
  return false;
}
