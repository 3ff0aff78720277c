(() => {
  const { runs, charts } = JSON.parse(document.getElementById("page-data").textContent);
  const state = { axis: "steps", logX: false, smoothing: 2, raw: true, hidden: new Set() };
  const margin = { left: 52, right: 10, top: 8, bottom: 34 };
  const drawn = new Map(); // by figure: what the pointer needs

  const byId = (id) => document.getElementById(id);
  const finite = (value) => typeof value === "number" && Number.isFinite(value);

  // A debiased running mean (of logarithms on a logarithmic axis); the slider sets its half-life, in hundredths of the curve.
  function smoothed(values, log) {
    const halfLife = (state.smoothing / 100) * values.length;
    if (halfLife <= 0) return values;
    const keep = 0.5 ** (1 / halfLife);
    let sum = 0, weight = 0;
    return values.map((value) => {
      if (!finite(value) || (log && value <= 0)) return null;
      sum = keep * sum + (1 - keep) * (log ? Math.log(value) : value);
      weight = keep * weight + (1 - keep);
      return log ? Math.exp(sum / weight) : sum / weight;
    });
  }

  const partOf = (run, key) => (key in run.training.series ? run.training : key in run.evaluations.series ? run.evaluations : null);

  // The curves of a chart that are not hidden.
  function curvesOf(chart, log) {
    return runs.flatMap((run, number) => {
      const part = partOf(run, chart.key);
      if (!part || state.hidden.has(number)) return [];
      const series = part.series[chart.key];
      const line = chart.smooth ? smoothed(series.mean, log) : series.mean;
      return [{ run, number, x: part.x[state.axis], line, ...series, evaluated: part === run.evaluations }];
    });
  }

  function range(values, log) {
    let low = Infinity, high = -Infinity;
    for (const value of values) {
      if (!finite(value) || (log && value <= 0)) continue;
      low = Math.min(low, value);
      high = Math.max(high, value);
    }
    return low <= high ? [low, high] : null;
  }

  // The range of raw values without the outermost hundredth, so that one bad step does not flatten a curve.
  function inner(values) {
    const sorted = values.filter(finite).sort((a, b) => a - b);
    const cut = Math.floor(sorted.length / 100);
    return sorted.slice(cut, sorted.length - cut);
  }

  function limitsY(chart, curves, log) {
    const values = curves.flatMap((curve) => {
      const drawnRaw = chart.smooth && state.raw ? inner(curve.mean) : [];
      const reference = curve.run.references[chart.key];
      return [...(chart.smooth ? inner(curve.line) : curve.line), ...drawnRaw, ...(finite(reference) ? [reference] : [])];
    });
    const found = range(values, log);
    if (!found) return null;
    const [low, high] = found;
    if (log) return [low / (high / low) ** 0.04 / 1.02, high * (high / low) ** 0.04 * 1.02];
    // the running mean of a constant differs in its last digit: its ticks would all be the same
    const room = (high - low > Math.abs(high) * 1e-9 ? high - low : Math.abs(high)) * 0.05 || 1;
    return [low >= 0 && low - room < 0 ? 0 : low - room, high + room];
  }

  // The path of a line; a gap where a value is missing.
  function path(xs, ys, toX, toY, logY) {
    let text = "", pen = "M";
    xs.forEach((x, n) => {
      const y = ys[n];
      if (!finite(x) || !finite(y) || (logY && y <= 0) || (state.logX && x <= 0)) {
        pen = "M";
        return;
      }
      text += `${pen}${toX(x).toFixed(1)} ${toY(y).toFixed(1)}`;
      pen = "L";
    });
    return text;
  }

  function band(curve, toX, toY, logY) {
    const there = curve.x
      .map((x, n) => [x, curve.low[n], curve.high[n]])
      .filter(([x, low, high]) => finite(x) && finite(low) && finite(high) && !(logY && low <= 0) && !(state.logX && x <= 0));
    if (!there.length) return "";
    const point = (x, y) => `${toX(x).toFixed(1)} ${toY(y).toFixed(1)}`;
    const up = there.map(([x, , high]) => point(x, high)), down = there.map(([x, low]) => point(x, low)).reverse();
    return `M${[...up, ...down].join("L")}Z`;
  }

  function frame(svg, size, limits, log, toX, toY) {
    const bottom = size.height - margin.bottom, right = size.width - margin.right;
    const ticksY = (log ? logTicks : linearTicks)(...limits.y, 5);
    for (const tick of ticksY) {
      const y = toY(tick).toFixed(1);
      svg.append(element("line", { class: "grid", x1: margin.left, x2: right, y1: y, y2: y }));
      svg.append(element("text", { x: margin.left - 6, y: +y + 4, "text-anchor": "end", class: "tick-y" }, short(tick)));
    }
    const about = Math.max(2, Math.floor((right - margin.left) / 80));
    for (const tick of (state.logX ? logTicks : linearTicks)(...limits.x, about)) {
      const x = toX(tick).toFixed(1);
      svg.append(element("line", { class: "frame", x1: x, x2: x, y1: bottom, y2: bottom + 4 }));
      svg.append(element("text", { x, y: bottom + 16, "text-anchor": "middle", class: "tick-x" }, short(tick)));
    }
    svg.append(element("line", { class: "frame", x1: margin.left, x2: right, y1: bottom, y2: bottom }));
    svg.append(element("text", { x: right, y: size.height - 4, "text-anchor": "end", class: "axis-name" }, state.axis));
  }

  function curveShapes(chart, curve, toX, toY, log) {
    const shapes = [];
    const of = { "data-run": curve.number };
    if (curve.low && (state.raw || !chart.smooth)) {
      shapes.push(element("path", { class: `band ${curve.run.colour}`, d: band(curve, toX, toY, log), ...of }));
    }
    if (chart.smooth && state.raw) {
      shapes.push(element("path", { class: `raw ${curve.run.colour}`, d: path(curve.x, curve.mean, toX, toY, log), ...of }));
    }
    shapes.push(element("path", { class: `line ${curve.run.colour}`, d: path(curve.x, curve.line, toX, toY, log), ...of }));
    if (curve.evaluated && curve.x.length <= 60) {
      curve.x.forEach((x, n) => {
        if (!finite(x) || !finite(curve.line[n]) || (state.logX && x <= 0) || (log && curve.line[n] <= 0)) return;
        shapes.push(element("circle", { class: `dot ${curve.run.colour}`, cx: toX(x).toFixed(1), cy: toY(curve.line[n]).toFixed(1), r: 2.4 }));
      });
    }
    return shapes;
  }

  function referenceShape(chart, curve, size, toY) {
    const value = curve.run.references[chart.key];
    if (!finite(value)) return [];
    const y = toY(value).toFixed(1);
    return [element("line", { class: `reference ${curve.run.colour}`, x1: margin.left, x2: size.width - margin.right, y1: y, y2: y })];
  }

  // Crosses for skipped updates, triangles for spikes; those beyond the chart's range are drawn at its edge.
  function markShapes(chart, curve, size, toX, toY) {
    if (chart.key !== "loss" && chart.key !== "gradient_norm") return [];
    return curve.run.marks.flatMap((mark) => {
      const at = mark[state.axis];
      if (!finite(at) || (state.logX && at <= 0)) return [];
      const value = mark[chart.key], bottom = size.height - margin.bottom - 6;
      const wanted = finite(value) && value > 0 ? toY(value) : margin.top + 6;
      const x = +toX(at).toFixed(1), y = +Math.min(bottom, Math.max(margin.top + 6, wanted)).toFixed(1);
      const d = mark.skipped ? `M${x - 4} ${y - 4}l8 8m0-8l-8 8` : `M${x - 4} ${y + 3}h8l-4-7z`;
      const made = element("path", { class: `mark ${mark.skipped ? "skipped" : "spike"} ${curve.run.colour}`, d });
      made.append(element("title", {}, mark.why));
      return [made];
    });
  }

  function limitsX(curves) {
    // the first evaluation is at 0, which has no logarithm
    const found = range(curves.flatMap((curve) => curve.x), state.logX);
    if (!found) return null;
    return state.logX ? found : [0, found[1]];
  }

  function draw(figure) {
    const chart = charts.find((one) => one.key === figure.dataset.chart), svg = figure.querySelector("svg.plot");
    const size = { width: svg.clientWidth, height: svg.clientHeight };
    drawn.delete(figure);
    svg.replaceChildren();
    if (!size.width) return; // folded
    const log = figure.querySelector("input.log").checked, curves = curvesOf(chart, log);
    const limits = { x: limitsX(curves), y: limitsY(chart, curves, log) };
    svg.setAttribute("viewBox", `0 0 ${size.width} ${size.height}`);
    svg.setAttribute("aria-label", `${chart.title} over ${state.axis}: ${curves.map((curve) => curve.run.name).join(", ")}`);
    if (!limits.x || !limits.y) {
      svg.append(element("text", { x: size.width / 2, y: size.height / 2, "text-anchor": "middle" }, "nothing to show"));
      return;
    }
    const toX = scale(...limits.x, margin.left, size.width - margin.right, state.logX);
    const toY = scale(...limits.y, size.height - margin.bottom, margin.top, log);
    frame(svg, size, limits, log, toX, toY);
    const inside = element("svg", { x: 0, y: margin.top, width: size.width, height: size.height - margin.top - margin.bottom, class: "inside",
      viewBox: `0 ${margin.top} ${size.width} ${size.height - margin.top - margin.bottom}` });
    for (const curve of curves) inside.append(...referenceShape(chart, curve, size, toY), ...curveShapes(chart, curve, toX, toY, log));
    svg.append(inside);
    for (const curve of curves) svg.append(...markShapes(chart, curve, size, toX, toY));
    drawn.set(figure, { chart, curves, toX, toY, log, size, limits });
  }

  const figures = [...document.querySelectorAll("figure[data-chart]")];
  const drawAll = () => figures.forEach(draw);

  // The values at a position of a chart.
  function nearest(curve, toX, pixel) {
    let best = -1, distance = Infinity;
    curve.x.forEach((x, n) => {
      if (!finite(x) || !finite(curve.line[n]) || (state.logX && x <= 0)) return;
      const away = Math.abs(toX(x) - pixel);
      if (away < distance) [best, distance] = [n, away];
    });
    return best;
  }

  function cell(row, text, kind = "") {
    const made = row.insertCell();
    made.textContent = text;
    if (kind) made.className = kind;
  }

  function describe(chart, curve, n, body) {
    const row = body.insertRow();
    row.className = curve.run.colour;
    cell(row, "", "run");
    const swatch = element("svg", { viewBox: "0 0 22 8" });
    swatch.append(element("line", { class: "line", x2: 22, y1: 4, y2: 4 }));
    row.cells[0].append(swatch, curve.run.name);
    cell(row, short(curve.line[n]), "value");
    const spread = curve.low && curve.low[n] !== curve.high[n] ? `${short(curve.low[n])} to ${short(curve.high[n])}` : "";
    const exact = chart.smooth && curve.line[n] !== curve.mean[n] && finite(curve.mean[n]) ? `raw ${short(curve.mean[n])}` : "";
    cell(row, spread || exact, "soft");
    cell(row, `at ${short(curve.x[n])}`, "soft");
  }

  function describeMarks(known, pixel, body) {
    if (known.chart.key !== "loss" && known.chart.key !== "gradient_norm") return;
    for (const { run } of known.curves) {
      const near = run.marks.filter((mark) => finite(mark[state.axis]) && Math.abs(known.toX(mark[state.axis]) - pixel) <= 5);
      for (const mark of near.slice(0, 3)) {
        const row = body.insertRow(), made = row.insertCell();
        made.colSpan = 4;
        made.className = "why";
        made.textContent = `${run.name}, step ${mark.steps.toLocaleString("en")}: ${mark.why}`;
      }
    }
  }

  function point(figure, pixel) {
    const known = drawn.get(figure), tip = figure.querySelector(".tip"), svg = figure.querySelector("svg.plot");
    svg.querySelectorAll(".pointed").forEach((old) => old.remove());
    tip.hidden = !known;
    if (!known) return;
    const { size, toX, toY, curves, chart } = known;
    const x = Math.min(size.width - margin.right, Math.max(margin.left, pixel));
    svg.append(element("line", { class: "cursor pointed", x1: x, x2: x, y1: margin.top, y2: size.height - margin.bottom }));
    const table = document.createElement("table"), body = table.createTBody();
    for (const curve of curves) {
      const n = nearest(curve, toX, x);
      if (n < 0) continue;
      describe(chart, curve, n, body);
      const y = Math.min(size.height - margin.bottom, Math.max(margin.top, toY(curve.line[n])));
      svg.append(element("circle", { class: `dot pointed ${curve.run.colour}`, cx: toX(curve.x[n]), cy: y, r: 4 }));
    }
    describeMarks(known, x, body);
    tip.replaceChildren(table);
    tip.dataset.at = x;
    const right = x > size.width / 2;
    tip.style.left = right ? "auto" : `${Math.min(x + 12, size.width - tip.offsetWidth)}px`;
    tip.style.right = right ? `${Math.min(size.width - x + 12, size.width - tip.offsetWidth)}px` : "auto";
  }

  function leave(figure) {
    figure.querySelector(".tip").hidden = true;
    figure.querySelectorAll(".pointed").forEach((old) => old.remove());
  }

  function listen(figure) {
    const svg = figure.querySelector("svg.plot"), tip = figure.querySelector(".tip");
    const at = (event) => point(figure, event.clientX - svg.getBoundingClientRect().left);
    svg.addEventListener("pointermove", at);
    svg.addEventListener("pointerdown", at);
    svg.addEventListener("pointerleave", (event) => event.pointerType === "mouse" && leave(figure));
    svg.addEventListener("blur", () => leave(figure));
    svg.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (event.key === "Escape") leave(figure);
      if (!step) return;
      event.preventDefault();
      point(figure, (tip.hidden ? svg.clientWidth / 2 : +tip.dataset.at) + (step * svg.clientWidth) / 100);
    });
    figure.querySelector("input.log").addEventListener("change", () => draw(figure));
  }

  figures.forEach(listen);
  document.querySelectorAll("input[data-run]").forEach((box) =>
    box.addEventListener("change", () => {
      state.hidden[box.checked ? "delete" : "add"](+box.dataset.run);
      drawAll();
    }));
  document.querySelectorAll("input[name=axis]").forEach((choice) =>
    choice.addEventListener("change", () => {
      state.axis = choice.value;
      drawAll();
    }));
  const bar = { "log-x": (box) => (state.logX = box.checked), raw: (box) => (state.raw = box.checked), smoothing: (box) => (state.smoothing = +box.value) };
  for (const [id, change] of Object.entries(bar)) {
    byId(id)?.addEventListener("input", (event) => {
      change(event.target);
      drawAll();
    });
  }
  new ResizeObserver(drawAll).observe(document.body);
  document.querySelectorAll("details").forEach((fold) => fold.addEventListener("toggle", drawAll));
  drawAll();
})();
