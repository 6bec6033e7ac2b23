// The picture: the robot that adapts above, its twin below, each followed by a camera.

import {
  BoxGeometry, BufferGeometry, CanvasTexture, CapsuleGeometry, Color, ConeGeometry, CylinderGeometry, DirectionalLight,
  Float32BufferAttribute, Fog, Group, HemisphereLight, LineBasicMaterial, LineSegments, Matrix4, Mesh,
  MeshBasicMaterial, MeshLambertMaterial, PerspectiveCamera, PlaneGeometry, Scene, SphereGeometry, SRGBColorSpace, Vector3, WebGLRenderer,
} from 'three';

const KINDS = { plane: 0, sphere: 2, capsule: 3, ellipsoid: 4, cylinder: 5, box: 6 };
const FIELD = 26; // of view, degrees
const FAR = 26; // m to which the floor is drawn
const SOFTWARE = /swiftshader|llvmpipe|software/i;
const COARSEST = 0.6; // pixels of the picture by the screen's
const SLOW = 26; // ms of a frame above which the picture is made coarser

function shape(kind, [a, b, c]) {
  if (kind === KINDS.sphere) return new SphereGeometry(a, 24, 16);
  if (kind === KINDS.ellipsoid) return new SphereGeometry(1, 24, 16).scale(a, b, c);
  if (kind === KINDS.box) return new BoxGeometry(2 * a, 2 * b, 2 * c);
  if (kind === KINDS.cylinder) return new CylinderGeometry(a, a, 2 * b, 24).rotateX(Math.PI / 2);
  if (kind === KINDS.capsule) return new CapsuleGeometry(a, 2 * b, 6, 20).rotateX(Math.PI / 2); // three's lie along y
  return null;
}

const unit = (x, y) => [x, y].map(one => one / (Math.hypot(x, y) || 1));

function lines() {
  const ends = [], reach = FAR;
  for (let x = -reach; x <= reach; x++) ends.push(x, -reach, 0, x, reach, 0, -reach, x, 0, reach, x, 0);
  const geometry = new BufferGeometry();
  geometry.setAttribute('position', new Float32BufferAttribute(ends, 3));
  return new LineSegments(geometry, new LineBasicMaterial());
}

// A distance post's number, drawn once.
function plate(text) {
  const canvas = document.createElement('canvas'), pen = canvas.getContext('2d');
  [canvas.width, canvas.height] = [128, 64];
  pen.fillStyle = '#fff';
  pen.font = '600 44px system-ui, sans-serif';
  [pen.textAlign, pen.textBaseline] = ['center', 'middle'];
  pen.fillText(text, 64, 34);
  const map = new CanvasTexture(canvas);
  map.colorSpace = SRGBColorSpace;
  const mesh = new Mesh(new PlaneGeometry(0.44, 0.22), new MeshBasicMaterial({ map, transparent: true, depthWrite: false }));
  mesh.rotation.x = Math.PI / 2;
  return mesh;
}

// One robot's part of the picture.
class Lane {
  constructor(session, runner, ghost) {
    Object.assign(this, { session, runner, ghost });
    this.scene = new Scene();
    this.camera = new PerspectiveCamera(FIELD, 2, 0.1, 60);
    this.light();
    this.floor();
    this.robot();
    this.signs();
    this.eye = null;
  }

  light() {
    this.sky = new HemisphereLight(0xffffff, 0x8a8f98, 2.2);
    this.sun = new DirectionalLight(0xffffff, 1.6);
    this.sun.castShadow = true;
    this.sun.shadow.mapSize.set(1024, 1024);
    Object.assign(this.sun.shadow.camera, { left: -3, right: 3, top: 3, bottom: -3, far: 14 });
    this.scene.add(this.sky, this.sun, this.sun.target);
  }

  floor() {
    this.ground = new Mesh(new PlaneGeometry(4 * FAR, 4 * FAR), new MeshLambertMaterial());
    this.ground.receiveShadow = true;
    this.grid = lines();
    this.grid.position.z = 0.002;
    this.posts = [-10, -5, 0, 5, 10].map(offset => Object.assign(new Group(), { offset, label: null }));
    for (const post of this.posts) {
      const stick = new Mesh(new CylinderGeometry(0.015, 0.015, 0.5, 8).rotateX(Math.PI / 2), new MeshBasicMaterial());
      stick.position.z = 0.25;
      post.add(stick);
      post.stick = stick;
      this.scene.add(post);
    }
    this.scene.add(this.ground, this.grid);
  }

