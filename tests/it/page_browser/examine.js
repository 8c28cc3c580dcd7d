// Returns the page's faults for users who can't see it, see poorly, or have no mouse.
const faults = [];
const fault = (what, element) => faults.push(`${what}: ${element.outerHTML.slice(0, 120)}`);
const all = (css) => [...document.querySelectorAll(css)];
const shown = (element) => element.checkVisibility();
const name = (element) =>
  element.getAttribute("aria-label") ||
  all(`[id="${element.getAttribute("aria-labelledby")}"]`).map((it) => it.textContent).join(" ") ||
  [...(element.labels ?? [])].map((it) => it.textContent).join(" ") ||
  element.textContent;

// Structure
if (!document.documentElement.lang) faults.push("no language");
if (!document.title.trim()) faults.push("no title");
for (const landmark of ["header", "nav", "main", "footer"]) {
  if (all(`body > ${landmark}, body > header > ${landmark}`).length !== 1) faults.push(`not one ${landmark}`);
}
if (all("h1").length !== 1) faults.push("not one h1");
all("h1, h2, h3, h4").reduce((last, heading) => {
  const level = Number(heading.tagName[1]);
  if (level > last + 1) fault(`a heading after level ${last}`, heading);
  if (!heading.textContent.trim()) fault("an empty heading", heading);
  return level;
}, 0);
const ids = all("[id]").map((element) => element.id);
for (const id of ids.filter((id, at) => ids.indexOf(id) !== at)) faults.push(`two of id ${id}`);
for (const element of all("[aria-labelledby]")) {
  if (!ids.includes(element.getAttribute("aria-labelledby"))) fault("labelled by nothing", element);
}

// Names
for (const element of all("a, button, select, svg[role=img], progress, input:not([type=hidden])")) {
  if (!name(element).trim()) fault("no name", element);
}
for (const table of all("table")) {
  if (!table.querySelector("thead th[scope=col]")) fault("no column heads", table);
}
for (const scroll of all(".scroll")) if (scroll.tabIndex !== 0) fault("can't be scrolled by keyboard", scroll);

// Targets: 24 pixels, except links in a sentence (2.5.8)
for (const element of all("button, .button, select, input:not([type=hidden])").filter(shown)) {
  const box = element.getBoundingClientRect();
  const label = element.closest("label")?.getBoundingClientRect() ?? box;
  if (Math.max(box.height, label.height) < 24 && box.height < 24) fault("a target too small", element);
}

// Contrast: 4.5 to 1, of large text 3 to 1 (1.4.3)
const numbers = (colour) => colour.match(/[\d.]+/g).map(Number);
const luminance = ([red, green, blue]) => {
  const [r, g, b] = [red, green, blue].map((it) => it / 255).map((it) => (it <= 0.04045 ? it / 12.92 : ((it + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const over = (upper, lower) => {
  const alpha = upper[3] ?? 1;
  return [0, 1, 2].map((at) => upper[at] * alpha + lower[at] * (1 - alpha));
};
const ground = (element) => {
  if (!element) return [255, 255, 255];
  const own = numbers(getComputedStyle(element).backgroundColor);
  return (own[3] ?? 1) === 1 ? own : over(own, ground(element.parentElement));
};
for (const element of all("body *").filter(shown)) {
  const says = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.data.trim());
  if (!says || element.closest(".unseen, svg")) continue;
  const style = getComputedStyle(element);
  const [back, size] = [ground(element), parseFloat(style.fontSize)];
  const [one, other] = [luminance(over(numbers(style.color), back)), luminance(back)].sort((a, b) => b - a);
  const ratio = (one + 0.05) / (other + 0.05);
  const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
  if (ratio < (large ? 3 : 4.5)) fault(`contrast ${ratio.toFixed(2)}`, element);
}

// Resources of other origins
for (const entry of performance.getEntriesByType("resource")) {
  if (!entry.name.startsWith(location.origin)) faults.push(`from elsewhere: ${entry.name}`);
}
return faults;
