// Ways to begin: a method with a strength for every latent. They set what the page shows, and nothing that it does not show.

const RECIPES = [
  { title: "Raise gently", says: "Adds half of the latent's maximum at every token.", method: "additive", strength: 0.5, unit: "max" },
  { title: "Raise", says: "Adds twice the latent's maximum at every token.", method: "additive", strength: 2, unit: "max" },
  { title: "Push down", says: "Takes the latent's maximum away at every token.", method: "additive", strength: -1, unit: "max" },
  { title: "Hold at its maximum", says: "Sets the latent to its maximum, whether it fires or not.", method: "clamp", strength: 1, unit: "max" },
  { title: "Ablate", says: "Sets the latent to zero wherever it fires.", method: "negative_clamp", strength: 0, unit: "raw" },
  { title: "Remove the direction", says: "Takes everything along the latent's direction out of the activations.", method: "orthogonal", strength: 0, unit: "raw" },
  { title: "Bias before the choice", says: "Adds the latent's maximum before latents are chosen; the model goes on with the reconstruction.", method: "h_bias", strength: 1, unit: "max", options: { error_term: false } },
];

/** Those whose method this server has. */
export function recipesFor(methods) {
  const known = new Map(methods.map((method) => [method.name, method]));
  return RECIPES.filter(({ method, unit }) => known.get(method)?.units.includes(unit));
}

/** What a recipe changes in a state. A method's option that the server does not know is left out. */
export function follow({ method, strength, unit, options = {} }, state, methods) {
  const known = methods.find((item) => item.name === method).options.map((option) => option.name);
  return {
    method,
    options: Object.fromEntries(Object.entries(options).filter(([name]) => known.includes(name))),
    latents: state.latents.map((item) => ({ ...item, strength, unit })),
  };
}
