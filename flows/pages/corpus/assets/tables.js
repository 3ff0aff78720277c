// Tables that are sorted by a click on a heading and searched by typing; then everything starts.
(() => {
  const number = (text) => Number(text.replace(/[,%\s]/g, "").replace("·", "0"));

  function sortable(table) {
    const [head, ...rows] = table.rows, body = head.parentElement;
    if (rows.length < 2) return;
    const directions = new Map();
    [...head.cells].forEach((cell, column) => {
      const isNumber = cell.classList.contains("number");
      const button = html("button", { type: "button", class: "sort" }, ...cell.childNodes);
      cell.replaceChildren(button);
      button.addEventListener("click", () => {
        const way = directions.has(column) ? -directions.get(column) : isNumber ? -1 : 1;
        directions.clear();
        directions.set(column, way);
        const key = (row) => row.cells[column].textContent.trim();
        rows.sort((a, b) => way * (isNumber ? number(key(a)) - number(key(b)) : key(a).localeCompare(key(b), "en")));
        body.append(...rows);
        [...head.cells].forEach((other, n) => other.setAttribute("aria-sort", n !== column ? "none" : way > 0 ? "ascending" : "descending"));
      });
    });
    if (rows.length > 8) searchable(table, rows);
  }

  function searchable(table, rows) {
    const field = html("input", { type: "search", class: "search", placeholder: `search ${rows.length} rows`, "aria-label": "search the table" });
    field.addEventListener("input", () => {
      const wanted = field.value.toLowerCase();
      for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
    });
    table.parentElement.before(field);
  }

  document.querySelectorAll("table.sortable").forEach(sortable);
  documents.start();
  cards.start();
})();
