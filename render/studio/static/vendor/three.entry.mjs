export {
  AmbientLight, Box3, BoxGeometry, BoxHelper, BufferAttribute, BufferGeometry, Color, CylinderGeometry, DirectionalLight, EdgesGeometry,
  Euler, GridHelper, Group, HemisphereLight, LineBasicMaterial, LineSegments, MathUtils, Matrix4, Mesh, MeshBasicMaterial,
  MeshStandardMaterial, Object3D, PCFShadowMap, PerspectiveCamera, PlaneGeometry, PMREMGenerator, Quaternion, Raycaster, Scene,
  ShadowMaterial, SphereGeometry, Vector2, Vector3, WebGLRenderer,
} from "three";
export { OrbitControls } from "three/addons/controls/OrbitControls.js";
export { TransformControls } from "three/addons/controls/TransformControls.js";
export { RoomEnvironment } from "three/addons/environments/RoomEnvironment.js";
