// The figures of a comparison alone: all networks as a table, regret, hypervolumes, the sweep of ridge points.
// Returns a table in an element that scrolls sideways.
const wide = (label, table) => make("div", { class: "wide", tabindex: 0, role: "region", "aria-label": label }, table);

function table(head, rows) {
  const cells = head.map((cell) => (cell instanceof Node ? cell : make("th", { scope: "col" }, cell)));
  return make("table", {}, make("thead", {}, make("tr", {}, cells)), make("tbody", {}, rows));
}

const number = (text, attributes = {}) => make("td", { ...attributes, class: `number ${attributes.class ?? ""}` }, text);
const nameButton = (index, target) => make("button", { type: "button", class: "plain name", onclick: () => selectNetwork(index, target) }, data.networks[index].name);

// ------------------------------------------------------------------------------------------------------ all networks

figures.networks = (place) => {
  let [column, descending] = ["front", true];
  const listed = () => [...data.networks.keys()].filter((index) => data.networks[index].kind === state.kind || shownWithoutAccuracy(data.networks[index], state.kind));
  const onFront = (index) => chosenTargets().filter((target) => data.fronts[target].includes(index)).length;
  const valueOf = (index) => {
    const network = data.networks[index];
    if (column === "front") return hasAccuracy(network) ? onFront(index) + network.top1 / 10 : -1;
    if (column === "top1") return network.top1 ?? -1;
    if (column === "name") return network.name;
    if (column === "macs" || column === "params") return data.archs[network.arch][column];
    return data.latency[index][column];
  };
  const sortableHead = (name, text, attributes = {}) => {
    const order = column === name ? (descending ? "descending" : "ascending") : null;
    const act = () => {
      [column, descending] = [name, column === name ? !descending : name === "front" || name === "top1"];
      redraw();
      place.querySelector(`[data-column="${name}"]`)?.focus();
    };
    return make("th", { scope: "col", "aria-sort": order, ...attributes }, make("button", { type: "button", class: "plain", "data-column": name, onclick: act }, text));
  };
  const scoreHead = [...new Set(data.networks.filter(hasAccuracy).map(({ kind }) => scoreAxis(kind)))].join(" or ") || "top-1 %";
  const redraw = () => {
    const targets = chosenTargets();
    const order = listed().sort((a, b) => {
      const [x, y] = [valueOf(a), valueOf(b)];
      return (x < y ? -1 : x > y ? 1 : 0) * (descending ? -1 : 1);
    });
    const head = [sortableHead("name", "network"), sortableHead("top1", scoreHead, { class: "number" }), sortableHead("front", "on the front of", { class: "number" }),
      ...targets.map((target) => sortableHead(target, [withBatch(data.targets[target]), data.targets[target].error].filter((text) => text).join(" "), { class: "number" })), sortableHead("macs", "MACs", { class: "number" }), sortableHead("params", "parameters", { class: "number" })];
    const rows = order.map((index) => {
      const network = data.networks[index];
      const cells = targets.map((target) => {
        const best = data.fronts[target].includes(index);
        const caution = network.cautions[target];
        return number([significant(data.latency[index][target]), make("i", { class: best ? "dot" : "dot none", title: best ? "on the front" : "" }), best ? make("span", { class: "unseen" }, " on the front") : null],
          { title: [network.errors[target], caution].filter((text) => text).join("; ") || null });
      });
      const top1 = hasAccuracy(network) ? (100 * network.top1).toFixed(1) : "";
      const fronts = hasAccuracy(network) ? `${onFront(index)} of ${targets.length}` : "";
      return make("tr", { class: network.chosen ? null : "member" }, make("th", { scope: "row" }, nameButton(index)), number(top1, { title: data.kinds[network.kind] }), number(fronts), cells, number(count(data.archs[network.arch].macs)), number(count(data.archs[network.arch].params)));
    });
    const everywhere = order.filter((index) => hasAccuracy(data.networks[index]) && targets.length && onFront(index) === targets.length);
    const names = everywhere.slice(0, 8).map((index) => data.networks[index].name).join(", ");
    const more = everywhere.length > 8 ? ` and ${everywhere.length - 8} more` : "";
    place.replaceChildren(names ? make("p", {}, `On the front of all ${targets.length} chosen targets: ${names}${more}.`) : "", wide("all networks", table(head, rows)));
  };
  on("targets", redraw);
  on("kind", redraw);
  redraw();
};

// ------------------------------------------------------------------------------------------------------------ regret

