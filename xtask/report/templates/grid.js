// SPDX-License-Identifier: Apache-2.0 OR MIT
// The table: filters, keys, and the address that says what is shown.

const grid = $("grid");
const rows = [...grid.querySelectorAll("tr[data-cell]")];
const filter = { text: "", status: new Set(), series: new Set(), flavour: new Set() };

const haystacks = cells.map((cell) => [
  cell.kernel, cell.series, cell.flavour, cell.arch, cell.suite, cell.version, cell.status, cell.stage, cell.reason,
  cell.cached ? "cached" : "",
  ...cell.tests.filter((test) => test.status !== "PASS").flatMap((test) => [test.name, test.detail]),
].join("\n").toLowerCase());

function matches(index) {
  const cell = cells[index];
  const chosen = (set, value) => set.size === 0 || set.has(value);
  return chosen(filter.status, cell.status) && chosen(filter.series, cell.series) && chosen(filter.flavour, cell.flavour)
    && filter.text.toLowerCase().split(/\s+/).every((word) => haystacks[index].includes(word));
}

function applyFilter() {
  let shown = 0;
  for (const row of rows) {
    row.hidden = !matches(Number(row.dataset.cell));
    if (!row.hidden) shown += 1;
  }
  for (const body of grid.tBodies) body.hidden = !body.querySelector("tr[data-cell]:not([hidden])");
  const all = shown === cells.length;
  $("shown").textContent = all ? `${shown} kernels` : `${shown} of ${cells.length} kernels`;
  $("clear").hidden = all;
  $("nothing").hidden = shown > 0;
  grid.parentElement.hidden = shown === 0;
  for (const pill of document.querySelectorAll("[data-filter]")) {
    pill.setAttribute("aria-pressed", String(filter[pill.dataset.filter].has(pill.dataset.value)));
  }
  if ($("find").value !== filter.text) $("find").value = filter.text;
  restoreTabStop();
}

function clearFilter() {
  filter.text = "";
  for (const name of ["status", "series", "flavour"]) filter[name].clear();
  applyFilter();
  writeHash();
  $("find").focus();
}

// The address: what is filtered and opened can be sent to a colleague.
function writeHash() {
  const params = new URLSearchParams();
  if (filter.text) params.set("q", filter.text);
  for (const name of ["status", "series", "flavour"]) {
    if (filter[name].size) params.set(name, [...filter[name]].join(","));
  }
  if (opened) {
    params.set("cell", cells[opened.index].kernel);
    const test = cells[opened.index].tests[opened.testIndex];
    if (test) params.set("test", test.name);
  }
  history.replaceState(null, "", `#${params}`);
}

function readHash() {
  const params = new URLSearchParams(location.hash.slice(1));
  filter.text = params.get("q") ?? "";
  for (const name of ["status", "series", "flavour"]) {
    filter[name] = new Set((params.get(name) ?? "").split(",").filter(Boolean));
  }
  applyFilter();
  const index = cells.findIndex((cell) => cell.kernel === params.get("cell"));
  if (index < 0) return;
  const test = cells[index].tests.findIndex((test) => test.name === params.get("test"));
  openDrawer(index, test < 0 ? undefined : test, { focus: false });
}

// One tab stop for the whole table; the arrow keys move within it.
const stops = (row) => [row.querySelector("th.kernel"), ...row.querySelectorAll("td.t")];
const visible = () => rows.filter((row) => !row.hidden);
let stop = null;

function moveTo(cell, { focus = true } = {}) {
  if (!cell) return;
  stop?.setAttribute("tabindex", "-1");
  stop = cell;
  stop.setAttribute("tabindex", "0");
  if (focus) stop.focus();
}

function restoreTabStop() {
  if (stop && !stop.closest("[hidden]")) return;
  const first = visible()[0];
  if (first) moveTo(stops(first)[0], { focus: false });
}

function openStop(cell) {
  const test = cell.dataset.test;
  openDrawer(Number(cell.closest("tr").dataset.cell), test === undefined ? undefined : Number(test));
}

function nextToLookAt(step) {
  const list = visible().filter((row) => needsAttention(cells[row.dataset.cell].status));
  if (list.length === 0) return;
  const at = list.findIndex((row) => Number(row.dataset.cell) === opened?.index);
  const next = at < 0 ? (step > 0 ? 0 : list.length - 1) : (at + step + list.length) % list.length;
  moveTo(stops(list[next])[0], { focus: false });
  stop.scrollIntoView({ block: "nearest" });
  openDrawer(Number(list[next].dataset.cell), undefined);
}

function moveBy(key, cell) {
  const list = visible();
  const row = list.indexOf(cell.closest("tr"));
  const column = stops(cell.closest("tr")).indexOf(cell);
  const last = list.length - 1;
  const to = (r, c) => stops(list[Math.max(0, Math.min(last, r))])[Math.max(0, c)];
  const moves = {
    ArrowUp: () => to(row - 1, column), ArrowDown: () => to(row + 1, column),
    ArrowLeft: () => to(row, column - 1), ArrowRight: () => to(row, column + 1) ?? cell,
    PageUp: () => to(row - 10, column), PageDown: () => to(row + 10, column),
    Home: () => to(row, 0), End: () => stops(list[row]).at(-1),
  };
  return moves[key]?.();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const inside = event.target.closest?.("#grid, #drawer");
  if (event.key === "Escape") {
    if (event.target === $("find") && filter.text) return;
    closeDrawer();
  } else if (inside && event.key === "/") {
    event.preventDefault();
    $("find").focus();
  } else if (inside && (event.key === "n" || event.key === "p")) {
    nextToLookAt(event.key === "n" ? 1 : -1);
  } else if (event.target === stop) {
    const next = moveBy(event.key, stop);
    if (next) moveTo(next);
    else if (event.key === "Enter" || event.key === " ") openStop(stop);
    else return;
    event.preventDefault();
  }
});

document.addEventListener("click", (event) => {
  const target = event.target;
  const pill = target.closest("[data-filter]");
  const link = target.closest("a.open");
  const test = target.closest("td[data-test]");
  if (pill) {
    const set = filter[pill.dataset.filter];
    if (!set.delete(pill.dataset.value)) set.add(pill.dataset.value);
    applyFilter();
    writeHash();
  } else if (link && !event.ctrlKey && !event.metaKey && !event.shiftKey) {
    event.preventDefault();
    openDrawer(Number(link.closest("[data-cell]").dataset.cell), undefined);
  } else if (test) {
    moveTo(test);
    openStop(test);
  }
});

grid.addEventListener("mouseover", (event) => {
  const cell = event.target.closest("td[data-test]");
  if (!cell || cell.title) return;
  const test = cells[cell.closest("tr").dataset.cell].tests[cell.dataset.test];
  cell.title = plain([`${test.name}: ${test.status}`, test.duration_ms ? duration(test.duration_ms) : "", test.detail].filter(Boolean).join("\n"));
});

$("tools").addEventListener("submit", (event) => event.preventDefault());
$("find").addEventListener("input", (event) => { filter.text = event.target.value; applyFilter(); writeHash(); });
$("clear").addEventListener("click", clearFilter);
$("clear-too").addEventListener("click", clearFilter);
addEventListener("hashchange", readHash);
new ResizeObserver(([entry]) => {
  document.documentElement.style.setProperty("--tools", `${entry.borderBoxSize[0].blockSize}px`);
}).observe($("tools"));

for (const row of rows) for (const cell of stops(row)) cell.setAttribute("tabindex", "-1");
for (const link of grid.querySelectorAll("a.open")) link.setAttribute("tabindex", "-1");
readHash();
