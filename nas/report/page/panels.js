// Accuracy against latency, one panel per chosen target; networks without accuracy stand below on the same axis.
const HIGHLIGHTED = "mobilenetv4"; // published references whose names begin so get the first colour
const FEW_TARGETS = 8; // more are folded on a wide screen too
const LARGE = { width: 600, height: 350 }; // px, of a panel that stands alone
const BELOW = 13; // height of the strip for networks without accuracy

const itemsOf = (kind) => [...new Set(data.networks.filter((one) => one.kind === kind).map((one) => one.item))];
// Whether a network is shown without accuracy beside those of a kind; references rebuilt for the input of others are not shown
// beside published accuracies.
const shownWithoutAccuracy = (network, kind) => !hasAccuracy(network) && !(network.source === "reference" && isPublished(kind));
const isPublished = (kind) => data.networks.some((one) => one.kind === kind && one.source === "reference");

// Returns the colour class and the number of the marker of a network.
function styleOf(network) {
  if (!hasAccuracy(network)) return { colour: network.source === "reference" ? "rest" : "plain", mark: 0 };
  if (network.source === "reference") return { colour: network.name.startsWith(HIGHLIGHTED) ? "c0" : "rest", mark: 0 };
  const number = itemsOf(network.kind).indexOf(network.item);
  return { colour: `c${number % 6}`, mark: number };
}

figures.targets = (place) => {
  const boxes = data.targets.map((target, number) => {
    const box = make("input", { type: "checkbox", checked: state.targets.has(number), onchange: () => {
      if (box.checked) state.targets.add(number);
      else state.targets.delete(number);
      emit("targets");
    } });
    return box;
  });
  const all = (chosen) => () => {
    state.targets = new Set(chosen ? data.targets.keys() : []);
    boxes.forEach((box) => (box.checked = chosen));
    emit("targets");
  };
  const label = (box, number) => addTooltip(make("label", {}, box, data.targets[number].name), data.targets[number].tooltip);
  const summary = make("summary", {});
  const say = () => {
    const names = chosenTargets().map((number) => data.targets[number].name);
    const listed = names.length > 3 ? `${names.slice(0, 3).join(", ")} and ${names.length - 3} more` : names.join(", ") || "none";
    summary.replaceChildren("Targets: ", make("b", {}, listed), data.targets.length > 1 ? ` (${names.length} of ${data.targets.length})` : "");
  };
  const open = data.targets.length <= FEW_TARGETS && wideScreen();
  place.replaceChildren(make("details", { class: "fold targets", open }, summary,
    make("fieldset", { class: "choices" }, make("legend", { class: "unseen" }, "Targets"), boxes.map(label),
      make("button", { type: "button", onclick: all(true) }, "all"), make("button", { type: "button", onclick: all(false) }, "none")),
  ));
  on("targets", say);
  say();
};

figures.panels = (place) => {
  const choices = data.kinds.map((text, number) => {
    const box = make("input", { type: "radio", name: "kind", checked: number === state.kind, onchange: () => {
      state.kind = number;
      redraw();
      emit("kind");
    } });
    return make("label", {}, box, text);
  });
  const grid = make("div", { class: "panels" });
  const legend = make("ul", { class: "legend" });
  const printed = make("p", { class: "soft print-only" });
  const redraw = () => {
    legend.replaceChildren(...legendOf(state.kind));
    printed.textContent = `Accuracy: ${data.kinds[state.kind]}`;
    const shown = chosenTargets();
    const size = shown.length === 1 && wideScreen() ? LARGE : {};
    grid.replaceChildren(...shown.map((target) => panel(target, state.kind, size)));
    if (!grid.children.length) grid.append(make("p", { class: "soft" }, "No target is chosen."));
    mark();
  };
  const mark = () => {
    const name = state.selected?.name;
    for (const node of grid.querySelectorAll(".point")) {
      const chosen = data.networks[node.dataset.network].name === name;
      node.classList.toggle("selected", chosen);
      node.setAttribute("aria-pressed", chosen);
    }
  };
  if (choices.length > 1) place.append(make("fieldset", { class: "choices" }, make("legend", {}, "Accuracy"), choices), printed);
  else if (choices.length) place.append(make("p", { class: "soft" }, `Accuracy: ${data.kinds[0]}`));
  place.append(legend, grid);
  on("targets", redraw);
  on("selection", mark);
  redraw();
};

