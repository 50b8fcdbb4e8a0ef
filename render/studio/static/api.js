// What the page asks of the studio's server, and nothing else.

export class Problem extends Error {}

const GONE = "The studio does not answer: was it ended? Your scene is still here; start it again with `igllm studio`.";

async function ask(path, options) {
  let answer;
  try {
    answer = await fetch(path, { ...options, credentials: "same-origin" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem(GONE);
  }
  if (answer.ok) return answer;
  const said = await answer.json().catch(() => ({}));
  throw new Problem(said.problem || `The studio answered with status ${answer.status}.`);
}

const post = (path, content, signal) => ask(path, { method: "POST", body: JSON.stringify(content), signal });

export const facts = async () => (await ask("/api/studio")).json();
export const domain = async (name) => (await ask(`/api/domain/${encodeURIComponent(name)}`)).json();
export const call = async (what, content, signal) => (await post(`/api/${what}`, content, signal)).json();
export const file = async (kind, content) => (await post(`/api/take/${kind}`, content)).blob();
export const mesh = async (key) => (await ask(`/api/mesh/${key}`)).arrayBuffer();
export const image = async (blob, name) => (await ask(`/api/image?name=${encodeURIComponent(name)}`, { method: "POST", body: blob })).json();
export const kept = async (key) => (await fetch(`/api/image/${key}`, { method: "GET" })).ok;

/** Calls `tell` with each line of JSON that the server sends; the connection ends with `signal`, and with it the work. */
export async function lines(what, content, signal, tell) {
  const answer = await post(`/api/${what}`, content, signal);
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { value, done } = await reader.read().catch((error) => {
      if (error.name === "AbortError") throw error;
      throw new Problem(GONE);
    });
    if (done) return;
    text += value;
    const parts = text.split("\n");
    text = parts.pop();
    for (const part of parts) {
      const line = JSON.parse(part);
      if (line.problem) throw new Problem(line.problem);
      tell(line);
    }
  }
}
