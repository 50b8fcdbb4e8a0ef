// What the page holds, and how its modules hear of each other. Code, shot and domain of the scene are in the editor's history, not here.

export const $ = (id) => document.getElementById(id);

export const page = {
  studio: null, // what the server has
  domain: null, // the declaration of the scene's domain
  input: {}, // where the scene came from: image, frame, truth, what the model read in it; data and number of a sample, seed of a drawn scene
  view: { objects: [] }, // what the server says of the scene
  chosen: null, // the number of the selected object
  size: 320, // pixels along the longer side of the picture
};

const hearers = new Map();

/** Have `work` called at each event of a name: "edited" (code, shot or domain), "cursor" (its object), "picked" (an object by hand),
 * "chosen" (what is selected has changed), "left" (another scene begins), "described" (another domain). */
export function on(name, work) {
  hearers.set(name, [...(hearers.get(name) ?? []), work]);
}
export function tell(name, ...given) {
  for (const work of hearers.get(name) ?? []) work(...given);
}
