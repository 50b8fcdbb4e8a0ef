// Where things are in graphics code, for completion and for changing one number. Whether the code is right, the server says.

const TOKEN = /(?<space>[ \t\r\n]+|#[^\n]*)|(?<number>[+-]?(?:\d+(?:\.\d*)?|\.\d+))|(?<name>[A-Za-z_]\w*)|(?<string>"[^"\n]*"?|'[^'\n]*'?)|(?<mark>[(),=])|(?<other>.)/gsu;

export function tokens(text) {
  const found = [];
  for (const match of text.matchAll(TOKEN)) {
    const kind = Object.keys(match.groups).find((name) => match.groups[name] !== undefined);
    if (kind !== "space") found.push({ kind, text: match[0], from: match.index, to: match.index + match[0].length });
  }
  return found;
}

/** The statements of a text, as far as they can be made out: name, extent, and by argument the extent of its value and of its numbers. */
export function statements(text) {
  const found = [];
  let current = null, depth = 0, key = null, held = null;
  const end = (to) => {
    if (current && key) current.values[key] = { from: held?.from ?? to, to, numbers: held?.numbers ?? [] };
    key = held = null;
  };
  for (const token of tokens(text)) {
    const is = (mark) => token.kind === "mark" && token.text === mark;
    if (depth === 0) {
      if (token.kind === "name") found.push((current = { name: token.text, from: token.from, to: token.to, values: {}, closed: false }));
      if (is("(") && current) depth = 1;
      continue;
    }
    if (token.kind === "name" && depth === 1 && !key) key = token.text;
    else if (is("=") && depth === 1) held = null;
    else if (is(",") && depth === 1) end(held?.to ?? token.from);
    else if (is(")") && depth === 1) {
      end(held?.to ?? token.from);
      depth = 0;
      current.to = token.to;
      current.closed = true;
    } else if (key) {
      if (is("(")) depth += 1;
      if (is(")")) depth -= 1;
      held ??= { from: token.from, to: token.to, numbers: [] };
      held.to = token.to;
      if (token.kind === "number") held.numbers.push({ from: token.from, to: token.to, value: Number(token.text) });
    }
    if (depth) current.to = token.to;
  }
  return found;
}

/** What may be completed at a place: a statement, a keyword of a statement, or a value of an argument. */
export function context(text, at) {
  const before = text.slice(0, at);
  const found = tokens(before);
  let depth = 0, statement = null, key = null, fresh = true, given = [];
  for (const token of found) {
    if (token.kind === "mark") {
      if (token.text === "(") {
        depth += 1;
        if (depth === 1) { key = null; fresh = true; given = []; }
      } else if (token.text === ")") {
        depth = Math.max(0, depth - 1);
        if (depth === 0) statement = null;
      } else if (token.text === "," && depth === 1) { key = null; fresh = true; }
      else if (token.text === "=") fresh = false;
    } else if (token.kind === "name" && depth === 0) statement = token.text;
    else if (token.kind === "name" && depth === 1 && fresh) { key = token.text; given.push(key); }
  }
  const last = found.at(-1);
  const typed = last && last.to === at && (last.kind === "name" || last.kind === "string") ? last : null;
  if (depth === 0) return { kind: "statement", from: typed?.kind === "name" ? typed.from : at };
  if (fresh) return { kind: "keyword", statement, given: typed ? given.slice(0, -1) : given, from: typed ? typed.from : at };
  return { kind: "value", statement, key, from: typed ? typed.from : at, begun: typed?.kind === "string" };
}

/** Which statements stand in for the objects of a domain, in the server's order: those that are whole and not of the header. */
export const whole = (text, domain) => statements(text).filter((one) => one.closed && !domain?.header.some((each) => each.name === one.name));

/** A number with so many decimals, without a negative zero. */
export function written(value, decimals) {
  const text = value.toFixed(decimals);
  return Number(text) === 0 ? (0).toFixed(decimals) : text;
}

/** Numbers within an argument's range, rounded as it is written; an angle comes back around, to the nearer end of a range that is no full turn. */
export function within({ low, high, period, decimals }, values) {
  return values.map((value, i) => {
    let inside = Math.min(high[i], Math.max(low[i], value));
    if (period) {
      const turned = low[i] + ((((value - low[i]) % period) + period) % period);
      const nearer = turned - high[i] < low[i] + period - turned ? high[i] : low[i];
      inside = turned <= high[i] ? turned : nearer;
    }
    return Number(written(inside, decimals));
  });
}