// Returns the entries of the legend; each selects the chosen network of its item.
function legendOf(kind) {
  const chip = (style, size = 5) => makeSvg("svg", { viewBox: "-8 -8 16 16", class: `mark ${style.colour}`, "aria-hidden": "true" }, makeSvg("path", { d: markPath(style.mark, size) }));
  const numbers = itemsOf(kind).map((item) => data.networks.findIndex((one) => one.item === item && one.kind === kind && one.chosen));
  if (isPublished(kind)) numbers.sort((a, b) => numberOf(a) - numberOf(b));
  const items = numbers.map((number) => {
    const { item } = data.networks[number];
    const text = [isPublished(kind) ? `${numberOf(number)} ` : chip(styleOf(data.networks[number])), item];
    return make("li", {}, make("button", { type: "button", class: `plain ${styleOf(data.networks[number]).colour}`, onclick: () => selectNetwork(number) }, text));
  });
  if (kind < data.kinds.length && data.networks.some((one) => shownWithoutAccuracy(one, kind))) items.push(make("li", { class: "soft" }, makeSvg("svg", { viewBox: "-8 -8 16 16", class: "mark rest", "aria-hidden": "true" }, makeSvg("path", { d: "M0 -5V5", class: "tick" })), "tick below the axis: no accuracy known"));
  if (data.within_noise.some((numbers) => numbers.some((number) => data.networks[number].kind === kind))) items.push(make("li", { class: "soft" }, chip({ colour: "noise", mark: 0 }, 3), "grey: within one standard error of a faster one"));
  if (state.kind === data.evaluated_kind && data.evaluated?.length) items.push(make("li", { class: "soft" }, chip({ colour: "rest", mark: 0 }, 2), "evaluated, not on the front"));
  if (data.budgets?.some((values) => values.length)) items.push(make("li", { class: "soft" }, makeSvg("svg", { viewBox: "-8 -8 16 16", class: "mark", "aria-hidden": "true" }, makeSvg("path", { d: "M0 -8V8", class: "budget" })), "latency budget"));
  return items;
}

// Returns the number of a published reference within its kind, the most accurate first.
function numberOf(network) {
  const kind = data.networks[network].kind;
  const order = data.networks.map((one, i) => [one, i]).filter(([one]) => one.kind === kind).sort((a, b) => b[0].top1 - a[0].top1);
  return order.findIndex(([, i]) => i === network) + 1;
}

// Returns the name of a target, with the number of images where its latencies are those of a batch.
const withBatch = ({ name, batch }) => (batch > 1 ? `${name} (batch ${batch})` : name);

// Returns the panel of a target with its title.
function panel(target, kind, size) {
  const { name, unit } = data.targets[target];
  const shown = data.networks.map((network, number) => ({ network, number, ms: data.latency[number][target] }))
    .filter(({ network }) => network.kind === kind || shownWithoutAccuracy(network, kind));
  const known = shown.filter(({ network }) => network.kind === kind && hasAccuracy(network));
  const title = `${name}: accuracy against latency`;
  const body = known.length ? scatter(target, known, shown.filter(({ network }) => !hasAccuracy(network)), size) : latencyRows(target, shown);
  const heading = addTooltip(make("h3", { tabindex: 0 }, withBatch(data.targets[target])), data.targets[target].tooltip);
  return make("section", { class: "panel", "data-target": name, "aria-label": title, "data-unit": unit }, heading, body);
}

