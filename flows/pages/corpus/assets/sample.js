// The sample of documents, the thresholds as they are set on the page, and what they keep.
const corpus = (() => {
  const data = JSON.parse(document.getElementById("page-data").textContent);

  function unpacked(text, Kind) {
    const bytes = Uint8Array.from(atob(text), (one) => one.charCodeAt(0));
    return new Kind(bytes.buffer);
  }

  const fate = unpacked(data.fate, Uint16Array), language = unpacked(data.language, Uint16Array);
  const fixed = unpacked(data.fixed, Uint8Array), languageLimits = unpacked(data.language_limits, Float32Array);
  const columns = data.columns.map((column) => unpacked(column, Float32Array));
  const rows = fate.length, exempt = new Set(data.exempt);
  const thresholds = data.thresholds.map((one) => ({ ...one, was: one.limit ?? null, now: one.limit ?? null,
    values: one.column === null ? null : columns[one.column] }));
  const byKey = new Map(thresholds.map((one) => [one.key, one]));
  const characters = byKey.get("characters").values;
  const maxSigns = byKey.get("signs.max_signs"), enough = byKey.get("signs.enough_prose_sentences");
  const signs = thresholds.filter((one) => one.kind === "sign");

  const fates = data.fates.map(([source, stage, reason, count, drawn]) => ({ source, stage, reason, count, drawn, weight: drawn ? count / drawn : 0 }));
  const source = Uint16Array.from(fate, (one) => fates[one].source);
  const weight = Float64Array.from(fate, (one) => fates[one].weight);
  const judged = Uint8Array.from(fate, (one) => +(fates[one].stage === "" || data.judged.includes(fates[one].stage)));
  const wasKept = Uint8Array.from(fate, (one) => +(fates[one].stage === ""));

  const compare = { below: (a, b) => a < b, above: (a, b) => a > b, at_most: (a, b) => a <= b, at_least: (a, b) => a >= b };

  // The limit of a threshold for a document: that of its language where it has one of its own.
  function limitFor(one, row) {
    const own = one.by[language[row]];
    return own === undefined ? one.now : own;
  }

  // Which documents a threshold is against. Values are rounded to float32, and so are limits: equal numbers stay equal.
  function against(one) {
    const found = new Uint8Array(rows), breaks = compare[one.broken];
    if (!one.values || one.kind === "measure") return found;
    for (let row = 0; row < rows; row++) {
      let limit = limitFor(one, row);
      if (one.kind === "language" && (one.now === one.was || one.own.includes(language[row]))) limit = languageLimits[row];
      const bound = (one.kind !== "rule" && one.kind !== "sign" && one.kind !== "enough_prose_sentences") || !exempt.has(source[row]);
      found[row] = +(bound && limit !== null && breaks(one.values[row], Math.fround(limit)));
    }
    return found;
  }

  for (const one of thresholds) one.against = against(one);

  const signCount = new Uint8Array(rows), poor = new Uint8Array(rows), causes = new Uint8Array(rows);

  // Count for every document what is against it; a document is kept if nothing is.
  function judge() {
    causes.set(fixed);
    signCount.fill(0);
    for (const one of signs) for (let row = 0; row < rows; row++) signCount[row] += one.against[row];
    for (let row = 0; row < rows; row++) {
      const limit = limitFor(maxSigns, row);
      poor[row] = +(limit !== null && !exempt.has(source[row]) && signCount[row] > limit && !enough.against[row]);
      causes[row] += poor[row] + (judged[row] ? 0 : 1);
    }
    for (const one of thresholds) {
      if (["rule", "language", "quality"].includes(one.kind)) for (let row = 0; row < rows; row++) causes[row] += one.against[row];
    }
  }

  judge();

  function set(key, limit) {
    const one = byKey.get(key);
    one.now = limit;
    one.against = against(one);
    judge();
  }

  // Whether a threshold is against a document: for signs, as far as they drop it.
  const drops = (one, row) => (one === maxSigns ? poor[row] : one.kind === "sign" ? one.against[row] && poor[row]
    : one === enough ? 0 : one.against[row]);

  // The reasons against a document as the thresholds are now.
  function reasons(row) {
    if (!judged[row] || fixed[row]) return [fates[fate[row]].reason || "quality.keep"];
    const found = thresholds.filter((one) => ["rule", "language", "quality"].includes(one.kind) && one.against[row]).map((one) => one.key);
    return poor[row] ? [...found, `${signCount[row]} signs`] : found;
  }

  // Sums over the sample, each document with its weight: kept now, gained and lost, documents and characters.
  function totals(chosen = () => true) {
    const sums = { was: 0, kept: 0, gained: 0, lost: 0, wasCharacters: 0, characters: 0, variance: 0 };
    const changes = fates.map(() => [0, 0]);
    for (let row = 0; row < rows; row++) {
      if (!chosen(row)) continue;
      const kept = causes[row] === 0 ? 1 : 0, w = weight[row];
      sums.was += w * wasKept[row];
      sums.kept += w * kept;
      sums.wasCharacters += w * wasKept[row] * characters[row];
      sums.characters += w * kept * characters[row];
      if (kept && !wasKept[row]) sums.gained += w;
      if (!kept && wasKept[row]) sums.lost += w;
      changes[fate[row]][0] += kept;
    }
    fates.forEach(({ count, drawn }, number) => {
      const share = drawn ? changes[number][0] / drawn : 0;
      if (drawn > 1) sums.variance += count ** 2 * (1 - drawn / count) * share * (1 - share) / (drawn - 1);
    });
    return sums;
  }

  // The quantiles of another build's values, each with the documents for which it stands.
  const other = new Map(Object.entries(data.other).map(([key, [documents, text]]) => {
    const values = unpacked(text, Float32Array);
    return [key, { values, weight: documents / values.length }];
  }));

  return { data, other, rows, fates, fate, source, language, weight, judged, wasKept, characters, thresholds, byKey, exempt, causes, signCount,
    maxSigns, enough, signs, set, drops, reasons, totals, limitFor };
})();

// Elements of HTML with untrusted text as text.
function html(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key === "class") made.className = value;
    else if (value !== null) made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

const whole = (number) => Math.round(number).toLocaleString("en");
