// The documents with an excerpt: searched, ordered, a page at a time.
const documents = (() => {
  const { data, fates, fate, source, language } = corpus;
  const PAGE = 20;
  const byId = (id) => document.getElementById(id);
  let limit = PAGE;

  const few = (names) => (names.length > 3 ? `${names.slice(0, 2).join(", ")} and ${names.length - 2} more` : names.join(", "));

  // An excerpt as an element; the text is a stranger's and stays text, in its own direction.
  function item(number, value = "") {
    const [row, title, url, text, isCut, detail] = data.examples[number];
    const { stage, reason } = fates[fate[row]], now = corpus.reasons(row), kept = corpus.causes[row] === 0;
    const badge = html("span", { class: `badge ${kept ? "kept" : "gone"}` }, kept ? "kept" : few(now) || reason);
    const was = kept === (stage === "") ? [] : [html("span", { class: "badge was" }, stage === "" ? "kept as built" : `as built: ${reason}`)];
    const facts = [data.sources[source[row]], data.languages[language[row]], `${whole(corpus.characters[row])} characters`];
    const head = html("p", { class: "facts" }, ...(value ? [html("b", { class: "value" }, value), " "] : []), badge, ...was, " ",
      ...facts.flatMap((fact) => [html("bdi", {}, fact), " · "]).slice(0, -1));
    const made = html("article", {}, head);
    if (title) made.append(html("p", { class: "title" }, html("bdi", {}, title)));
    if (url) made.append(html("p", { class: "url" }, html("bdi", { dir: "ltr" }, url)));
    made.append(html("blockquote", { dir: "auto" }, text + (isCut ? " …" : "")));
    if (detail && stage !== "") made.append(html("p", { class: "url" }, `${stage}: `, html("bdi", {}, detail)));
    return made;
  }

  const words = (number) => {
    const [row, title, url, text, , detail] = data.examples[number], { stage, reason } = fates[fate[row]];
    return [title, url, text, detail, stage, reason, data.sources[source[row]], data.languages[language[row]]].join("\n").toLowerCase();
  };

  // One of every fate, then the next of every fate, …
  const ranks = new Map(), seen = new Map();
  data.examples.forEach(([row]) => {
    seen.set(fate[row], (seen.get(fate[row]) ?? -1) + 1);
    ranks.set(row, seen.get(fate[row]));
  });

  const ORDERS = [["mixed", (row) => ranks.get(row)], ["by source and reason", () => 0], ["longest first", (row) => -corpus.characters[row]], ["shortest first", (row) => corpus.characters[row]],
    ["language score, lowest first", (row) => corpus.byKey.get("language.score_limit")?.values[row] ?? 0],
    ["words, fewest first", (row) => corpus.byKey.get("gopher.min_words").values[row]]];

  function show() {
    const wanted = byId("find").value.toLowerCase().split(/\s+/).filter(Boolean), chosen = byId("fate").value;
    const fits = (number) => {
      const { stage, reason } = fates[fate[data.examples[number][0]]];
      if (chosen && chosen !== (stage === "" ? "kept" : reason) && !(chosen === "dropped" && stage !== "")) return false;
      const all = wanted.length ? words(number) : "";
      return wanted.every((word) => all.includes(word));
    };
    const found = data.examples.map((_, number) => number).filter(fits), order = ORDERS[byId("order").value][1];
    found.sort((a, b) => order(data.examples[a][0]) - order(data.examples[b][0]) || a - b);
    byId("list").replaceChildren(...found.slice(0, limit).map((number) => item(number)));
    byId("matches").textContent = `${whole(found.length)} of ${whole(data.examples.length)} shown documents match`;
    byId("more").hidden = found.length <= limit;
  }

  function start() {
    if (!byId("list")) return;
    const reasons = [...new Set(data.examples.map(([row]) => fates[fate[row]].reason).filter(Boolean))].sort();
    for (const name of ["kept", "dropped", ...reasons]) byId("fate").append(html("option", { value: name }, name));
    ORDERS.forEach(([name], number) => byId("order").append(html("option", { value: number }, name)));
    const again = () => {
      limit = PAGE;
      show();
    };
    byId("find").addEventListener("input", again);
    byId("fate").addEventListener("change", again);
    byId("order").addEventListener("change", again);
    byId("find").form.addEventListener("submit", (event) => event.preventDefault());
    byId("more").addEventListener("click", () => {
      limit += PAGE;
      show();
    });
    document.querySelectorAll("a[data-reason]").forEach((link) => link.addEventListener("click", () => {
      byId("find").value = "";
      byId("fate").value = reasons.includes(link.dataset.reason) ? link.dataset.reason : "";
      again();
    }));
    show();
  }

  return { item, start };
})();