const tooltipOf = ({ network, number, ms }, target) => [
  network.name,
  `${withError(ms, target, network)} on ${data.targets[target].name}`,
  data.energy ? `${significant(data.energy[number][target])} mJ` : null,
  accuracy(network),
  network.found_for ? `found for ${network.found_for}` : network.source,
].filter((text) => text);

// Returns a network as a point for `interactive`.
function pointOf(one, target, x, y, node) {
  node.setAttribute("data-network", one.number);
  const tooltip = tooltipOf(one, target);
  return { x, y, node, tooltip, label: tooltip.join(", "), choose: () => selectNetwork(one.number, target) };
}

// Returns a logarithmic axis that goes beyond the values by the share `room` of their range.
function latencyAxis(values, room, label) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const edge = Math.max(1.015, (high / low) ** room);
  return { low: low / edge, high: high * edge, log: true, label };
}

// Returns the path of an error bar of `error` px up and down around (x, y), within the y axis of a chart; with caps `cap` px wide.
function errorPath(frame, x, y, error, cap) {
  const [top, bottom] = [Math.max(frame.top, y - error), Math.min(frame.height - frame.bottom, y + error)];
  const ends = cap ? `M${x - cap} ${top}H${x + cap}M${x - cap} ${bottom}H${x + cap}` : "";
  return `M${x} ${top}V${bottom}${ends}`;
}

// Adds the latency budget to a chart: a dashed line, a mark on the axis, and its value above.
function addBudget({ svg, marks, X, top, height, bottom, width, right }, budget, unit) {
  const x = X(budget);
  const floor = height - bottom;
  const text = `budget ${inUnit(budget, unit)}`;
  const anchor = x > width - right - 50 ? "end" : x < 110 ? "start" : "middle";
  marks.append(makeSvg("line", { x1: x, x2: x, y1: top, y2: floor, class: "budget" }));
  svg.append(makeSvg("path", { d: `M${x} ${floor}L${x - 4} ${floor + 6}H${x + 4}Z`, class: "budget-mark" }), makeSvg("text", { x, y: top - 5, "text-anchor": anchor, class: "budget-mark" }, text));
}

