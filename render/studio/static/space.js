// The scene in 3-D: solids as the server states them, the camera of the shot, and handles that turn into numbers.

import {
  BoxGeometry, BufferAttribute, BufferGeometry, Color, CylinderGeometry, DirectionalLight, EdgesGeometry, Euler, GridHelper, Group,
  HemisphereLight, LineBasicMaterial, LineSegments, Matrix4, Mesh, MeshStandardMaterial, Object3D, OrbitControls, PCFShadowMap, PerspectiveCamera, PlaneGeometry, PMREMGenerator, Raycaster,
  RoomEnvironment, Scene, ShadowMaterial, SphereGeometry, TransformControls, Vector2, Vector3, WebGLRenderer,
} from "./vendor/three.js";
import { material } from "./surface.js";

Object3D.DEFAULT_UP.set(0, 0, 1);
const SHAPES = {
  cube: () => new BoxGeometry(2, 2, 2),
  sphere: () => new SphereGeometry(1, 48, 32),
  cylinder: () => new CylinderGeometry(1, 1, 2, 64).rotateX(Math.PI / 2),
};

const NEARBY = [[0, 0], [2, 1], [-2, -1], [1, -2], [-1, 2]]; // pixels

export class Space {
  #shapes = new Map();
  #solids = [];
  #dragging = false;
  #began = new Vector3();
  #asked = false;