  robot() {
    const { model, policy } = this.session, { data } = this.runner.world;
    this.parts = [];
    this.level = 0;
    let reach = 0;
    const root = data.xpos.slice(3 * policy.robot.body, 3 * policy.robot.body + 3);
    for (let geom = 0; geom < model.ngeom; geom++) {
      const kind = model.geom_type[geom], size = Array.from(model.geom_size.slice(3 * geom, 3 * geom + 3));
      if (kind === KINDS.plane) this.level = model.geom_pos[3 * geom + 2];
      const geometry = shape(kind, size);
      const stands = model.geom_rgba[4 * geom + 3] === 0; // for a mesh that the page does not carry
      if (!geometry || stands || model.geom_bodyid[geom] === 0) continue;
      const mesh = new Mesh(geometry, new MeshLambertMaterial());
      mesh.matrixAutoUpdate = false;
      mesh.castShadow = true;
      this.parts.push({ geom, mesh, body: model.geom_bodyid[geom] });
      this.scene.add(mesh);
      const place = data.geom_xpos.slice(3 * geom, 3 * geom + 3);
      reach = Math.max(reach, Math.hypot(...place.map((one, axis) => one - root[axis])) + (size[1] || size[0]) * 0.6);
    }
    this.reach = Math.max(reach, 0.3);
    this.small = Math.min(1, this.reach / 0.8); // size of signs and grid by that of the robot
    this.cell = this.small < 0.8 ? 0.25 : 1;
    this.grid.scale.setScalar(this.cell);
    this.posts.forEach(post => post.scale.setScalar(this.small));
    this.load = new Mesh(new BoxGeometry(1, 1, 1), new MeshLambertMaterial());
    this.load.castShadow = true;
    this.scene.add(this.load);
    this.ground.position.z = this.grid.position.z = this.level;
    this.grid.position.z += 0.002;
  }

  signs() {
    this.flag = new Group();
    const stick = new Mesh(new CylinderGeometry(0.012, 0.012, 1, 8).rotateX(Math.PI / 2), new MeshLambertMaterial());
    stick.position.z = 0.5;
    const cloth = new Mesh(new BoxGeometry(0.26, 0.01, 0.16), new MeshLambertMaterial());
    cloth.position.set(0.13, 0, 0.9);
    this.flag.add(stick, cloth);
    this.arrow = new Mesh(new ConeGeometry(0.1, 0.34, 20).rotateZ(-Math.PI / 2), new MeshLambertMaterial());
    this.scene.add(this.flag, this.arrow);
    this.ahead = 0;
    this.flag.scale.setScalar(this.small);
    this.arrow.scale.setScalar(this.small);
  }

  paint(colors) {
    const { background, ground, line, post } = colors;
    this.scene.background = new Color(background);
    this.scene.fog = new Fog(background, 7, 20);
    this.ground.material.color.set(ground);
    this.grid.material.color.set(line);
    for (const one of this.posts) one.stick.material.color.set(post);
    const own = new Color(this.ghost ? colors.twin : colors.accent), pale = own.clone().lerp(new Color('#ffffff'), 0.28);
    const { broken } = this.session.values, { moved } = this.session.policy.robot;
    const still = broken >= 0 ? moved[broken] : -1;
    const { body } = this.session.policy.robot;
    for (const part of this.parts) {
      part.mesh.material.color.copy(part.body === still ? new Color(colors.broken) : part.body === body ? own : pale);
    }
    this.load.material.color.set(colors.load);
    for (const sign of [...this.flag.children, this.arrow]) sign.material.color.set(colors.asked);
    this.labels = colors.label;
  }

  move(seconds) {
    const { data } = this.runner.world, { session } = this, { body } = session.policy.robot;
    const place = data.geom_xpos, turn = data.geom_xmat;
    for (const { geom, mesh } of this.parts) {
      const [p, r] = [3 * geom, 9 * geom];
      mesh.matrix.set(turn[r], turn[r + 1], turn[r + 2], place[p], turn[r + 3], turn[r + 4], turn[r + 5], place[p + 1],
        turn[r + 6], turn[r + 7], turn[r + 8], place[p + 2], 0, 0, 0, 1);
      mesh.matrixWorldNeedsUpdate = true;
    }
    const root = Array.from(data.xpos.slice(3 * body, 3 * body + 3));
    const pose = data.xmat.slice(9 * body, 9 * body + 9);
    this.carry(root, pose);
    this.point(root, pose, seconds);
    this.follow(root);
  }

  carry(root, turn) {
    const mass = this.session.values.payload ?? 0, side = 0.13 * Math.cbrt(Math.max(mass, 0.001));
    this.load.visible = mass > 0.05;
    const up = [turn[2], turn[5], turn[8]], lift = 0.06 + side / 2;
    this.load.setRotationFromMatrix(new Matrix4().set(turn[0], turn[1], turn[2], 0, turn[3], turn[4], turn[5], 0,
      turn[6], turn[7], turn[8], 0, 0, 0, 0, 1));
    this.load.scale.setScalar(side);
    this.load.position.set(...root.map((one, axis) => one + lift * up[axis]));
  }

