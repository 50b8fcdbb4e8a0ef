// What a solid is made of: one colour, or a pattern computed from a point's place in the solid's own frame, as Blender computes it
// (blender_scenes/paints.py). Noise is Perlin's with the hash of Bob Jenkins, so that each blotch is where Blender has it.

import { Color, Euler, Matrix3, Matrix4, MeshStandardMaterial, RepeatWrapping, SRGBColorSpace, TextureLoader, Vector3 } from "./vendor/three.js";

const NUMBERS = { stripes: 1, checks: 2, noise: 3, wood: 4, image: 5 };

const VERTEX = `
varying vec3 patternPlace, patternSide;
`;
const FRAGMENT = `
varying vec3 patternPlace, patternSide;
uniform vec3 firstColor, secondColor, patternOffset;
uniform mat3 patternAxes;
uniform sampler2D patternImage;

uint turnedBits(uint bits, int by) { return (bits << by) | (bits >> (32 - by)); }

uint hashed(ivec3 at) {
  uint a = 0xdeadbeefu + 25u, b = a, c = a;
  a += uint(at.x); b += uint(at.y); c += uint(at.z);
  c ^= b; c -= turnedBits(b, 14);
  a ^= c; a -= turnedBits(c, 11);
  b ^= a; b -= turnedBits(a, 25);
  c ^= b; c -= turnedBits(b, 16);
  a ^= c; a -= turnedBits(c, 4);
  b ^= a; b -= turnedBits(a, 14);
  c ^= b; c -= turnedBits(b, 24);
  return c;
}

float slope(ivec3 at, vec3 from) {
  uint h = hashed(at) & 15u;
  float u = h < 8u ? from.x : from.y;
  float v = h < 4u ? from.y : (h == 12u || h == 14u ? from.x : from.z);
  return ((h & 1u) == 0u ? u : -u) + ((h & 2u) == 0u ? v : -v);
}

float perlin(vec3 p) {
  ivec3 i = ivec3(floor(p));
  vec3 f = p - floor(p), w = f * f * f * (f * (f * 6.0 - 15.0) + 10.0);
  vec4 near, far; // at the corners along X and Y, below and above
  for (int k = 0; k < 4; k += 1) {
    ivec3 corner = ivec3(k & 1, k >> 1, 0);
    near[k] = slope(i + corner, f - vec3(corner));
    far[k] = slope(i + corner + ivec3(0, 0, 1), f - vec3(corner) - vec3(0, 0, 1));
  }
  vec4 both = mix(near, far, w.z);
  return 0.982 * mix(mix(both.x, both.y, w.x), mix(both.z, both.w, w.x), w.y);
}

float blotches(vec3 p, int octaves) {
  float sum = 0.0, most = 0.0, share = 1.0;
  for (int k = 0; k < octaves; k += 1) {
    sum += share * perlin(p);
    most += share;
    share *= 0.5;
    p *= 2.0;
  }
  return 0.5 * sum / most + 0.5;
}

float checkered(vec3 p) {
  ivec3 odd = ivec3(abs(floor((p + 0.000001) * 0.999999))) & 1;
  return (odd.x == odd.y) == (odd.z == 1) ? 0.0 : 1.0;
}

float ringed(vec3 p) {
  p = (0.9 * p + 0.000001) * 0.999999;
  return fract((20.0 * length(p.xy) + 2.5 * (2.0 * blotches(0.8 * p, 3) - 1.0)) / 6.283185307179586);
}

/** The shares of the three pairs of a box's sides, which blend where the surface turns from one to the next. */
vec3 boxShares(vec3 side) {
  const float blend = 0.2, limit = 0.5 * (1.0 + blend);
  vec3 n = abs(side) / dot(abs(side), vec3(1));
  if (n.x > limit * (n.x + n.y) && n.x > limit * (n.x + n.z)) return vec3(1, 0, 0);
  if (n.y > limit * (n.x + n.y) && n.y > limit * (n.y + n.z)) return vec3(0, 1, 0);
  if (n.z > limit * (n.x + n.z) && n.z > limit * (n.y + n.z)) return vec3(0, 0, 1);
  #define SHARE(a, b) clamp((a / (a + b) - 0.5 * (1.0 - blend)) / blend, 0.0, 1.0)
  if (n.z < (1.0 - limit) * (n.y + n.x)) { float x = SHARE(n.x, n.y); return vec3(x, 1.0 - x, 0); }
  if (n.x < (1.0 - limit) * (n.y + n.z)) { float y = SHARE(n.y, n.z); return vec3(0, y, 1.0 - y); }
  if (n.y < (1.0 - limit) * (n.x + n.z)) { float x = SHARE(n.x, n.z); return vec3(x, 0, 1.0 - x); }
  return ((2.0 - limit) * n + (limit - 1.0)) / (2.0 * limit - 1.0);
}

vec3 boxed(vec3 p, vec3 side) {
  vec3 share = boxShares(side);
  vec3 x = texture2D(patternImage, vec2(side.x < 0.0 ? 1.0 - p.y : p.y, p.z)).rgb;
  vec3 y = texture2D(patternImage, vec2(side.y > 0.0 ? 1.0 - p.x : p.x, p.z)).rgb;
  vec3 z = texture2D(patternImage, vec2(side.z > 0.0 ? 1.0 - p.y : p.y, p.x)).rgb;
  return share.x * x + share.y * y + share.z * z;
}

vec3 patterned() {
  vec3 p = patternAxes * patternPlace + patternOffset;
#if PATTERN == 1
  return fract(p.x) > 0.5 ? secondColor : firstColor;
#elif PATTERN == 2
  return checkered(p) > 0.5 ? secondColor : firstColor;
#elif PATTERN == 3
  return mix(firstColor, secondColor, clamp((blotches(p, 4) - 0.44) / 0.12, 0.0, 1.0));
#elif PATTERN == 4
  return mix(firstColor, secondColor, ringed(p));
#else
  return boxed(p, patternSide);
#endif
}
`;