  /** `handlers`: select(number), drag(number, pose, mode), dropped(), mesh(key). Throws where there is no WebGL. */
  constructor(parent, handlers) {
    this.parent = parent;
    this.handlers = handlers;
    this.renderer = new WebGLRenderer({ antialias: true, alpha: true });
    this.renderer.shadowMap.enabled = true;
    this.renderer.shadowMap.autoUpdate = false; // only when an object or the lamp has moved, not with the camera
    this.renderer.shadowMap.type = PCFShadowMap;
    this.renderer.setPixelRatio(Math.min(window.devicePixelRatio, 2));
    const element = this.renderer.domElement;
    element.setAttribute("aria-hidden", "true");
    this.lens = Object.assign(document.createElement("div"), { className: "lens", hidden: true });
    parent.append(this.lens, element);

    this.scene = new Scene();
    const environment = new PMREMGenerator(this.renderer).fromScene(new RoomEnvironment(), 0.04);
    this.scene.environment = environment.texture;
    this.scene.environmentIntensity = 0.45;
    this.scene.add(new HemisphereLight(0xffffff, 0x8a8a8a, 0.55));
    this.key = new DirectionalLight(0xfff4e2, 1.6);
    this.key.castShadow = true;
    this.key.shadow.mapSize.set(1024, 1024);
    Object.assign(this.key.shadow.camera, { left: -7, right: 7, top: 7, bottom: -7, near: 0.5, far: 40 });
    this.scene.add(this.key, this.key.target);
    this.ground = new Group();
    const floor = new Mesh(new PlaneGeometry(60, 60), new ShadowMaterial({ opacity: 0.28 }));
    floor.receiveShadow = true;
    this.grid = new GridHelper(12, 12);
    this.grid.rotation.x = Math.PI / 2;
    this.grid.position.z = 0.002;
    this.grid.material.transparent = true;
    this.grid.material.opacity = 0.5;
    this.ground.add(floor, this.grid);
    this.scene.add(this.ground);
    this.things = new Group();
    this.scene.add(this.things);
    this.outline = new LineSegments(new EdgesGeometry(new BoxGeometry(1, 1, 1)), new LineBasicMaterial({ depthTest: false, transparent: true }));
    this.outline.visible = this.outline.matrixAutoUpdate = false;
    this.scene.add(this.outline);

    this.camera = new PerspectiveCamera(40, 1, 0.05, 500);
    this.orbit = new OrbitControls(this.camera, element);
    this.orbit.addEventListener("change", () => this.#moved());
    this.gizmo = new TransformControls(this.camera, element);
    this.gizmo.setSize(0.85);
    this.scene.add(this.gizmo.getHelper());
    this.gizmo.addEventListener("change", () => this.draw());
    this.gizmo.addEventListener("axis-changed", ({ value }) => (element.style.cursor = value ? "grab" : ""));
    this.gizmo.addEventListener("dragging-changed", ({ value }) => {
      this.#dragging = value;
      if (value) this.#began = this.gizmo.object.scale.clone();
      this.orbit.enabled = !value;
      if (!value) handlers.dropped();
    });
    this.gizmo.addEventListener("objectChange", () => this.#dragged());

    let pressed = null;
    element.addEventListener("pointerdown", (event) => (pressed = [event.clientX, event.clientY]));
    element.addEventListener("pointerup", (event) => {
      const still = pressed && Math.hypot(event.clientX - pressed[0], event.clientY - pressed[1]) < 5;
      if (still && !this.#dragging && !this.gizmo.axis) handlers.select(this.#hit(event));
      pressed = null;
    });
    this.#prepare();
    new ResizeObserver(() => this.#resized()).observe(parent);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.#colored());
    this.#colored();
  }

  /** Draw a first solid where nobody sees it: what the graphics card needs for that is made now, and not at the first edit. */
  #prepare() {
    const solid = new Mesh(new BoxGeometry(0.01, 0.01, 0.01), new MeshStandardMaterial());
    solid.castShadow = solid.receiveShadow = true;
    this.scene.add(solid);
    this.renderer.shadowMap.needsUpdate = true;
    this.renderer.render(this.scene, this.camera);
    solid.removeFromParent();
    solid.geometry.dispose();
    solid.material.dispose();
  }

  set hidden(hidden) { this.renderer.domElement.hidden = this.lens.hidden = hidden; }

  /** The camera of a shot: where it stands, and the frame that it sees. `at` again puts the view there. */
  shoot(shot, at = true) {
    this.shot = shot;
    const lamp = shot.lamps[0]?.location ?? [4, -4, 8];
    this.key.position.set(...lamp).multiplyScalar(1.6);
    this.#shaded();
    if (at) this.home();
  }

  home() {
    const { location, target } = this.shot.camera;
    this.camera.position.set(...location);
    this.orbit.target.set(...target);
    this.atHome = true;
    this.#resized();
    this.orbit.update();
    this.atHome = true;
    this.#framed();
    this.draw();
  }

  /** Show solids, as the server states them. */
  async show(objects, ground) {
    this.ground.visible = ground;
    await Promise.all([...new Set(objects.map((one) => one.shape))].map((shape) => this.#load(shape)));
    const kept = this.#solids;
    this.#solids = objects.map((one, number) => {
      const before = kept[number];
      const solid = before?.userData.shape === one.shape ? before : this.#make(one);
      if (solid !== before) this.things.add(solid);
      solid.userData.number = number;
      this.#paint(solid, one.surfaces);
      if (!(this.#dragging && number === this.chosen)) {
        new Matrix4().fromArray(one.pose).decompose(solid.position, solid.quaternion, solid.scale);
      }
      return solid;
    });
    for (const solid of kept) {
      if (!this.#solids.includes(solid)) {
        solid.removeFromParent();
        solid.material.forEach((one) => one.dispose());
      }
    }
    this.select(this.chosen < this.#solids.length ? this.chosen : null);
    this.#shaded();
  }

  /** Select an object by number, null for none; `modes` are those of its gizmo that its numbers allow: {translate: "xyz", rotate: "z"}. */
  select(number, modes = this.modes) {
    this.chosen = number;
    this.modes = modes;
    const solid = number === null || number === undefined ? null : this.#solids[number];
    const axes = modes?.[this.mode];
    this.outline.visible = Boolean(solid);
    if (solid && axes) {
      if (this.gizmo.object !== solid) this.gizmo.attach(solid);
      this.gizmo.setMode(this.mode);
      this.gizmo.setSpace("world");
      for (const axis of "XYZ") this.gizmo[`show${axis}`] = axes.includes(axis.toLowerCase());
      if (this.mode === "rotate" && axes === "xyz") Object.assign(this.gizmo, { showXYZE: true, showE: true });
      else Object.assign(this.gizmo, { showXYZE: false, showE: false });
    } else if (!this.#dragging) this.gizmo.detach();
    this.draw();
  }

  mode = "translate";
  chosen = null;

  /** The pose of an object: position, quaternion, and its scale over what it was when the drag began. */
  pose(number) {
    const solid = this.#solids[number];
    return { position: solid.position, quaternion: solid.quaternion, scale: solid.scale };
  }

  /** The angles of an object about the world's X, then Y, then Z, in radians. */
  angles(number) {
    const { x, y, z } = new Euler().setFromQuaternion(this.#solids[number].quaternion, "ZYX");
    return [x, y, z];
  }

  /** How much larger the dragged object is than when the drag began. */
  grown() { return this.gizmo.object.scale.x / this.#began.x; }

  /** Make the dragged object so many times as large as when the drag began, as its number in its range has it. */
  grow(times) { this.gizmo.object.scale.copy(this.#began).multiplyScalar(times); }

  /** Put the dragged object where its numbers, in their ranges, have it. */
  hold(number, place) { this.#solids[number]?.position.set(...place); }

  /** The directions of right and behind along the ground, as the view sees them. */
  directions() {
    const right = new Vector3().setFromMatrixColumn(this.camera.matrixWorld, 0).setZ(0).normalize();
    return [[right.x, right.y, 0], [-right.y, right.x, 0]];
  }

  /** The image that the camera's frame shows behind the objects; null for none. */
  behind(url) {
    this.lens.replaceChildren(...(url ? [Object.assign(new Image(), { src: url, alt: "" })] : []));
    this.backed = Boolean(url);
    this.#framed();
    this.draw();
  }

  draw() {
    if (this.#asked) return;
    this.#asked = true;
    requestAnimationFrame(() => {
      this.#asked = false;
      if (!this.parent.clientWidth) return;
      this.grid.visible = !(this.backed && this.atHome);
      if (this.outline.visible) this.#outlined(this.#solids[this.chosen]);
      this.renderer.render(this.scene, this.camera);
      this.onDrawn?.();
    });
  }

  /** Put the outline around a solid: the box that holds it, turned with it. */
  #outlined(solid) {
    solid.geometry.boundingBox ?? solid.geometry.computeBoundingBox();
    solid.updateMatrixWorld();
    const { min, max } = solid.geometry.boundingBox;
    const size = max.clone().sub(min), middle = max.clone().add(min).multiplyScalar(0.5);
    this.outline.matrix.copy(solid.matrixWorld).multiply(new Matrix4().makeTranslation(middle)).scale(size);
    this.outline.matrixWorldNeedsUpdate = true;
  }

  #shaded() {
    this.renderer.shadowMap.needsUpdate = true;
    this.draw();
  }

  async #load(shape) {
    if (this.#shapes.has(shape)) return;
    if (SHAPES[shape]) this.#shapes.set(shape, { geometry: inOneGroup(SHAPES[shape]()), slots: [0] });
    else this.#shapes.set(shape, unpacked(await this.handlers.mesh(shape)));
  }

  #make(one) {
    const { geometry, slots } = this.#shapes.get(one.shape);
    const solid = new Mesh(geometry, []);
    solid.castShadow = solid.receiveShadow = true;
    solid.userData = { shape: one.shape, slots };
    return solid;
  }

  /** Give a solid the surfaces of its slots; those that it has already stay. */
  #paint(solid, surfaces) {
    const stated = JSON.stringify(surfaces);
    if (solid.userData.stated === stated) return;
    solid.userData.stated = stated;
    solid.material.forEach((one) => one.dispose());
    solid.material = solid.userData.slots.map((slot) => material(surfaces[Math.min(slot, surfaces.length - 1)], () => this.draw()));
  }

  /** The number of the solid at a place, or beside it: thin parts are hard to meet, and the edge between two triangles may be missed. */
  #hit(event) {
    const box = this.renderer.domElement.getBoundingClientRect(), ray = new Raycaster();
    this.things.updateMatrixWorld(); // what has moved since the last frame
    for (const [right, down] of NEARBY) {
      const x = (event.clientX - box.left + right) / box.width, y = (event.clientY - box.top + down) / box.height;
      ray.setFromCamera(new Vector2(2 * x - 1, 1 - 2 * y), this.camera);
      const [met] = ray.intersectObjects(this.#solids);
      if (met) return met.object.userData.number;
    }
    return null;
  }

  #dragged() {
    const solid = this.gizmo.object;
    if (!solid || !this.#dragging) return;
    if (this.mode === "scale") {
      const before = this.#began;
      const ratios = ["x", "y", "z"].map((axis) => solid.scale[axis] / (before[axis] || 1));
      const ratio = ratios.reduce((far, one) => (Math.abs(Math.log(Math.abs(one) || 1)) > Math.abs(Math.log(Math.abs(far) || 1)) ? one : far), 1);
      solid.scale.copy(before).multiplyScalar(Math.abs(ratio));
    }
    this.handlers.drag(this.chosen, this.pose(this.chosen), this.mode);
    this.#shaded();
  }

  #moved() {
    if (this.shot?.camera) {
      const { location, target } = this.shot.camera;
      const off = this.camera.position.distanceTo(new Vector3(...location)) + this.orbit.target.distanceTo(new Vector3(...target));
      this.atHome = off < 1e-6;
      this.#framed();
    }
    this.draw();
  }

  #resized() {
    const { clientWidth: width, clientHeight: height } = this.parent;
    if (!width || !height) return;
    this.renderer.setSize(width, height, false);
    this.camera.aspect = width / height;
    if (this.shot?.camera) {
      const focal = this.shot.camera.lens_mm / this.shot.camera.sensor_mm, longer = Math.max(this.shot.width, this.shot.height);
      const half = [this.shot.width / longer / 2 / focal, this.shot.height / longer / 2 / focal];
      const fit = Math.max(half[1], half[0] / this.camera.aspect);
      this.camera.fov = (2 * Math.atan(fit) * 180) / Math.PI;
      const tall = (half[1] / fit) * height, wide = (half[0] / fit / this.camera.aspect) * width;
      Object.assign(this.lens.style, { left: `${(width - wide) / 2}px`, top: `${(height - tall) / 2}px`, width: `${wide}px`, height: `${tall}px` });
    }
    this.camera.updateProjectionMatrix();
    this.draw();
  }

  #framed() { this.lens.hidden = !this.atHome; }

  #colored() {
    const style = getComputedStyle(document.documentElement);
    const line = new Color(style.getPropertyValue("--grid").trim());
    this.grid.geometry.dispose();
    this.grid.geometry = new GridHelper(12, 12, line, line).geometry;
    this.outline.material.color.set(style.getPropertyValue("--accent").trim());
    this.draw();
  }
}

function inOneGroup(geometry) {
  geometry.clearGroups();
  geometry.addGroup(0, Infinity, 0);
  return geometry;
}

/** The geometry in the bytes that the server sends of a mesh (`render.studio.shown`), and the slots of its groups. */
function unpacked(buffer) {
  const [triangles, groups] = new Uint32Array(buffer, 0, 2);
  const head = new Uint32Array(buffer, 8, 2 * groups);
  const numbers = new Float32Array(buffer, 8 + 8 * groups);
  const geometry = new BufferGeometry();
  geometry.setAttribute("position", new BufferAttribute(numbers.slice(0, 9 * triangles), 3));
  geometry.setAttribute("normal", new BufferAttribute(numbers.slice(9 * triangles), 3));
  const slots = [];
  let start = 0;
  for (let i = 0; i < groups; i += 1) {
    slots.push(head[2 * i]);
    geometry.addGroup(start, head[2 * i + 1], i);
    start += head[2 * i + 1];
  }
  return { geometry, slots };
}