figures.regret = (place) => {
  for (const matrix of data.regrets) {
    const most = Math.max(0.05, ...matrix.rows.flatMap((row) => row.cells).filter((cell) => cell).map((cell) => cell.extra));
    const head = [make("th", { scope: "col" }, "found for \u2193, used on \u2192"), ...matrix.columns.map((run) => make("th", { scope: "col", class: "number" }, run.label))];
    const rows = matrix.rows.map((row) => make("tr", {}, make("th", { scope: "row" }, row.label), row.cells.map((cell, j) => {
      const used = matrix.columns[j];
      if (!cell) return number("", { class: "heat", title: "nothing found for the row is as accurate" });
      const shown = number(signed(cell.extra), { class: "heat" });
      shown.style.setProperty("--heat", `${Math.round(70 * Math.min(1, Math.max(0, cell.extra) / most))}%`);
      if (row.item === used.item) shown.classList.add("own");
      return addTooltip(shown, [`${cell.network} on ${used.target}: ${inUnit(cell.latency_ms, "ms")}`, `${cell.best_network}: ${inUnit(cell.best_latency_ms, "ms")}`, `both at least ${percent(used.top1)} top-1`]);
    })));
    place.append(make("p", { class: "soft" }, `Accuracy: ${matrix.kind}`), wide("regret", table(head, rows)));
  }
};

// ------------------------------------------------------------------------------------------------------- hypervolumes

figures.hypervolumes = (place) => {
  const redraw = () => {
    const targets = chosenTargets();
    const head = [make("th", { scope: "col" }, "item"), ...targets.map((target) => make("th", { scope: "col", class: "number" }, data.targets[target].name))];
    const rows = data.hypervolumes.map((one) => make("tr", {}, make("th", { scope: "row" }, one.item), targets.map((target) => {
      const cell = number(percent(one.share[target]), { title: `${one.hypervolume[target]} ${data.targets[target].unit} x top-1` });
      return cell;
    })));
    place.replaceChildren(wide("hypervolumes", table(head, rows)));
  };
  on("targets", redraw);
  redraw();
};

// -------------------------------------------------------------------------------------------------------- ridge points

const RIDGES = Array.from({ length: 101 }, (_, i) => 5 * i); // MACs per byte

// Returns the latency of an architecture at a ridge point, in s on a device with a peak of 1 GMAC/s.
function ridgeLatency(arch, ridge) {
  const { macs, elements } = data.archs[arch].kernels;
  let total = 0;
  for (let k = 0; k < macs.length; k++) total += Math.max(macs[k], ridge * elements[k]);
  return total / 1e9;
}

figures.ridge = (place) => {
  const { candidates, kinds } = data.ridge;
  const all = candidates.map((one) => RIDGES.map((ridge) => ridgeLatency(one.arch, ridge)));
  let kind = 0;
  const slider = make("input", { type: "range", min: 0, max: 500, step: 5, value: state.ridge, id: "ridge", oninput: () => {
    state.ridge = Number(slider.value);
    redraw();
    emit("ridge");
  } });
  const value = make("output", { for: "ridge" });
  const chosen = kinds.map((text, i) => make("label", {}, make("input", { type: "radio", name: "ridge-kind", checked: i === 0, onchange: () => { kind = i; redraw(); } }), text));
  const body = make("div", { class: "ridge" });
  const choose = (one) => select({ arch: one.arch, name: one.name, network: null, accuracy: ridgeScore(one) }, -1);
  const redraw = () => {
    const own = candidates.map((one, i) => ({ ...one, number: i, times: all[i] })).filter((one) => one.kind === kind).sort((a, b) => b.top1 - a.top1);
    const fronts = RIDGES.map((_, r) => front(own.map((one) => [one.times[r], one.top1])));
    value.textContent = `${state.ridge} MACs/byte`;
    const printed = make("p", { class: "soft print-only" }, `At a ridge point of ${state.ridge} MACs/byte; accuracy: ${kinds[kind]}`);
    body.replaceChildren(make("div", {}, printed, ridgeScatter(own, fronts, choose)), ridgeStrips(own, fronts, choose));
  };
  place.replaceChildren(...(kinds.length > 1 ? [make("fieldset", { class: "choices" }, make("legend", {}, "Accuracy"), chosen)] : [make("p", { class: "soft" }, `Accuracy: ${kinds[0]}`)]),
    make("label", { class: "slider" }, "ridge point ", slider, value), body);
  redraw();
};

const ridgeMetric = ({ kind }) => data.ridge.metrics[kind];
const ridgeScore = (one) => (ridgeMetric(one) === "top-1" ? `top-1 ${percent(one.top1)}` : `${ridgeMetric(one)} ${one.top1.toFixed(3)}`);
const ridgeColour = (one) => (one.published && !one.name.startsWith(HIGHLIGHTED) ? "rest" : "c0");