  // The flag runs ahead as fast as is asked for, or marks the goal; the arrow points where it shall go.
  point(root, turn, seconds) {
    const { velocity, goal, direction, angle } = this.session.asking;
    this.flag.visible = Boolean(velocity ?? goal);
    this.arrow.visible = Boolean(direction ?? angle);
    if (goal) this.flag.position.set(goal[0], goal[1], this.level);
    if (velocity) {
      const gap = velocity[0] - this.runner.speed;
      this.ahead = Math.min(Math.max(this.ahead + gap * seconds, -1.6), 1.6);
      const [x, y] = this.session.policy.task.objective === 'terms' ? unit(turn[0], turn[3]) : [1, 0]; // the body's, or the world's
      const aside = 0.55 * this.small;
      this.flag.position.set(root[0] + this.ahead * x - aside * y, (y ? root[1] : 0) + this.ahead * y + aside * x, this.level);
    }
    const heading = angle ? angle[0] : direction?.[0] < 0 ? Math.PI : 0;
    this.arrow.position.set(root[0] + 0.9 * this.small * Math.cos(heading), root[1] + 0.9 * this.small * Math.sin(heading), this.level + 0.06);
    this.arrow.rotation.z = heading;
  }

  follow(root) {
    const { free } = this.session.policy.robot, jumped = this.eye && Math.hypot(root[0] - this.eye[0], root[1] - this.eye[1]) > 2;
    const near = this.eye && !jumped ? 0.12 : 1;
    this.eye = (this.eye ?? root).map((one, axis) => one + near * (root[axis] - one));
    const [x, y] = this.eye, height = this.level + this.reach * 0.72, wide = Math.max(1, 1.9 / this.camera.aspect);
    const away = wide * this.reach * 1.12 / Math.tan((FIELD / 2) * Math.PI / 180);
    const [back, lift] = free ? [0.45, 0.62] : [0.12, 0.2];
    const gravity = this.session.model.opt.gravity, size = Math.hypot(...gravity) || 1;
    this.camera.up.set(-gravity[0] / size, -gravity[1] / size, -gravity[2] / size);
    this.camera.position.set(x - back * away, y - away, height + lift * away);
    this.camera.lookAt(x, y, height);
    this.ground.position.x = Math.round(x);
    this.grid.position.x = Math.round(x);
    this.ground.position.y = this.grid.position.y = Math.round(y);
    this.sun.position.set(x + 1.5, y - 2.5, this.level + 6);
    this.sun.target.position.set(x, y, this.level);
    for (const post of this.posts) this.stand(post, 5 * Math.round(x / 5) + post.offset);
  }

  stand(post, metres) {
    post.position.set(metres, 1.6, this.level);
    if (post.label === metres) return;
    if (post.plate) {
      post.plate.material.map.dispose();
      post.remove(post.plate);
    }
    post.label = metres;
    post.plate = plate(`${metres} m`);
    post.plate.material.color.set(this.labels ?? '#888');
    post.plate.position.z = 0.66;
    post.add(post.plate);
  }

  dispose() {
    this.scene.traverse(one => {
      one.geometry?.dispose();
      one.material?.dispose();
    });
  }
}

export class Picture {
  constructor(canvas) {
    this.canvas = canvas;
    const context = canvas.getContext('webgl2', { antialias: true });
    if (!context) throw new Error('no WebGL');
    this.renderer = new WebGLRenderer({ canvas, context });
    const hardware = !SOFTWARE.test(this.device());
    this.renderer.shadowMap.enabled = hardware;
    this.ratio = hardware ? Math.min(window.devicePixelRatio, 2) : 1;
    this.cost = 0;
    this.lanes = [];
  }

  device() {
    const context = this.renderer.getContext(), named = context.getExtension('WEBGL_debug_renderer_info');
    return named ? String(context.getParameter(named.UNMASKED_RENDERER_WEBGL)) : '';
  }

  show(session) {
    this.lanes.forEach(lane => lane.dispose());
    this.lanes = [new Lane(session, session.adaptive, false), new Lane(session, session.twin, true)];
  }

  paint(colors) {
    this.lanes.forEach(lane => lane.paint(colors));
    this.background = colors.background;
  }

  draw(seconds, both) {
    const began = performance.now(), { clientWidth: width, clientHeight: height } = this.canvas;
    const shown = both ? this.lanes : this.lanes.slice(0, 1);
    this.renderer.setPixelRatio(this.ratio);
    this.renderer.setSize(width, height, false);
    this.renderer.setScissorTest(true);
    shown.forEach((lane, place) => {
      const tall = height / shown.length;
      this.renderer.setViewport(0, height - (place + 1) * tall, width, tall);
      this.renderer.setScissor(0, height - (place + 1) * tall, width, tall);
      lane.camera.aspect = width / tall;
      lane.camera.updateProjectionMatrix();
      lane.move(seconds);
      this.renderer.render(lane.scene, lane.camera);
    });
    this.cost += 0.1 * (performance.now() - began - this.cost);
    if (this.cost > SLOW) this.coarser();
  }

  // Slow machines get fewer pixels and no shadows.
  coarser() {
    this.cost = 0;
    if (this.renderer.shadowMap.enabled) {
      this.renderer.shadowMap.enabled = false;
      this.lanes.forEach(lane => { lane.sun.castShadow = false; });
    } else this.ratio = Math.max(COARSEST, this.ratio * 0.8);
  }

  // The level at which a slow machine ends.
  coarsest() {
    this.coarser();
    while (this.ratio > COARSEST) this.coarser();
  }
}
