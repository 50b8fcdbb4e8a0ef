// The scene in the address: a link that opens it again. The image is not in it, a sample's and a seed's place is.

const LONGEST = 200000; // characters of what a link unpacks to: a link can come from anybody

export async function pack(scene) {
  const stream = new Blob([JSON.stringify(scene)]).stream().pipeThrough(new CompressionStream("deflate-raw"));
  const bytes = new Uint8Array(await new Response(stream).arrayBuffer());
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return btoa(text).replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "");
}

/** The scene that a packed text holds; null if it is none. */
export async function unpack(text) {
  try {
    const bytes = Uint8Array.from(atob(text.replaceAll("-", "+").replaceAll("_", "/")), (letter) => letter.charCodeAt(0));
    const reader = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("deflate-raw")).pipeThrough(new TextDecoderStream()).getReader();
    let whole = "";
    for (;;) {
      const { value, done } = await reader.read();
      if (done) break;
      whole += value;
      if (whole.length > LONGEST) return null;
    }
    const scene = JSON.parse(whole);
    const right = typeof scene?.domain === "string" && typeof scene?.code === "string" && (scene.shot === undefined || isShot(scene.shot));
    return right ? scene : null;
  } catch {
    return null;
  }
}

const isPlace = (place) => Array.isArray(place) && place.length === 3 && place.every(Number.isFinite);

/** Whether a shot has all that the page itself reads of it; the rest is for the server to check. */
function isShot(shot) {
  const { width, height, lamps, camera } = shot ?? {};
  const seen = camera === null || (isPlace(camera?.location) && isPlace(camera?.target) && camera.lens_mm > 0 && camera.sensor_mm > 0);
  return width > 0 && height > 0 && seen && Array.isArray(lamps) && lamps.every((lamp) => isPlace(lamp?.location));
}
