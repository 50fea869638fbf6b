// SPDX-License-Identifier: Apache-2.0 OR MIT
// One kernel: why, how to see it again, what it took, its tests, its logs.

const drawer = $("drawer");
let opened = null;
let cameFrom = null;

/** A command that breaks between its words only, and is selected as it is. */
function shell(command, label) {
  const words = command.split(" ").flatMap((word, index) => [index ? " " : "", h("span", {}, word)]);
  return h("div", { class: "shell" }, h("code", {}, words),
    h("button", { type: "button", class: "copy", "data-copy": command, "aria-label": label }, "Copy"));
}

function reasonOf(cell) {
  if (!cell.reason) return [];
  const [, verdict, rest] = /^\s*(\S*)\s*([\s\S]*)$/.exec(cell.reason);
  return [h("div", { class: `because ${cell.status.toLowerCase()}` },
    h("b", {}, verdict.replace(/[:,;]+$/, "")), rest)];
}

function crashOf(cell) {
  if (!cell.crash) return [];
  const frames = cell.crash.frames.map((frame) =>
    h("span", { class: frame.includes("[tidelock]") ? "ours" : undefined }, `  ${frame}\n`));
  return [h("h3", {}, "Call trace"), h("pre", { id: "crash", tabindex: "0" }, `${cell.crash.headline}\n`, frames)];
}

function stagesOf(cell) {
  if (cell.stages.length === 0) return [];
  const longest = Math.max(...cell.stages.map(([, ms]) => ms), 1);
  const total = cell.stages.reduce((sum, [, ms]) => sum + ms, 0);
  const rows = cell.stages.flatMap(([stage, ms]) => {
    const meter = h("div", { class: "meter" });
    meter.style.width = `${(ms / longest) * 100}%`;
    return [h("dt", {}, stage), h("dd", { "aria-hidden": "true" }, meter), h("dd", {}, duration(ms))];
  });
  return [h("h3", {}, `Stages, ${duration(total)}${cell.cached ? " when it last ran" : ""}`), h("dl", { class: "stages" }, rows)];
}

function testOf(cell, test, chosen) {
  const measured = Object.entries(test.measured ?? {})
    .flatMap(([name, value]) => [h("dt", {}, name), h("dd", {}, value)]);
  return h("li", {}, h("details", { open: chosen || test.status === "FAIL", id: chosen ? "chosen" : undefined },
    h("summary", {}, mark(test.status), h("span", { class: "name" }, test.name),
      h("span", { class: "took" }, test.duration_ms ? duration(test.duration_ms) : "")),
    h("div", { class: "inside" }, h("p", {}, test.detail || "No detail was reported."),
      measured.length ? h("dl", { class: "measured" }, measured) : "",
      shell(commandFor(cell, test), `Copy the command that reproduces ${test.name}`))));
}

function logsOf(cell) {
  if (cell.files.length === 0) return [];
  const failed = needsAttention(cell.status);
  const entries = cell.files.map((file) => {
    const head = [h("span", { class: "name" }, file.name), h("span", { class: "took" }, size(file.bytes)),
      h("a", { href: file.href }, "open file")];
    if (file.tail === undefined) return h("div", { class: "file" }, head);
    const telling = failed && file.name.includes(cell.stage);
    return h("details", { open: telling },
      h("summary", {}, head),
      h("pre", { class: "log", tabindex: "0" }, file.cut ? "… earlier lines are in the file\n" : "", file.tail));
  });
  return [h("h3", {}, "Logs"), h("div", { class: "logs" }, entries)];
}

function contentOf(cell, testIndex) {
  const about = [`${cell.series} ${cell.flavour}`, cell.arch, cell.suite, cell.version, cell.accelerator,
    `ended at ${cell.stage}`, cell.cached ? "from the cache" : ""].filter(Boolean).join(" · ");
  return [
    h("div", { class: "drawer-head" },
      h("div", {}, badge(cell.status), h("h2", { id: "drawer-title" }, cell.kernel), h("p", { class: "about" }, about)),
      h("button", { type: "button", class: "plain", id: "close", "aria-label": "Close", onclick: () => closeDrawer() }, "Close")),
    ...reasonOf(cell),
    h("h3", {}, "Reproduce"), shell(cell.reproduce, "Copy the command that reproduces this kernel"),
    ...crashOf(cell),
    h("h3", {}, `Tests, ${cell.tests.filter((test) => test.status === "PASS").length} of ${cell.tests.length} passed`),
    h("ul", { class: "tests" }, cell.tests.map((test, index) => testOf(cell, test, index === testIndex))),
    ...logsOf(cell),
    ...stagesOf(cell),
    ...(cell.module_sha256 ? [h("h3", {}, "Module, SHA-256"), h("p", { class: "digest" }, cell.module_sha256)] : []),
  ];
}

/** Opens a cell, at one of its tests when `testIndex` is given. */
function openDrawer(index, testIndex, { focus = true } = {}) {
  const cell = cells[index];
  if (!cell) return;
  if (drawer.hidden) cameFrom = document.activeElement;
  opened = { index, testIndex };
  drawer.replaceChildren(...contentOf(cell, testIndex));
  drawer.hidden = false;
  document.body.classList.add("opened");
  drawer.scrollTop = 0;
  $("chosen")?.scrollIntoView({ block: "center" });
  showCurrent();
  writeHash();
  if (focus) $("close").focus({ preventScroll: true });
}

function closeDrawer() {
  if (drawer.hidden) return;
  drawer.hidden = true;
  drawer.replaceChildren();
  document.body.classList.remove("opened");
  opened = null;
  showCurrent();
  writeHash();
  (cameFrom?.isConnected ? cameFrom : $("kernels")).focus({ preventScroll: true });
}

function showCurrent() {
  for (const element of document.querySelectorAll("#grid [aria-current], #grid .chosen")) {
    element.removeAttribute("aria-current");
    element.classList.remove("chosen");
  }
  if (!opened) return;
  const row = document.querySelector(`#grid tr[data-cell="${opened.index}"]`);
  row?.setAttribute("aria-current", "true");
  row?.querySelector(`[data-test="${opened.testIndex}"]`)?.classList.add("chosen");
}
