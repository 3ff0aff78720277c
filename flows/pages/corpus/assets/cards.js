// A card for every threshold: its histogram, its slider, its effect, and documents around it.
const cards = (() => {
  const { data, thresholds, byKey, fates, fate, source, weight, judged, causes, drops, signCount, maxSigns } = corpus;
  const BINS = 44, margin = { left: 6, right: 6, top: 14, bottom: 20 }, AROUND = 3;
  const shown = new Set([...document.querySelectorAll("input[data-source]:checked")].map((box) => +box.dataset.source));
  const found = [];

  const neat = (limit) => (limit === null ? "" : +limit.toPrecision(5));
  const valueOf = (one, row) => (one === maxSigns ? signCount[row] : one.values[row]);
  const movable = (one) => one.kind !== "measure" && (one.kind !== "quality" || one.was !== null);

  // The domain of a histogram: the middle 99 % of the values and the limit; counts that spread far are on a logarithmic scale.
  function domainOf(one) {
    const values = [];
    for (let row = 0; row < corpus.rows; row++) if (judged[row] && Number.isFinite(valueOf(one, row))) values.push(valueOf(one, row));
    if (!values.length) return null;
    values.sort((a, b) => a - b);
    const at = (share) => values[Math.min(values.length - 1, Math.floor(share * values.length))];
    const limit = one.was ?? one.published, extremes = [at(0.005), at(0.995), ...(limit === null || limit === undefined ? [] : [limit])];
    let low = Math.min(...extremes), high = Math.max(...extremes);
    const counts = values.every(Number.isInteger);
    if (one.kind === "language" || one.kind === "quality" || one.key.startsWith("scores.")) [low, high] = [Math.min(0, low), Math.max(1, high)];
    if (limit !== null && limit !== undefined) { // leave room to loosen it
      if (limit >= high) high = limit + 0.3 * (limit - low);
      if (limit <= low) low = Math.max(Math.min(0, low), limit - 0.3 * (high - limit));
    }
    if (high - low < 1e-9) high = low + (counts ? 1 : Math.abs(low) || 1);
    if (!counts && low > 0 && low < high / 3) low = 0;
    if (counts && low < 10) low = 0;
    const log = low >= 0 && high > 30 && high > 12 * Math.max(1, at(0.5) / 2);
    return { low, high, counts, log };
  }

  const forward = (domain, value) => (domain.log ? Math.log1p(Math.max(0, value)) : value);
  const backward = (domain, value) => (domain.log ? Math.expm1(value) : value);

  function shareOf(domain, value) {
    const low = forward(domain, domain.low), high = forward(domain, domain.high);
    return Math.min(1, Math.max(0, (forward(domain, value) - low) / (high - low)));
  }

  function valueAt(domain, share) {
    const low = forward(domain, domain.low), high = forward(domain, domain.high), value = backward(domain, low + share * (high - low));
    return domain.counts ? Math.round(value) : +value.toPrecision(3);
  }

  // Weights by bin: kept, dropped by this threshold alone, by it and others, by others.
  function histogram(one, domain) {
    const bins = Array.from({ length: BINS }, () => [0, 0, 0, 0]);
    for (let row = 0; row < corpus.rows; row++) {
      const value = valueOf(one, row);
      if (!judged[row] || !shown.has(source[row]) || !Number.isFinite(value)) continue;
      const bin = Math.min(BINS - 1, Math.floor(shareOf(domain, value) * BINS));
      const kind = causes[row] === 0 ? 0 : !drops(one, row) ? 3 : causes[row] === 1 ? 1 : 2;
      bins[bin][kind] += weight[row];
    }
    return bins;
  }

  // The other build's histogram as a line of steps.
  function outline(one, domain, x, y) {
    const known = corpus.other.get(one.key);
    if (!known) return [];
    const sums = new Float64Array(BINS);
    for (const value of known.values) sums[Math.min(BINS - 1, Math.floor(shareOf(domain, value) * BINS))] += known.weight;
    const steps = [...sums].map((sum, bin) => `V${y(sum).toFixed(1)}H${x((bin + 1) / BINS).toFixed(1)}`);
    return [element("path", { class: "outline", d: `M${x(0)} ${y(0)}${steps.join("")}V${y(0)}` })];
  }

  const KINDS = ["kept", "alone", "shared", "other"];

  function draw(card) {
    const { one, domain, svg } = card, width = svg.clientWidth, height = svg.clientHeight;
    if (!width || !domain) return;
    const bins = histogram(one, domain), sums = bins.map((bin) => bin.reduce((a, b) => a + b, 0)), highest = Math.max(...sums, 1e-9);
    const inside = width - margin.left - margin.right, floor = height - margin.bottom, tall = floor - margin.top;
    const shapes = [], x = (share) => margin.left + share * inside;
    bins.forEach((bin, number) => {
      if (!sums[number]) return;
      const high = Math.max(1.5, tall * Math.sqrt(sums[number] / highest)); // the root shows rare values, too
      let y = floor;
      bin.forEach((part, kind) => {
        const size = (high * part) / sums[number];
        if (part) shapes.push(element("rect", { class: KINDS[kind], x: x(number / BINS).toFixed(2), y: (y - size).toFixed(2),
          width: Math.max(0.8, inside / BINS - 0.8).toFixed(2), height: size.toFixed(2) }));
        y -= size;
      });
    });
    shapes.push(...outline(one, domain, (share) => x(share), (sum) => floor - tall * Math.min(1.02, Math.sqrt(sum / highest))));
    shapes.push(element("line", { class: "frame", x1: margin.left, x2: width - margin.right, y1: floor, y2: floor }));
    for (const tick of ticks(domain, width)) {
      const at = x(shareOf(domain, tick));
      shapes.push(element("text", { x: at.toFixed(1), y: height - 5, "text-anchor": at < 20 ? "start" : at > width - 20 ? "end" : "middle" }, short(tick)));
    }
    const limit = (value, kind, label) => {
      if (value === null || value === undefined) return;
      const at = x(shareOf(domain, value)).toFixed(1);
      shapes.push(element("line", { class: kind, x1: at, x2: at, y1: 4, y2: floor }));
      if (label) shapes.push(element("text", { class: "limit-name", x: at, y: 11, dx: shareOf(domain, value) > 0.7 ? -4 : 4,
        "text-anchor": shareOf(domain, value) > 0.7 ? "end" : "start" }, short(+value.toPrecision(3))));
    };
    if (movable(one)) {
      if (one.now !== one.was) limit(one.was, "limit before", false);
      limit(one.now, "limit", true);
    }
    svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    svg.setAttribute("aria-label", `histogram of ${card.figure.querySelector("b").textContent}, from ${short(domain.low)} to ${short(domain.high)}`);
    svg.replaceChildren(...shapes);
  }

  function ticks(domain, width) {
    if (!domain.log) return linearTicks(domain.low, domain.high, Math.max(2, Math.floor(width / 90)));
    const made = domain.low < 1 ? [0] : [];
    for (let power = made.length ? 10 : 1; power <= domain.high * 1.01; power *= 10) if (power >= domain.low) made.push(power);
    return made;
  }

  function describe(card) {
    const { one, effect } = card;
    if (!card.domain) {
      effect.textContent = "no document has this value";
      return;
    }
    let alone = 0, all = 0;
    for (let row = 0; row < corpus.rows; row++) {
      if (!judged[row] || !drops(one, row)) continue;
      all += weight[row];
      if (causes[row] === 1) alone += weight[row];
    }
    const said = one.kind === "measure" ? "no threshold" : one.now === null ? "off"
      : one === corpus.enough ? "" : `against ${whole(all)}, alone against ${whole(alone)}`;
    effect.textContent = said;
    card.figure.classList.toggle("moved", one.now !== one.was);
    card.figure.classList.toggle("is-off", one.kind !== "measure" && one.now === null);
  }

  // The documents with an excerpt whose values are next to the limit, on both sides: first those for which this threshold alone
  // decides, or nothing is against; where there are too few, others.
  function around(card) {
    const { one, place } = card, limit = one.now ?? one.published ?? null;
    const value = (number) => valueOf(one, data.examples[number][0]);
    const decides = (number) => causes[data.examples[number][0]] === (drops(one, data.examples[number][0]) ? 1 : 0);
    const rows = data.examples.map((_, number) => number).filter((number) => {
      const row = data.examples[number][0];
      return judged[row] && shown.has(source[row]) && Number.isFinite(valueOf(one, row));
    }).sort((a, b) => value(a) - value(b) || a - b);
    const isLow = (number) => limit === null || value(number) < limit || (value(number) === limit && one.broken === "at_most");
    const nearest = (numbers) => [...numbers.filter(decides), ...numbers.filter((number) => !decides(number))].slice(0, AROUND)
      .sort((a, b) => numbers.indexOf(a) - numbers.indexOf(b));
    const below = nearest(limit === null ? rows : rows.filter(isLow).reverse());
    const above = nearest(limit === null ? [...rows].reverse() : rows.filter((number) => !isLow(number)));
    const side = (title, numbers) => html("div", {}, html("h4", {}, title), ...(numbers.length
      ? numbers.map((number) => documents.item(number, short(value(number)))) : [html("p", { class: "note" }, "none with an excerpt")]));
    const named = limit === null ? ["the lowest values", "the highest values"] : [`below ${short(limit)}`, `from ${short(limit)}`];
    place.replaceChildren(side(named[0], below), side(named[1], above));
  }

  function update(only) {
    for (const card of found) {
      if (card.figure.closest("details").open) draw(card);
      describe(card);
      if (card.fold.open && (!only || card.one === only)) around(card);
    }
    result();
  }

  let waiting = null;
  function soon(only) {
    if (waiting === null) requestAnimationFrame(() => {
      waiting = null;
      update(only);
    });
    waiting = only;
  }

  function move(card, limit) {
    corpus.set(card.one.key, limit);
    card.exact.value = neat(limit);
    if (limit !== null && card.domain) card.range.value = Math.round(1000 * shareOf(card.domain, limit));
    card.box.checked = limit !== null;
    soon(card.one);
  }

  function prepare(figure) {
    const one = byKey.get(figure.dataset.key), get = (selector) => figure.querySelector(selector);
    const card = { figure, one, svg: get("svg"), range: get("input[type=range]"), exact: get(".exact"), box: get(".on"), effect: get(".effect"),
      fold: get(".around"), place: get(".around > div"), domain: null };
    card.domain = domainOf(one);
    if (!card.domain) figure.classList.add("empty");
    if (movable(one) && card.domain) {
      get(".slide").hidden = false;
      get(".switch").hidden = one.kind === "language" || one.kind === "quality";
      const start = one.now ?? one.published ?? valueAt(card.domain, 0.5);
      card.range.value = Math.round(1000 * shareOf(card.domain, start));
      card.exact.value = neat(one.now);
      card.box.checked = one.now !== null;
      card.range.addEventListener("input", () => move(card, valueAt(card.domain, card.range.value / 1000)));
      card.exact.addEventListener("change", () => move(card, card.exact.value === "" ? null : +card.exact.value));
      card.box.addEventListener("change", () => move(card, card.box.checked ? one.was ?? start : null));
    }
    card.fold.addEventListener("toggle", () => card.fold.open && around(card));
    found.push(card);
  }

  // The result line, and the tables by source and language.

  const bar = document.getElementById("trial");

  function signed(number) {
    return `${number < 0 ? "−" : "+"}${whole(Math.abs(number))}`;
  }

  function result() {
    if (!bar) return;
    const sums = corpus.totals(), moved = thresholds.filter((one) => one.now !== one.was);
    const error = data.whole || !moved.length ? "" : ` ± ${whole(1.96 * Math.sqrt(sums.variance))}`;
    const about = data.whole || !moved.length ? "" : "about ";
    bar.querySelector(".kept").textContent = `${about}${whole(sums.kept)}${error} of ${whole(data.documents)} documents kept`;
    bar.querySelector(".change").textContent = moved.length
      ? `${signed(sums.gained)} gained, ${signed(-sums.lost)} lost, ${signed(sums.characters - sums.wasCharacters)} characters` : "as built";
    bar.querySelector(".reset").hidden = !moved.length;
    bar.classList.toggle("moved", moved.length > 0);
    if (bar.querySelector("details").open) effects(moved);
  }

  function table(title, names, chosen) {
    const body = html("tbody");
    names.forEach((name, number) => {
      const sums = corpus.totals((row) => chosen(row) === number);
      if (!sums.was && !sums.kept) return;
      body.append(html("tr", {}, html("td", {}, html("bdi", {}, name)), ...[whole(sums.was), whole(sums.kept), signed(sums.gained), signed(-sums.lost)]
        .map((value) => html("td", { class: "number" }, value))));
    });
    const head = html("tr", {}, ...[title, "kept", "would be", "gained", "lost"].map((name, n) => html("th", { class: n ? "number" : "" }, name)));
    return html("table", {}, html("thead", {}, head), body);
  }

  const RULES = "quality.rules";
  const written = (one) => `${one.name} = ${one.now ?? "false"}`;

  // The whole table of rules, in place of a list or table that a config has: what differs from the defaults.
  function rules() {
    const all = thresholds.filter((one) => one.place?.startsWith(RULES)), off = [], tables = [];
    for (const place of new Set(all.map((one) => one.place))) {
      const set = all.filter((one) => one.place === place);
      const name = place.slice(RULES.length + 1), byDefault = data.default_sets.includes(name);
      const lines = set.filter((one) => one.now !== one.published).map(written);
      if (set.every((one) => one.now === null)) off.push(...(byDefault ? [`${name} = false`] : []));
      else if (lines.length || !byDefault) tables.push([`[${place}]`, ...lines].join("\n"));
    }
    return [...(off.length ? [[`[${RULES}]`, ...off].join("\n")] : []), ...tables];
  }

  // The lines of a config that set the thresholds as they are on the page.
  function lines(moved) {
    const parts = moved.some((one) => one.place.startsWith(RULES)) ? rules() : [];
    for (const one of moved) {
      if (one.kind === "language") parts.push(`[language]\n${written(one)}`);
      if (one.kind === "quality") parts.push(`[quality]\nkeep_share = 1.0\nkeep = "quality_score >= ${one.now}"`);
    }
    return parts.join("\n\n");
  }

  const settings = (moved) => moved.map((one) => (one.kind === "quality" ? `keep_share=1.0 'keep="quality_score >= ${one.now}"'`
    : `${one.place.replace("quality.rules.", "")}.${one.name}=${one.now ?? "false"}`)).join(" ");

  function effects(moved) {
    const parts = [table("source", data.sources, (row) => source[row]), table("language", data.languages, (row) => corpus.language[row])];
    if (moved.length) parts.push(html("div", { class: "lines" }, html("p", { class: "note" }, "Lines for the config, and the exact count of all documents:"),
      html("pre", {}, lines(moved)), html("pre", {}, `corpusmill tune OUT ${settings(moved)}`)));
    bar.querySelector(".effects").replaceChildren(...parts);
  }

  function reset() {
    for (const card of found) if (card.one.now !== card.one.was) {
      corpus.set(card.one.key, card.one.was);
      card.exact.value = neat(card.one.was);
      card.box.checked = card.one.was !== null;
      if (card.one.was !== null && card.domain) card.range.value = Math.round(1000 * shareOf(card.domain, card.one.was));
    }
    update();
  }

  return { start() {
    document.querySelectorAll("figure[data-key]").forEach(prepare);
    if (!bar) return;
    bar.addEventListener("submit", (event) => event.preventDefault());
    bar.querySelector(".reset").addEventListener("click", reset);
    bar.querySelector("details").addEventListener("toggle", result);
    document.querySelectorAll("input[data-source]").forEach((box) => box.addEventListener("change", () => {
      shown[box.checked ? "add" : "delete"](+box.dataset.source);
      soon();
    }));
    document.querySelectorAll("details.set").forEach((fold) => fold.addEventListener("toggle", () => soon()));
    new ResizeObserver(() => soon()).observe(document.body);
    update();
  } };
})();
