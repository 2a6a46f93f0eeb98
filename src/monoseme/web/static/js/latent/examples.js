// Where a latent fires: the strongest examples, then those of each tenth of its activations, with the controls of how they are shown.

import { fill, h, unseen } from "../dom.js";
import { activation, count, plural } from "../format.js";
import { line, strip } from "../tokens.js";
import { nearDuplicates } from "./near_duplicates.js";
import { CONTEXTS } from "./state.js";

const NARROW = 860;
const AROUND = { short: 4, medium: 8, full: null };

export class Examples {
  constructor(latent, state) {
    Object.assign(this, { latent, state });
    this.groups = latent.groups.filter((group) => group.examples.length);
    this.repeats = nearDuplicates(this.groups.flatMap((group) => group.examples));
    this.holder = h("div", { class: "stack examples-all", vars: { "--gap": "26px" } });
    this.sizes = CONTEXTS.map(([name, title, tip]) => h("button", { type: "button", data: { tip, name }, onclick: () => this.choose({ context: name }) }, title));
    this.toggles = [
      this.toggle("breaks", "Line breaks", "Break lines where the text does (b)"),
      this.toggle("values", "Values", "The activation under each token (v)"),
      this.repeats.size > 0 && this.toggle("repeats", `Near-duplicates (${count(this.repeats.size)})`, "Also those whose text is nearly that of an example above (d)"),
    ];
    this.node = [
      h(
        "div",
        { class: "head" },
        h("h2", {}, "Where it fires"),
        legend(latent),
        h("div", { class: "head__end controls" }, h("div", { class: "segments", role: "group", "aria-label": "Context of examples" }, this.sizes), h("div", { class: "segments", role: "group", "aria-label": "Show in examples" }, this.toggles)),
      ),
      this.groups.length ? this.holder : h("div", { class: "notice" }, h("p", {}, "No examples were kept for this latent.")),
    ];
    this.draw();
  }

  toggle(name, title, tip) {
    return h("button", { type: "button", data: { tip, name }, onclick: () => this.choose({ [name]: !this.state[name] }) }, title);
  }

  choose(changes) {
    this.state.choose(changes);
    this.draw();
  }

  draw() {
    for (const button of this.sizes) button.setAttribute("aria-pressed", String(this.state.context === button.dataset.name));
    for (const button of this.toggles) if (button) button.setAttribute("aria-pressed", String(this.state[button.dataset.name]));
    this.holder.classList.toggle("is-valued", this.state.values);
    fill(this.holder, this.groups.map((group, i) => this.group(group, i)));
  }

  group(group, i) {
    const shown = this.state.repeats ? group.examples : group.examples.filter((example) => !this.repeats.has(example));
    const hidden = group.examples.length - shown.length;
    const range = group.low !== null && group.high !== null ? `${activation(group.low)} to ${activation(group.high)}` : "";
    const quiet = (text) => text && h("span", { class: "muted small" }, text);
    const title = [group.name, quiet(range), quiet(plural(shown.length, "example")), quiet(hidden ? `${plural(hidden, "near-duplicate")} hidden` : "")];
    const list = h("ol", { class: `examples examples--${this.state.context}` }, shown.map((example) => this.row(example)));
    if (i === 0) return h("section", {}, h("h3", { class: "group" }, title), list);
    // On a phone the numbers stand below the examples, and are to be reached.
    return h("details", { class: "decile", open: innerWidth > NARROW }, h("summary", { class: "group" }, title), list);
  }

  row(example) {
    const { context, breaks } = this.state;
    const where = [example.source, `document ${count(example.document)}, token ${count(example.position)}`].filter(Boolean).join(" · ");
    const top = this.latent.max;
    return h(
      "li",
      { class: "example" },
      h("span", { class: "example__value", data: { tip: where } }, unseen("peak "), activation(example.values[example.peak])),
      context === "stacked" ? line(example, { top, before: 16, after: 14 }) : strip(example, { top, breaks, around: AROUND[context] }),
      context === "full" && h("span", { class: "example__source muted small" }, where),
    );
  }

  /** Keys that do what the controls do. */
  keys() {
    const sizes = CONTEXTS.map(([name]) => name);
    const flip = (name, says) => ({ run: () => this.choose({ [name]: !this.state[name] }), says });
    return {
      c: { run: () => this.choose({ context: sizes[(sizes.indexOf(this.state.context) + 1) % sizes.length] }), says: "more context, then stacked again" },
      b: flip("breaks", "line breaks in examples"),
      v: flip("values", "activations under tokens"),
      d: flip("repeats", "near-duplicates"),
    };
  }
}

function legend(latent) {
  return h("span", { class: "legend", "aria-hidden": "true" }, "0", h("span", { class: "legend__ramp" }), activation(latent.max));
}
