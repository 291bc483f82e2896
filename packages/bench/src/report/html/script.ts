/**
 * What the page does when scripts may run: tables that sort, a filter, everything unfolded on paper. Without it the page shows
 * the same rows in their order. What has no kind, such as a chart of several engines, fits every choice. The script is fixed text, so that the page can name its hash in its security policy; it reads
 * attributes and text and writes neither markup nor styles.
 */

export const SCRIPT = `"use strict";
(() => {
  const valueOf = (row, column) => {
    const cell = row.cells[column];
    const given = cell.dataset.v;
    return given == null ? cell.textContent : Number(given);
  };
  const before = (a, b) => {
    if (typeof a === "number" && typeof b === "number") return a - b;
    if (typeof a === "number") return -1;
    if (typeof b === "number") return 1;
    return a.localeCompare(b, "en", { numeric: true });
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0];
    const heads = [...table.tHead.rows[0].cells];
    heads.forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      head.setAttribute("aria-sort", "none");
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        for (const other of heads) other.setAttribute("aria-sort", "none");
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const rows = [...body.rows].sort((a, b) => before(valueOf(a, column), valueOf(b, column)));
        if (down) rows.reverse();
        body.append(...rows);
      });
    });
  }
  const named = [...document.querySelectorAll("[data-name]")];
  const place = document.querySelector(".tools");
  if (place !== null && named.length > 5) {
    const kinds = [...new Set(named.map((row) => row.dataset.kind).filter((kind) => kind != null))];
    const label = (text, field) => {
      const element = document.createElement("label");
      element.append(text, field);
      return element;
    };
    const input = document.createElement("input");
    input.type = "search";
    const select = document.createElement("select");
    for (const kind of ["all", ...kinds]) select.append(new Option(kind, kind));
    const status = document.createElement("span");
    status.setAttribute("role", "status");
    const total = document.querySelectorAll("tr[data-name]").length;
    const filter = () => {
      const words = input.value.toLowerCase().split(/\\s+/);
      for (const row of named) {
        const text = row.dataset.name.toLowerCase();
        const kind = row.dataset.kind ?? select.value;
        const fits = words.every((word) => text.includes(word)) && (select.value === "all" || kind === select.value);
        row.hidden = !fits;
      }
      const shown = document.querySelectorAll("tr[data-name]:not([hidden])").length;
      status.textContent = shown === total ? "" : shown + " of " + total + " rows";
    };
    input.addEventListener("input", filter);
    select.addEventListener("change", filter);
    place.append(label("Filter", input));
    if (kinds.length > 1) place.append(label(place.dataset.kinds, select));
    place.append(status);
    place.hidden = false;
  }
  const closed = [];
  addEventListener("beforeprint", () => {
    for (const details of document.querySelectorAll("details:not([open])")) {
      closed.push(details);
      details.open = true;
    }
  });
  addEventListener("afterprint", () => {
    for (const details of closed.splice(0)) details.open = false;
  });
})();
`;
