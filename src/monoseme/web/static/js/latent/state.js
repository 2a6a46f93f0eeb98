// What the reader chose on the page of a latent, as the query of its address.

import { search } from "../api.js";

export const CONTEXTS = [
  ["stacked", "Stacked", "One line an example, the firing tokens in one column"],
  ["short", "Short", "Nine tokens around the firing one"],
  ["medium", "Medium", "17 tokens around the firing one"],
  ["full", "Full", "All the text that was kept"],
];

/** What belongs to one latent is left behind on the way to another. */
const OF_ONE_LATENT = ["judged", "told"];

export class State {
  constructor(query, router) {
    this.router = router;
    this.context = CONTEXTS.some(([name]) => name === query.context) ? query.context : CONTEXTS[0][0];
    this.breaks = query.breaks === "1";
    this.values = query.values === "1";
    this.repeats = query.repeats === "1";
    this.try = query.try ?? "";
    this.judged = query.judged ?? "";
    this.told = query.told ?? "";
  }

  /** Takes up the changes and puts them into the address, which may then be copied. */
  choose(changes) {
    Object.assign(this, changes);
    this.router.note(location.pathname + this.query());
  }

  /** The query of this state; that for another latent is without what belongs to this one. */
  query({ forAnother = false } = {}) {
    const { context, breaks, values, repeats, judged, told } = this;
    const all = { context: context === CONTEXTS[0][0] ? null : context, breaks: breaks ? "1" : null, values: values ? "1" : null, repeats: repeats ? "1" : null, try: this.try, judged, told };
    if (forAnother) for (const name of OF_ONE_LATENT) delete all[name];
    return search(all);
  }
}