// Returns the chart of accuracy against latency at the ridge point of the slider.
function ridgeScatter(own, fronts, choose) {
  const at = RIDGES.indexOf(state.ridge);
  const latencies = own.map((one) => one.times[at]);
  const levels = own.flatMap((one) => [one.top1 - one.standard_error, one.top1 + one.standard_error]).map((top1) => 100 * top1);
  const spread = Math.max(1, Math.max(...levels) - Math.min(...levels));
  const x = { low: Math.min(...latencies) / 1.15, high: Math.max(...latencies) * 1.15, log: true, label: "latency (s at a peak of 1 GMAC/s)" };
  const y = { low: Math.min(...levels) - 0.1 * spread, high: Math.min(100.5, Math.max(...levels) + 0.12 * spread) };
  const frame = chart({ x, y, width: 460, height: 310, top: 22, label: `fronts at a ridge point of ${state.ridge} MACs per byte` });
  const { svg, marks, X, Y } = frame;
  svg.append(makeSvg("text", { x: 4, y: 10, class: "axis" }, !own.length || ridgeMetric(own[0]) === "top-1" ? "top-1 %" : `${ridgeMetric(own[0])} x 100`));
  const stair = own.map((one, i) => [latencies[i], one.top1, fronts[at][i]]).filter((one) => one[2]).sort((a, b) => a[0] - b[0]);
  marks.append(makeSvg("path", { d: stairs(stair.map(([ms, top1]) => [X(ms), Y(100 * top1)])), class: "front" }));
  interactive(svg, own.map((one, i) => {
    const [px, py] = [X(latencies[i]), Y(100 * one.top1)];
    const best = fronts[at][i];
    const node = makeSvg("g", { class: `${ridgeColour(one)}${best ? " best" : ""}`, transform: `translate(${px} ${py})`, "data-best": String(best) }, makeSvg("path", { d: errorPath({ ...frame, top: frame.top - py, height: frame.height - py }, 0, 0, Math.abs(Y(100 * one.standard_error) - Y(0)), 2), class: "error" }), makeSvg("circle", { r: 11, class: "halo" }), makeSvg("path", { d: markPath(0, 4) }));
    if (best) node.append(makeSvg("text", { x: -6, y: -5, "text-anchor": "end" }, String(i + 1)));
    marks.append(node);
    const tooltip = [one.name, inUnit(latencies[i], "s at 1 GMAC/s"), `${ridgeScore(one)} \u00b1 ${ridgeMetric(one) === "top-1" ? (100 * one.standard_error).toFixed(1) : one.standard_error.toFixed(3)}`, best ? "on the front" : "dominated"];
    return { x: px, y: py, node, tooltip, label: tooltip.join(", "), choose: () => choose(one) };
  }));
  return svg;
}

// Returns a table with the ridge points at which each network is on the front, the most accurate network first.
function ridgeStrips(own, fronts, choose) {
  const rows = own.map((one, i) => {
    const svg = makeSvg("svg", { viewBox: "0 0 505 12", preserveAspectRatio: "none", class: `ranges ${ridgeColour(one)}`, "aria-hidden": "true" });
    const runs = [];
    RIDGES.forEach((ridge, r) => {
      if (!fronts[r][i]) return;
      if (r && fronts[r - 1][i]) runs.at(-1)[1] = ridge;
      else runs.push([ridge, ridge]);
    });
    for (const [from, to] of runs) svg.append(makeSvg("rect", { x: from, width: to - from + 5, y: 1, height: 10 }));
    svg.append(makeSvg("line", { x1: state.ridge + 2.5, x2: state.ridge + 2.5, y1: 0, y2: 12, class: "cursor" }));
    const ranges = runs.map(([from, to]) => (from === to ? from : `${from} to ${to}`)).join(", ") || "never";
    const name = make("button", { type: "button", class: "plain name", onclick: () => choose(one) }, `${i + 1} ${one.name}`);
    return make("tr", {}, make("th", { scope: "row" }, name), make("td", { class: "range" }, svg, make("span", { class: "unseen" }, `on the front: ${ranges}`)), number(ridgeMetric(one) === "top-1" ? percent(one.top1) : one.top1.toFixed(3)));
  });
  return wide("ridge points at which each network is on the front", table(["network", "on the front at ridge points 0 to 500", make("th", { scope: "col", class: "number" }, own.length ? ridgeMetric(own[0]) : "top-1")], rows));
}
