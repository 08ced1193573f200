"use strict";
// Tables are sorted by their headings, and long ones filtered; so are examples. All of it is added
// here: without this script the page shows everything, in the order of the sweep.
const FILTERED = 12, LONG = 30, CHOICES = 60, FIRST = 8;

function make(tag, fields, ...inside) {
  const made = Object.assign(document.createElement(tag), fields);
  made.append(...inside);
  return made;
}

function valueOf(row, i) {
  const cell = row.cells[i], text = cell.dataset.value ?? cell.textContent.trim();
  const number = parseFloat(text);
  if (text === "" || text === "–") return null;
  return cell.classList.contains("number") && !isNaN(number) ? number : text;
}

function compare(a, b) {
  if (typeof a === "number" && typeof b === "number") return a - b;
  return String(a).localeCompare(String(b), undefined, {numeric: true});
}

function sort(table, i, down) {
  const body = table.tBodies[0];
  const keyed = [...body.rows].map(row => [valueOf(row, i), row]);
  const there = keyed.filter(([key]) => key !== null), empty = keyed.filter(([key]) => key === null);
  there.sort(([a], [b]) => compare(a, b) * (down ? -1 : 1));
  body.append(...[...there, ...empty].map(([, row]) => row));  // empty ones stay last
}

function sortable(table) {
  const headings = [...table.tHead.rows[0].cells];
  headings.forEach((th, i) => {
    const button = make("button", {type: "button", title: th.title}, ...th.childNodes);
    th.removeAttribute("title");
    th.append(button);
    button.addEventListener("click", () => {
      const down = th.getAttribute("aria-sort") === "ascending";
      sort(table, i, down);
      headings.forEach(other => other.removeAttribute("aria-sort"));
      th.setAttribute("aria-sort", down ? "descending" : "ascending");
    });
  });
}

// Selections, and a field for text, that say which of `items` are there to be seen.
// `columns`: [name, item => its value]; `show(kept)` shows them.
function filters(name, items, columns, show) {
  const said = make("span", {role: "status"});
  const words = make("input", {type: "search", size: 14});
  const chosen = columns.map(([title, of]) => [title, of, [...new Set(items.map(of))]])
    .filter(([, , values]) => values.length > 1 && values.length <= CHOICES)
    .map(([title, of, values]) => {
      const options = values.map(value => make("option", {value}, value));
      return [title, of, make("select", {}, make("option", {value: ""}, "all"), ...options)];
    });
  const apply = () => {
    const wanted = words.value.toLowerCase().split(/\s+/).filter(Boolean);
    const kept = items.filter(item =>
      chosen.every(([, of, select]) => !select.value || of(item) === select.value)
      && wanted.every(word => item.textContent.toLowerCase().includes(word)));
    said.textContent = `${kept.length} of ${items.length}`;
    show(kept);
  };
  const labels = chosen.map(([title, , select]) => make("label", {}, `${title} `, select));
  const box = make("div", {className: "filters"}, ...labels,
    make("label", {}, "text ", words), said);
  box.setAttribute("role", "group");
  box.setAttribute("aria-label", `Filter: ${name}`);
  box.addEventListener("input", apply);
  return [box, apply];
}

function filterable(table) {
  const rows = [...table.tBodies[0].rows], headings = [...table.tHead.rows[0].cells];
  if (rows.length <= FILTERED) return;
  const columns = headings.map((th, i) => [th, i])
    .filter(([th]) => !th.classList.contains("number"))
    .map(([th, i]) => [th.textContent.trim(), row => row.cells[i].textContent.trim()]);
  const show = kept => {
    const seen = new Set(kept);
    rows.forEach(row => { row.hidden = !seen.has(row); });
  };
  const [box, apply] = filters(table.dataset.name, rows, columns, show);
  table.parentElement.before(box);
  if (rows.length > LONG) table.parentElement.classList.add("long");
  apply();
}

function browsable(list) {
  const cards = [...list.children];
  const columns = ["kind", "task", "pair", "method", "seed"]
    .map(key => [key === "pair" ? "rungs" : key, card => card.dataset[key]]);
  const more = make("button", {type: "button"}, "Show more");
  let kept = [], most = FIRST;
  const draw = () => {
    const seen = new Set(kept.slice(0, most));
    cards.forEach(card => { card.hidden = !seen.has(card); });
    more.hidden = kept.length <= most;
  };
  const [box, apply] = filters("examples", cards, columns,
    found => { kept = found; most = FIRST; draw(); });
  more.addEventListener("click", () => { most += 2 * FIRST; draw(); });
  list.before(box);
  list.after(more);
  apply();
}

document.querySelectorAll("table.sortable").forEach(table => { filterable(table); sortable(table); });
document.querySelectorAll(".examples").forEach(browsable);
