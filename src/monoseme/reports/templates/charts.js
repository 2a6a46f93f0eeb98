// Draws the charts of the report, again when the reader's theme changes. `ast` with the bundled interpreter: nothing is evaluated.
{
  const data = JSON.parse(document.getElementById("report-data").textContent);
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const drawn = new Map();

  const draw = async (name) => {
    const place = document.getElementById(`chart-${name}`);
    const options = {
      mode: "vega-lite",
      renderer: data.canvas.includes(name) ? "canvas" : "svg",
      ast: true,
      actions: false,
      defaultStyle: false,
      config: dark.matches ? data.dark : data.light,
      tooltip: { theme: dark.matches ? "dark" : "light" },
    };
    drawn.get(name)?.finalize();
    try {
      drawn.set(name, await window.vegaEmbed(place, data.charts[name], options));
    } catch (error) {
      place.textContent = `This chart could not be drawn: ${error.message}`;
    }
  };

  const drawAll = () => Promise.all(Object.keys(data.charts).map(draw));
  dark.addEventListener("change", drawAll);
  drawAll().then(() => document.documentElement.setAttribute("data-charts", "drawn"));
}
