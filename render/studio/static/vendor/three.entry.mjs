export {
  BoxGeometry, BufferAttribute, BufferGeometry, Color, CylinderGeometry, DirectionalLight, EdgesGeometry, Euler, GridHelper, Group,
  HemisphereLight, LineBasicMaterial, LineSegments, Matrix3, Matrix4, Mesh, MeshStandardMaterial, Object3D, PCFShadowMap, PerspectiveCamera,
  PlaneGeometry, PMREMGenerator, Raycaster, RepeatWrapping, Scene, ShadowMaterial, SphereGeometry, SRGBColorSpace, TextureLoader, Vector2,
  Vector3, WebGLRenderer,
} from "three";
export { OrbitControls } from "three/addons/controls/OrbitControls.js";
export { TransformControls } from "three/addons/controls/TransformControls.js";
export { RoomEnvironment } from "three/addons/environments/RoomEnvironment.js";
