// Draws every chart of the page from the JSON beside it. Errors go to the console, unhandled.
for (const place of document.querySelectorAll("[data-spec]")) {
  const spec = JSON.parse(document.getElementById(place.dataset.spec).textContent);
  vegaEmbed(place, spec, { mode: "vega-lite", renderer: "svg", actions: false });
}
