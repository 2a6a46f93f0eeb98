// Texts while they are written: events of the server in, one pane for each arm and prompt out. Knows nothing of the page.

export const ARMS = { default: "Default", steered: "Steered" };

export class Writing {
  constructor() {
    this.panes = new Map();
    Object.assign(this, { watched: [], seed: null, replay: null, ahead: null, failure: null, seconds: null, nTokens: 0, tops: {}, isWhole: false, isStopped: false });
  }

  pane(arm, row) {
    const key = `${arm} ${row}`;
    if (!this.panes.has(key)) this.panes.set(key, new Pane(arm, row));
    return this.panes.get(key);
  }

  /** One event. Returns the pane that it changed, and at which place, if any. */
  take({ name, data }) {
    return { queued, started, token, values, ended, failed, done }[name]?.(this, data) ?? null;
  }

  /** Ends what is still open, because the reader or a failure stopped it. */
  close(reason) {
    for (const pane of this.panes.values()) if (pane.isOpen) pane.end(reason);
  }

  /** The largest value of a latent anywhere, to shade by where its maximum is not known. */
  largest(latent) {
    return this.tops[latent] ?? 0;
  }
}

class Pane {
  constructor(arm, row) {
    Object.assign(this, { arm, row, tokens: [], values: [], nPrompt: 0, text: "", reason: "", isOpen: true });
  }

  end(reason, text = this.text) {
    Object.assign(this, { isOpen: false, reason, text });
  }

  get nWritten() {
    return this.tokens.length - this.nPrompt;
  }

  /** What a latent did on the tokens that were written, as far as they have been read. */
  summary(latent) {
    const known = this.values.slice(this.nPrompt).map((values) => values?.[latent]).filter((value) => value !== undefined && value !== null);
    if (!known.length) return null;
    return { mean: known.reduce((sum, value) => sum + value, 0) / known.length, max: Math.max(...known), nFired: known.filter((value) => value !== 0).length, n: known.length };
  }

  /** How many written tokens are the same in both before they part. */
  sharedWith(other) {
    const [mine, theirs] = [this.tokens.slice(this.nPrompt), other.tokens.slice(other.nPrompt)];
    const parting = mine.findIndex((text, i) => text !== theirs[i]);
    return parting < 0 ? mine.length : parting;
  }
}

function queued(writing, { ahead }) {
  writing.ahead = ahead;
}

function started(writing, { seed, watched, prompts, replay }) {
  Object.assign(writing, { seed, watched, replay: replay ?? writing.replay, ahead: null });
  for (const { arm, row, tokens } of prompts) {
    const pane = writing.pane(arm, row);
    Object.assign(pane, { tokens: [...tokens], nPrompt: tokens.length });
  }
}

function token(writing, { arm, row, place, text, token: shown }) {
  const pane = writing.pane(arm, row);
  pane.tokens[place] = shown;
  pane.text += text;
  writing.nTokens += 1;
  return { pane, place };
}

function values(writing, { arm, row, place, values: told }) {
  const pane = writing.pane(arm, row);
  pane.values[place] = { ...pane.values[place], ...told };
  for (const [name, value] of Object.entries(told)) writing.tops[name] = Math.max(writing.tops[name] ?? 0, Math.abs(value));
  return { pane, place };
}

function ended(writing, { arm, row, text, reason }) {
  const pane = writing.pane(arm, row);
  pane.end(reason, text);
  return { pane };
}

function failed(writing, { error, hint }) {
  writing.failure = { message: error, hint };
}

function done(writing, { seconds }) {
  Object.assign(writing, { seconds, isWhole: true });
}