// Returns the chart of accuracy against latency, of at least so many px; networks without accuracy (`others`) are ticks below the axis.
function scatter(target, known, others, { width = 340, height = 246 }) {
  const evaluated = (state.kind === data.evaluated_kind && data.evaluated?.[target]) || [];
  const budgets = data.budgets?.[target] ?? [];
  const latencies = [...known.map(({ ms }) => ms), ...evaluated.map(([ms]) => ms), ...budgets];
  const x = latencyAxis(latencies, others.length ? 0.25 : 0.08, `${data.latency_label} (${unitWithError(target)})`);
  const levels = [...known.flatMap(({ network }) => [network.top1 - network.standard_error, network.top1 + network.standard_error]), ...evaluated.map(([, top1]) => top1)].map((top1) => 100 * top1);
  const spread = Math.max(1, Math.max(...levels) - Math.min(...levels));
  const y = { low: Math.min(...levels) - 0.08 * spread, high: Math.min(100.5, Math.max(...levels) + 0.08 * spread), label: metric(state.kind) === "top-1" ? "top-1" : `${metric(state.kind)} x 100` };
  const inside = others.filter(({ ms }) => ms >= x.low && ms <= x.high);
  const frame = chart({ x, y, top: 24, width, height: height + (inside.length ? BELOW : 0), bottom: 38 + (inside.length ? BELOW : 0), drop: inside.length ? BELOW : 0, label: data.targets[target].name });
  const { svg, marks, X, Y } = frame;
  const inPixels = (error) => Math.abs(Y(100 * error) - Y(0));
  svg.append(makeSvg("text", { x: 4, y: 10, class: "axis" }, scoreAxis(state.kind)));
  marks.append(makeSvg("path", { d: evaluated.map(([ms, top1, error]) => errorPath(frame, X(ms), Y(100 * top1), inPixels(error), 0)).join(""), class: "errors" }));
  for (const [ms, top1] of evaluated) marks.append(makeSvg("circle", { cx: X(ms), cy: Y(100 * top1), r: 1.8, class: "faint-dot" }));
  for (const budget of budgets) addBudget(frame, budget, data.targets[target].unit);
  const best = front(known.map(({ network, ms }) => [ms, network.top1]));
  const stair = known.filter((_, i) => best[i]).sort((a, b) => a.ms - b.ms).map(({ network, ms }) => [X(ms), Y(100 * network.top1)]);
  marks.append(makeSvg("path", { d: stairs(stair), class: "front" }));
  const points = [];
  const numbered = isPublished(state.kind);
  const drawn = [...known.entries()].sort(([, a], [, b]) => a.network.chosen - b.network.chosen); // chosen networks on top
  for (const [i, one] of drawn) {
    const { mark, colour: own } = styleOf(one.network);
    const colour = data.within_noise[target].includes(one.number) ? "noise" : own;
    const [px, py] = [X(one.ms), Y(100 * one.network.top1)];
    const node = makeSvg("g", { class: `${colour}${best[i] ? " best" : ""}`, transform: `translate(${px} ${py})` });
    const bar = errorPath({ ...frame, top: frame.top - py, height: frame.height - py }, 0, 0, inPixels(one.network.standard_error), one.network.chosen ? 3 : 2);
    node.append(makeSvg("path", { d: bar, class: "error" }), makeSvg("circle", { r: 11, class: "halo" }), makeSvg("path", { d: markPath(mark, one.network.chosen ? 5 : 3.2) }));
    if (numbered && best[i]) node.append(makeSvg("text", { x: -6, y: -5, "text-anchor": "end" }, String(numberOf(one.number))));
    marks.append(node);
    points.push(pointOf(one, target, px, py, node));
  }
  const belowAxis = frame.height - 36 - BELOW / 2;
  for (const one of inside) {
    const px = X(one.ms);
    const node = makeSvg("g", { class: styleOf(one.network).colour, transform: `translate(${px} ${belowAxis})` });
    node.append(makeSvg("circle", { r: 8, class: "halo" }), makeSvg("path", { d: "M0 -4V4", class: "tick" }));
    marks.append(node);
    points.push(pointOf(one, target, px, belowAxis, node));
  }
  interactive(svg, points);
  return svg;
}

// Returns the chart of a target where no network has an accuracy: one row each, the fastest first.
function latencyRows(target, shown) {
  const ordered = [...shown].sort((a, b) => a.ms - b.ms);
  const height = 46 + 15 * ordered.length;
  const values = ordered.map(({ ms }) => ms);
  const x = latencyAxis(values, 0.08, `${data.latency_label} (${unitWithError(target)})`);
  const y = { low: ordered.length - 0.5, high: -0.5, ticks: [] };
  const { svg, marks, X, Y, width, right } = chart({ x, y, height, left: 128, label: data.targets[target].name });
  const points = ordered.map((one, i) => {
    const [px, py] = [X(one.ms), Y(i)];
    const node = makeSvg("g", { class: styleOf(one.network).colour, transform: `translate(${px} ${py})` });
    const name = one.network.name.length > 21 ? `${one.network.name.slice(0, 20)}\u2026` : one.network.name;
    marks.append(makeSvg("line", { x1: 126, x2: width - right, y1: py, y2: py, class: "guide" }), makeSvg("text", { x: 122, y: py + 4, "text-anchor": "end", class: "axis" }, name));
    node.append(makeSvg("circle", { r: 8, class: "halo" }), makeSvg("path", { d: markPath(0, 4) }));
    marks.append(node);
    return pointOf(one, target, px, py, node);
  });
  interactive(svg, points);
  return svg;
}
