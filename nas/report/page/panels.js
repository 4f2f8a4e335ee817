// Accuracy against latency, one panel per chosen target; networks without accuracy stand below on the same axis.
const HIGHLIGHTED = "mobilenetv4"; // published references whose names begin so get the first colour
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
  place.replaceChildren(
    make("fieldset", { class: "choices" }, make("legend", {}, "Targets"), boxes.map(label),
      make("button", { type: "button", onclick: all(true) }, "all"), make("button", { type: "button", onclick: all(false) }, "none")),
  );
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
  const redraw = () => {
    legend.replaceChildren(...legendOf(state.kind));
    grid.replaceChildren(...chosenTargets().map((target) => panel(target, state.kind)));
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
  if (choices.length > 1) place.append(make("fieldset", { class: "choices" }, make("legend", {}, "Accuracy"), choices));
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
  if (kind < data.kinds.length && data.networks.some((one) => shownWithoutAccuracy(one, kind))) items.push(make("li", { class: "soft" }, chip({ colour: "rest", mark: 0 }, 3), "below the axis: no accuracy known"));
  return items;
}

// Returns the number of a published reference within its kind, the most accurate first.
function numberOf(network) {
  const kind = data.networks[network].kind;
  const order = data.networks.map((one, i) => [one, i]).filter(([one]) => one.kind === kind).sort((a, b) => b[0].top1 - a[0].top1);
  return order.findIndex(([, i]) => i === network) + 1;
}

// Returns the panel of a target with its title.
function panel(target, kind) {
  const { name, unit } = data.targets[target];
  const shown = data.networks.map((network, number) => ({ network, number, ms: data.latency[number][target] }))
    .filter(({ network }) => network.kind === kind || shownWithoutAccuracy(network, kind));
  const known = shown.filter(({ network }) => network.kind === kind && hasAccuracy(network));
  const title = `${name}: accuracy against latency`;
  const body = known.length ? scatter(target, known, shown.filter(({ network }) => !hasAccuracy(network))) : latencyRows(target, shown);
  const heading = addTooltip(make("h3", { tabindex: 0 }, name), data.targets[target].tooltip);
  return make("section", { class: "panel", "data-target": name, "aria-label": title, "data-unit": unit }, heading, body);
}

const tooltipOf = ({ network, number, ms }, target) => [
  network.name,
  `${inUnit(ms, data.targets[target].unit)} on ${data.targets[target].name}`,
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

// Returns the chart of accuracy against latency; networks without accuracy (`others`) are ticks below the axis.
function scatter(target, known, others) {
  const evaluated = (state.kind === data.evaluated_kind && data.evaluated?.[target]) || [];
  const budget = data.latency_budgets?.[target];
  const latencies = [...known.map(({ ms }) => ms), ...evaluated.map(([ms]) => ms), ...(budget ? [budget] : [])];
  const x = latencyAxis(latencies, others.length ? 0.25 : 0.08, `${data.latency_label} (${data.targets[target].unit})`);
  const levels = [...known.map(({ network }) => 100 * network.top1), ...evaluated.map(([, top1]) => 100 * top1)];
  const spread = Math.max(1, Math.max(...levels) - Math.min(...levels));
  const y = { low: Math.min(...levels) - 0.12 * spread, high: Math.min(100.5, Math.max(...levels) + 0.12 * spread), label: "top-1" };
  const inside = others.filter(({ ms }) => ms >= x.low && ms <= x.high);
  const frame = chart({ x, y, top: 22, height: 246 + (inside.length ? BELOW : 0), bottom: 38 + (inside.length ? BELOW : 0), drop: inside.length ? BELOW : 0, label: data.targets[target].name });
  const { svg, marks, X, Y } = frame;
  svg.append(makeSvg("text", { x: 4, y: 10, class: "axis" }, "top-1 %"));
  for (const [ms, top1] of evaluated) marks.append(makeSvg("circle", { cx: X(ms), cy: Y(100 * top1), r: 1.8, class: "faint-dot" }));
  if (budget) marks.append(makeSvg("line", { x1: X(budget), x2: X(budget), y1: frame.top, y2: frame.height - frame.bottom, class: "budget" }));
  const best = front(known.map(({ network, ms }) => [ms, network.top1]));
  const stair = known.filter((_, i) => best[i]).sort((a, b) => a.ms - b.ms).map(({ network, ms }) => [X(ms), Y(100 * network.top1)]);
  marks.append(makeSvg("path", { d: stairs(stair), class: "front" }));
  const points = [];
  const numbered = isPublished(state.kind);
  for (const [i, one] of known.entries()) {
    const { colour, mark } = styleOf(one.network);
    const [px, py] = [X(one.ms), Y(100 * one.network.top1)];
    const node = makeSvg("g", { class: `${colour}${best[i] ? " best" : ""}`, transform: `translate(${px} ${py})` });
    if (one.network.chosen && !numbered) {
      const error = Math.abs(Y(100 * (one.network.top1 + one.network.standard_error)) - py);
      node.append(makeSvg("path", { d: `M0 ${-error}V${error}M-3 ${-error}H3M-3 ${error}H3`, class: "error" }));
    }
    node.append(makeSvg("circle", { r: 11, class: "halo" }), makeSvg("path", { d: markPath(mark, one.network.chosen ? 5 : 2.8) }));
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
  const x = latencyAxis(values, 0.08, `${data.latency_label} (${data.targets[target].unit})`);
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
