// SPDX-License-Identifier: Apache-2.0 OR MIT
// Small helpers. Text reaches the page as text nodes only: nothing here parses markup.

const cells = JSON.parse(document.getElementById("data").textContent);
const MARKS = { PASS: "✓", SKIP: "–", FAIL: "✗", ERROR: "!", MISS: "?" };
const $ = (id) => document.getElementById(id);
const needsAttention = (status) => status === "FAIL" || status === "ERROR" || status === "MISS";

/** Control characters by their pictures, so that what a guest wrote can be read and hides nothing. */
function plain(text) {
  return text.replace(/\r\n/g, "\n")
    .replace(/[\u0000-\u0008\u000b-\u001f]/g, (c) => String.fromCharCode(0x2400 + c.charCodeAt(0)))
    .replace(/[\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069]/g, "\ufffd");
}

/** An element with properties or attributes and children; strings become text nodes. */
function h(tag, props, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(props ?? {})) {
    if (value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  const shown = children.flat().filter((child) => child !== undefined && child !== "");
  element.append(...shown.map((child) => (typeof child === "string" ? plain(child) : child)));
  return element;
}

function mark(status) {
  return h("span", { class: `t ${status.toLowerCase()}` },
    h("i", { "aria-hidden": "true" }, MARKS[status] ?? "?"), h("span", { class: "vh" }, status));
}

function badge(status) {
  return h("span", { class: `badge ${status.toLowerCase()}` },
    h("i", { "aria-hidden": "true" }, MARKS[status] ?? "?"), status);
}

function duration(ms) {
  const s = Math.floor(ms / 1000);
  const two = (n) => String(n).padStart(2, "0");
  if (s < 10) return `${s}.${two(Math.floor((ms % 1000) / 10))} s`;
  if (s < 60) return `${s}.${Math.floor((ms % 1000) / 100)} s`;
  if (s < 3600) return `${Math.floor(s / 60)} min ${two(s % 60)} s`;
  return `${Math.floor(s / 3600)} h ${two(Math.floor((s % 3600) / 60))} min`;
}

function size(bytes) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let unit = 0;
  while (bytes >= 1024 && unit < units.length - 1) { bytes /= 1024; unit += 1; }
  return unit === 0 ? `${bytes} B` : `${bytes.toFixed(1)} ${units[unit]}`;
}

/** The command of a cell narrowed to one test, as the factory itself prints it. */
function commandFor(cell, test) {
  if (/^[A-Za-z0-9._-]+$/.test(test.name)) return `${cell.reproduce} --test ${test.name}`;
  const literal = test.name.replace(/[*?[{]/g, "[$&]").replaceAll("'", "'\\''");
  return `${cell.reproduce} --test '${literal}'`;
}

async function copy(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Not every browser lets a local file use the clipboard: the old way still works there.
    const area = h("textarea", { class: "vh", readonly: true });
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  const label = button.textContent;
  const done = await copy(button.dataset.copy);
  button.focus();
  button.textContent = done ? "Copied" : "Copy failed";
  setTimeout(() => { button.textContent = label; }, 1500);
});

// The theme: the system's until somebody chooses.
const dark = matchMedia("(prefers-color-scheme: dark)");
const stored = (value) => {
  try {
    if (value) localStorage.setItem("tidelock-theme", value);
    return localStorage.getItem("tidelock-theme");
  } catch {
    return null;
  }
};
const isDark = () => (document.documentElement.dataset.theme ?? (dark.matches ? "dark" : "light")) === "dark";
function nameTheme() {
  $("theme-name").textContent = isDark() ? "Light" : "Dark";
}
if (["light", "dark"].includes(stored())) document.documentElement.dataset.theme = stored();
$("theme").addEventListener("click", () => {
  const theme = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  stored(theme);
  nameTheme();
});
dark.addEventListener("change", nameTheme);
nameTheme();
document.documentElement.classList.add("scripted");
for (const element of document.querySelectorAll("#theme, #tools, .copy")) element.hidden = false;
