"use strict";
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    if (head.classList.contains("chart")) return;
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      for (const body of table.tBodies) {
        const keyed = [...body.rows].map((row) => [key(row.cells[column]), row]);
        keyed.sort(([a], [b]) => compare(a, b, up));
        body.append(...keyed.map(([, row]) => row));
      }
    });
  });
}
function key(cell) {
  const value = cell.dataset.v;
  if (value === undefined) return cell.textContent.trim();
  return value === "" ? null : Number(value);
}
function compare(a, b, up) {
  if (a === null || b === null) return (a === null) - (b === null);
  const order = typeof a === "number" ? a - b : a.localeCompare(b);
  return up ? order : -order;
}
