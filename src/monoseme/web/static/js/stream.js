// Reads a stream of server-sent events that answers a POST, which the browser's own EventSource cannot ask for.

import { answer, ApiError } from "./api.js";

/** Each event of the answer to `body`, as { name, data }. Aborting `signal` closes the connection, and with it the server's work. */
export async function* events(path, body, { signal } = {}) {
  const response = await answer(path, {
    method: "POST",
    body: JSON.stringify(body),
    headers: { "content-type": "application/json", accept: "text/event-stream" },
    signal,
  });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { value, done } = await reader.read().catch(lost);
    if (done) return;
    const blocks = (rest + value).split(/\r?\n\r?\n/);
    rest = blocks.pop();
    for (const event of blocks.map(parsed)) if (event) yield event;
  }
}

function lost(error) {
  if (error.name === "AbortError") throw error;
  throw new ApiError("The connection to the server was lost.", { hint: "Is monoseme serve still running? What had come until then is kept." });
}

/** One block of lines; null for a comment, which only keeps the connection open. */
function parsed(block) {
  let name = "message";
  const data = [];
  for (const line of block.split(/\r?\n/)) {
    const [, field, value] = /^([^:]*):? ?(.*)$/s.exec(line);
    if (field === "event") name = value;
    if (field === "data") data.push(value);
  }
  return data.length ? { name, data: JSON.parse(data.join("\n")) } : null;
}
