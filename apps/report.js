// Draws the charts that the page's data describe, in the colours of the page.
(function () {
  "use strict";
  const light = ["#b4481e", "#1f6fb2", "#2a8a5b", "#8a4fa3", "#b58a00", "#566573"];
  const dark = ["#f08a55", "#64aee8", "#5fc492", "#c490dc", "#e3bf4b", "#a8b4bf"];
  const scheme = window.matchMedia("(prefers-color-scheme: dark)");
  const data = JSON.parse(document.getElementById("charts").textContent);
  let charts = [];

  const css = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

  function number(v) {
    const a = Math.abs(v);
    if (a >= 1e6 || (a > 0 && a < 1e-3)) return v.toExponential(2);
    return String(Number(v.toPrecision(4)));
  }

  function axis(label, log, extra) {
    return Object.assign({
      type: log ? "logarithmic" : "linear",
      title: { display: !!label, text: label, color: css("--soft") },
      ticks: {
        color: css("--soft"), maxRotation: 0, padding: 6, autoSkipPadding: 18, autoSkip: !log,
        callback: (v) => (log && !/^[125]/.test(v.toExponential()) ? "" : number(v)),
      },
      grid: { color: css("--line"), borderColor: css("--line"), drawTicks: false },
    }, extra);
  }

  function lines(c, colours) {
    let colour = 0;
    return {
      type: "line",
      data: {
        datasets: c.series.map((s) => {
          const ink = colours[(s.faint ? colour : colour++) % colours.length];
          return { // faint ones lie under the others
            label: s.name, data: s.points, parsing: false, borderColor: s.faint ? ink + "77" : ink,
            backgroundColor: s.faint ? ink + "77" : ink, borderWidth: s.faint ? 1 : 2, order: s.faint ? 1 : 0,
            pointRadius: s.dots ? 4.5 : s.points.length <= 40 && !s.faint ? 2.5 : 0, pointHitRadius: 8,
            tension: 0, showLine: !s.dots,
          };
        }),
      },
      options: {
        scales: { x: axis(c.x_label, c.log_x), y: axis(c.y_label, c.log_y) },
        interaction: { mode: "nearest", axis: c.series.some((s) => s.dots) ? "xy" : "x", intersect: false },
        layout: { padding: { top: 6 } },
        plugins: { decimation: { enabled: !c.log_x, algorithm: "min-max" } },
      },
    };
  }

  function bars(c, colours) {
    return {
      type: "bar",
      data: {
        labels: c.labels,
        datasets: c.series.map((s, i) => ({
          label: s.name, data: s.values, backgroundColor: colours[i % colours.length],
          borderRadius: 3, maxBarThickness: 26,
        })),
      },
      options: {
        indexAxis: "y",
        scales: {
          x: axis(c.value_label, false, { beginAtZero: true }),
          y: { ticks: { color: css("--ink"), autoSkip: false }, grid: { display: false, borderColor: css("--line") } },
        },
      },
    };
  }

  function draw() {
    charts.forEach((c) => c.destroy());
    const colours = scheme.matches ? dark : light;
    Chart.defaults.font.family = getComputedStyle(document.body).fontFamily;
    Chart.defaults.font.size = 13;
    charts = data.map((c, i) => {
      const config = c.kind === "lines" ? lines(c, colours) : bars(c, colours);
      const o = config.options;
      o.responsive = true;
      o.maintainAspectRatio = false;
      o.animation = false;
      o.plugins = Object.assign({
        legend: {
          display: c.series.length > 1, align: "start",
          labels: { color: css("--ink"), boxWidth: 10, boxHeight: 10, usePointStyle: true, pointStyle: "circle" },
        },
        tooltip: { callbacks: { label: (t) => " " + (t.raw.name || t.dataset.label) + ": " +
          number(c.kind === "lines" ? t.parsed.y : t.parsed.x) } },
      }, o.plugins);
      return new Chart(document.getElementById("chart-" + i), config);
    });
  }

  draw();
  scheme.addEventListener("change", draw);
  window.addEventListener("beforeprint", () => charts.forEach((c) => c.resize()));
})();