const images = new Map(); // by key, as long as the page is open: a scene has few, and the studio has at most a domain's

/** The material of a surface, as the server states it: a linear colour, whether it is metal, and a pattern, or null. `drawn` is called when an image has come. */
export function material({ color, metal, pattern }, drawn) {
  const made = new MeshStandardMaterial({ metalness: metal ? 0.92 : 0, roughness: metal ? 0.28 : 0.75 });
  made.color.setRGB(...color);
  if (pattern) wear(made, pattern, drawn);
  return made;
}

function wear(made, pattern, drawn) {
  const turn = new Matrix4().makeRotationFromEuler(new Euler(...pattern.turn, "ZYX"));
  const uniforms = {
    firstColor: { value: new Color().setRGB(...pattern.first) },
    secondColor: { value: new Color().setRGB(...pattern.second) },
    patternOffset: { value: new Vector3(...pattern.offset) },
    patternAxes: { value: new Matrix3().setFromMatrix4(turn).multiplyScalar(pattern.cells) },
    patternImage: { value: pattern.image ? image(pattern.image, drawn) : null },
  };
  made.defines.PATTERN = NUMBERS[pattern.name];
  made.onBeforeCompile = (shader) => {
    Object.assign(shader.uniforms, uniforms);
    shader.vertexShader = VERTEX + shader.vertexShader.replace("#include <begin_vertex>", `#include <begin_vertex>
      patternPlace = position; patternSide = normal;`);
    shader.fragmentShader = FRAGMENT + shader.fragmentShader.replace("#include <color_fragment>", "diffuseColor.rgb = patterned();");
  };
  made.customProgramCacheKey = () => `pattern ${pattern.name}`;
}

function image(key, drawn) {
  if (!images.has(key)) {
    const texture = new TextureLoader().load(`/api/texture/${key}`, () => drawn());
    texture.wrapS = texture.wrapT = RepeatWrapping;
    texture.colorSpace = SRGBColorSpace;
    images.set(key, texture);
  }
  return images.get(key);
}
