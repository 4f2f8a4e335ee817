// Elements, numbers as text, the tooltip, and the state that all figures share.
const data = JSON.parse(document.getElementById("data").textContent);
const figures = {}; // name -> function that fills an element with data-figure="name"

// Returns a new HTML element; attributes whose names begin with "on" are listeners.
function make(tag, attributes = {}, ...children) {
  return filled(document.createElement(tag), attributes, children);
}

// Returns a new SVG element.
function makeSvg(tag, attributes = {}, ...children) {
  return filled(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
}

function filled(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

// ------------------------------------------------------------------------------------------------- numbers as text

// Returns a number with three significant digits, without decimals from 100 on.
function significant(value) {
  const size = Math.abs(value);
  if (size >= 100) return Math.round(value).toLocaleString("en");
  if (size >= 10) return value.toFixed(1);
  if (size >= 1) return value.toFixed(2);
  return size === 0 ? "0" : value.toPrecision(3);
}

function count(value) {
  for (const [size, name] of [[1e9, " G"], [1e6, " M"], [1e3, " k"]]) {
    if (value >= size) return significant(value / size) + name;
  }
  return String(value);
}

const percent = (share, digits = 1) => `${(100 * share).toFixed(digits)} %`;
const signed = (share) => (Math.abs(share) < 5e-5 ? "0 %" : `${share > 0 ? "+" : "\u2212"}${percent(Math.abs(share))}`);
const inUnit = (value, unit) => `${significant(value)} ${unit}`;
// A latency on a target with the error of the prediction, where one is known: "0.686 ms \u00b1 18 %".
const withError = (value, target, network = null) => [inUnit(value, data.targets[target].unit), network ? network.errors[target] : data.targets[target].error].filter((text) => text).join(" ");
const unitWithError = (target) => [data.targets[target].unit, data.targets[target].error].filter((text) => text).join(", ");
const times = (shape) => shape.join("\u00d7");
const wideScreen = () => window.matchMedia("(min-width: 40rem)").matches;
const sum = (values) => values.reduce((total, value) => total + value, 0);

// ---------------------------------------------------------------------------------------------------------- tooltip

const tip = document.getElementById("tip");
let showAgain = null; // shows the tooltip where its focused element is now

// Shows the tooltip beside a point of the window, a line per text, the first one bold.
function showTip(x, y, texts) {
  tip.replaceChildren(...texts.map((text, i) => make(i ? "div" : "strong", {}, text)));
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  const left = Math.min(Math.max(8, x + 14), document.documentElement.clientWidth - box.width - 8);
  const below = y + 16 + box.height < window.innerHeight;
  tip.style.left = `${Math.max(4, left)}px`;
  tip.style.top = `${below ? y + 16 : Math.max(4, y - box.height - 12)}px`;
}

function hideTip() {
  tip.hidden = true;
  showAgain = null;
}

// Shows the tooltip of an element that has the focus; it moves along where focus or the user scrolls the page.
function showFocused(node, across, texts) {
  showAgain = () => {
    const box = node.getBoundingClientRect();
    const outside = box.bottom < 0 || box.top > window.innerHeight;
    if (outside) tip.hidden = true;
    else showTip(across(box), box.bottom - 8, texts);
  };
  showAgain();
}

// Gives an element a tooltip, by mouse and by focus.
function addTooltip(node, texts) {
  const middle = (box) => box.left + box.width / 2 - 14;
  node.addEventListener("pointerenter", () => {
    const box = node.getBoundingClientRect();
    showTip(middle(box), box.bottom - 8, texts);
  });
  node.addEventListener("pointerleave", hideTip);
  node.addEventListener("focus", () => showFocused(node, middle, texts));
  node.addEventListener("blur", hideTip);
  return node;
}

document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") hideTip();
});
document.addEventListener("scroll", () => (showAgain ?? hideTip)(), { passive: true });

// ------------------------------------------------------------------------------------------------------------ state

const state = {
  targets: new Set(data.shown), // numbers of the chosen targets
  kind: 0, // of accuracy
  selected: null, // { arch, name, network, accuracy } that is shown block by block
  device: data.shown.length ? data.shown[0] : 0, // number of the target whose costs are shown; -1 is the ridge point
  ridge: 25, // MACs per byte, of the slider
};
const listeners = {};

function on(topic, act) {
  (listeners[topic] ??= []).push(act);
}

function emit(topic) {
  for (const act of listeners[topic] ?? []) act();
}

// Has a screen reader say a text.
function announce(text) {
  document.getElementById("announcement").textContent = text;
}

const chosenTargets = () => data.targets.map((_, number) => number).filter((number) => state.targets.has(number));
const hasAccuracy = (network) => network.kind >= 0;
// The metric of a kind of accuracy, and a score of it with its error: a share in percent, another one as a number.
const metric = (kind) => data.metrics?.[kind] ?? "top-1";
const scoreAxis = (kind) => (metric(kind) === "top-1" ? "top-1 %" : `${metric(kind)} x 100`);
const shownScore = ({ kind, top1, standard_error }) =>
  metric(kind) === "top-1" ? `${(100 * top1).toFixed(1)} \u00b1 ${(100 * standard_error).toFixed(1)} %` : `${top1.toFixed(3)} \u00b1 ${standard_error.toFixed(3)}`;
const accuracy = (network) =>
  hasAccuracy(network) ? `${metric(network.kind)} ${shownScore(network)}` : "no accuracy known";

function select(selection, device) {
  state.selected = selection;
  if (device !== undefined) state.device = device;
  emit("selection");
  announce(`${selection.name} is shown block by block`);
  const detail = document.querySelector('[data-figure="architecture"]');
  if (detail && detail.getBoundingClientRect().top > window.innerHeight * 0.7) detail.scrollIntoView({ block: "start" });
}

function selectNetwork(number, target) {
  const network = data.networks[number];
  select({ arch: network.arch, name: network.name, network: number }, target);
}

// Returns for each [x, y] whether it is on the Pareto front: small x and large y are better; equal points are on it together.
function front(points) {
  const order = points.map((_, i) => i).sort((a, b) => points[a][0] - points[b][0] || points[b][1] - points[a][1]);
  const kept = points.map(() => false);
  let best = -Infinity;
  let last = null;
  for (const i of order) {
    const same = last && last[0] === points[i][0] && last[1] === points[i][1];
    if (points[i][1] > best || same) {
      kept[i] = true;
      best = points[i][1];
      last = points[i];
    }
  }
  return kept;
}
