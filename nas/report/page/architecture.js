// One network block by block: shapes of its kernels, shares of MACs and of time, and on demand the cost of every kernel.
const KINDS = ["conv", "pointwise", "depthwise", "dense", "matmul", "pool", "elementwise"];
const GLYPH = { width: 116, height: 40 };

// Returns the time of every kernel of an architecture on the chosen device: a target, or the ridge point of the slider.
function kernelCosts(arch) {
  if (state.device >= 0) {
    const target = data.targets[state.device];
    const values = data.times[state.device][arch];
    const names = { c: "compute", m: "memory", f: "free" };
    const bounds = [...data.bounds[state.device][arch]].map((letter) => names[letter] ?? "");
    return { values, bounds, constant: target.constant, unit: target.unit, device: target.name };
  }
  const { macs, elements } = data.archs[arch].kernels;
  const values = macs.map((count, i) => Math.max(count, state.ridge * elements[i]) / 1e9);
  const bounds = macs.map((count, i) => (count >= state.ridge * elements[i] ? "compute" : "memory"));
  return { values, bounds, constant: 0, unit: "s at 1 GMAC/s", device: `ridge point ${state.ridge} MACs/byte` };
}

// Returns the largest number of channels of an architecture's kernels, but for the dense layers.
function widestOf(arch) {
  arch.widest ??= Math.max(...arch.kernels.output.filter((_, k) => KINDS[arch.kernels.kind[k]] !== "dense").map((shape) => shape[2]));
  return arch.widest;
}

const meaningOf = (block) => data.glossary.find(([term]) => term === block.name)?.[1];

// Returns the meanings of the names of blocks and of the notation, of those in the given architectures.
function glossaryOf(archs) {
  const used = new Set(archs.flatMap((arch) => arch.blocks.map((block) => block.name)));
  const known = new Set(data.archs.flatMap((arch) => arch.blocks.map((block) => block.name)));
  const rows = data.glossary.filter(([term]) => used.has(term) || !known.has(term));
  const names = rows.map(([term]) => term).filter((term) => used.has(term));
  const shown = names.length ? `What ${names.slice(0, 4).join(", ")}${names.length > 4 ? " ..." : ""} mean${names.length > 1 ? "" : "s"}` : "What the notation means";
  return make("details", { class: "glossary" }, make("summary", {}, shown),
    make("dl", {}, rows.flatMap(([term, meaning]) => [make("dt", {}, term), make("dd", {}, meaning)])));
}

// Returns a small drawing of a block: its kernels as trapezoids, as high as the root of their channels.
function glyph(arch, block, widest = widestOf(arch)) {
  const { kind, size, input, output } = arch.kernels;
  const tall = (channels) => 5 + (GLYPH.height - 8) * Math.sqrt(Math.min(1, channels / widest));
  const body = [];
  for (let k = block.first; k < block.last; k++) body.push(k);
  const relativeWidth = (k) => (KINDS[kind[k]] === "elementwise" || KINDS[kind[k]] === "pool" ? 0.35 : 1);
  const unit = (GLYPH.width - (block.skip ? 10 : 0)) / sum(body.map(relativeWidth));
  const svg = makeSvg("svg", { viewBox: `0 0 ${GLYPH.width} ${GLYPH.height + 8}`, class: "glyph", "aria-hidden": "true" });
  const middle = GLYPH.height / 2 + 6;
  let left = block.skip ? 5 : 0;
  for (const k of body) {
    const width = relativeWidth(k) * unit;
    const [from, to] = [tall(input[k][2]), tall(output[k][2])];
    const right = left + width - 1;
    svg.append(
      makeSvg("path", {
        class: `kind-${KINDS[kind[k]]}`,
        d: `M${left} ${middle - from / 2}L${right} ${middle - to / 2}V${middle + to / 2}L${left} ${middle + from / 2}Z`,
      }),
    );
    if (size[k] > 1 && width > 12) {
      svg.append(makeSvg("text", { x: left + width / 2, y: middle + 3.5, "text-anchor": "middle" }, String(size[k])));
    }
    left += width;
  }
  if (block.skip) svg.append(makeSvg("path", { class: "skip", d: `M2 ${middle}C2 -2 ${GLYPH.width - 2} -2 ${GLYPH.width - 2} ${middle}` }));
  return svg;
}

// Returns a bar, full where `share` is `largest`, with the share in percent.
function bar(share, largest, kind, label) {
  const fill = make("i", { class: kind });
  fill.style.width = `${Math.max(share > 0 ? 1 : 0, (100 * share) / largest)}%`;
  return make("span", { class: "bar" }, make("span", { class: "track" }, fill), make("b", { title: label }, percent(share)));
}

// Returns the table of a block's kernels with their costs.
function kernelTable(arch, block, cost, total) {
  const { name, kind, input, output, size, stride, macs } = arch.kernels;
  const head = ["kernel", cost.unit, "share", "bound by", "MACs", "k/s", "in \u2192 out"];
  const rows = [];
  for (let k = block.first; k < block.last; k++) {
    rows.push(
      make(
        "tr",
        {},
        make("th", { scope: "row", title: KINDS[kind[k]] }, make("i", { class: `chip kind-${KINDS[kind[k]]}` }), name[k], make("span", { class: "unseen" }, `, ${KINDS[kind[k]]}`)),
        make("td", { class: "number" }, significant(cost.values[k])),
        make("td", { class: "number" }, percent(total ? cost.values[k] / total : 0)),
        make("td", {}, cost.bounds[k]),
        make("td", { class: "number" }, count(macs[k])),
        make("td", { class: "number" }, `${size[k]}/${stride[k]}`),
        make("td", {}, `${times(input[k])} \u2192 ${times(output[k])}`),
      ),
    );
  }
  const table = make("table", {}, make("thead", {}, make("tr", {}, head.map((text) => make("th", { scope: "col" }, text)))), make("tbody", {}, rows));
  return make("div", { class: "wide", tabindex: 0, role: "region", "aria-label": `kernels of ${block.description}` }, table);
}

// Returns two strips along the network, a segment per kernel: of its MACs and of its time.
function strips(arch, cost, total) {
  const macs = sum(arch.kernels.macs);
  const strip = (values, all, label) => {
    const svg = makeSvg("svg", { viewBox: "0 0 1000 16", preserveAspectRatio: "none", class: "strip", role: "img", "aria-label": label });
    let at = 0;
    values.forEach((value, k) => {
      const width = (1000 * value) / (all || 1);
      svg.append(makeSvg("rect", { x: at, y: 0, width, height: 16, class: `kind-${KINDS[arch.kernels.kind[k]]}` }));
      at += width;
    });
    let done = 0;
    for (const block of arch.blocks.slice(0, -1)) {
      done += sum(values.slice(block.first, block.last));
      svg.append(makeSvg("line", { x1: (1000 * done) / (all || 1), x2: (1000 * done) / (all || 1), y1: 0, y2: 16, class: "cut" }));
    }
    return svg;
  };
  return make(
    "div",
    { class: "strips" },
    make("span", {}, "MACs"),
    strip(arch.kernels.macs, macs, "share of MACs along the network"),
    make("span", {}, "time"),
    strip(cost.values, total, "share of time along the network"),
  );
}

// Returns the legend of the kinds of kernels with their shares of MACs and of time.
function kindLegend(arch, cost, total) {
  const macs = sum(arch.kernels.macs);
  const used = KINDS.map((name, number) => {
    const own = arch.kernels.kind.map((kind, k) => (kind === number ? k : -1)).filter((k) => k >= 0);
    return { name, own, macs: sum(own.map((k) => arch.kernels.macs[k])) / macs, time: sum(own.map((k) => cost.values[k])) / (total || 1) };
  }).filter((one) => one.own.length);
  const text = (one) => `${one.name} ${percent(one.macs, 0)} | ${percent(one.time, 0)}`;
  return make("ul", { class: "legend" }, used.map((one) => make("li", {}, make("i", { class: `chip kind-${one.name}` }), text(one))), make("li", {}, "(of MACs | of time)"));
}

// Fills `place` with a network block by block, the blocks numbered in `open` unfolded; returns its latency.
function architecture(place, arch, cost, open) {
  const total = sum(cost.values); // in kernels, without the launch overhead
  const macs = sum(arch.kernels.macs);
  const shares = arch.blocks.map((block) => ({
    macs: sum(arch.kernels.macs.slice(block.first, block.last)) / macs,
    time: total ? sum(cost.values.slice(block.first, block.last)) / total : 0,
  }));
  const largest = Math.max(...shares.flatMap((share) => [share.macs, share.time]));
  const list = make("div", { class: "blocks" });
  list.append(make("div", { class: "row titles", "aria-hidden": "true" }, make("span", {}, "block"), make("span", {}, "share of MACs"), make("span", {}, "share of time")));
  let stage = null;
  arch.blocks.forEach((block, number) => {
    if (block.stage !== stage) {
      stage = block.stage;
      const shape = number ? arch.blocks[number - 1].shape : arch.input;
      list.append(make("div", { class: "stage" }, `${stage}, from ${times(shape)}`));
    }
    const summary = make(
      "summary",
      { class: "row" },
      make("span", { class: "block", title: meaningOf(block) }, glyph(arch, block), make("span", {}, block.description)),
      bar(shares[number].macs, largest, "macs", "share of MACs"),
      bar(shares[number].time, largest, "time", "share of time"),
    );
    const details = make("details", { "data-block": number, open: open.has(String(number)) }, summary);
    const addTable = () => details.open && details.children.length === 1 && details.append(kernelTable(arch, block, cost, total));
    details.addEventListener("toggle", addTable);
    addTable();
    list.append(details);
  });
  const overhead = `Of ${inUnit(total + cost.constant, cost.unit)}, ${inUnit(cost.constant, cost.unit)} (${percent(cost.constant / (total + cost.constant), 0)}) are the launch overhead of ${cost.device} and belong to no block; shares are of the rest.`;
  place.append(cost.constant ? make("p", { class: "soft" }, overhead) : "", strips(arch, cost, total), kindLegend(arch, cost, total), glossaryOf([arch]), list);
  return total + cost.constant;
}

figures.architecture = (place) => {
  let shownArch = null; // number of the architecture on display
  const redraw = () => {
    const focused = document.activeElement?.dataset?.keep;
    const title = make("h2", { id: "architecture-title" }, "Architecture");
    if (!state.selected) {
      place.replaceChildren(title, make("p", { class: "soft" }, "Choose a point to see its network, block by block."));
      return;
    }
    const arch = data.archs[state.selected.arch];
    const cost = kernelCosts(state.selected.arch);
    const body = make("div", { class: "body" });
    const open = new Set([...place.querySelectorAll("details[data-block][open]")].map((node) => node.dataset.block));
    const total = architecture(body, arch, cost, shownArch === state.selected.arch ? open : new Set());
    shownArch = state.selected.arch;
    const network = data.networks[state.selected.network];
    const facts = [
      [state.device >= 0 ? withError(total, state.device, network) : inUnit(total, cost.unit), data.latency_label],
      data.energy && network && state.device >= 0 ? [inUnit(data.energy[state.selected.network][state.device], "mJ"), "energy"] : [""],
      [count(arch.macs), "MACs"],
      [count(arch.params), "parameters"],
      [state.selected.accuracy ?? (network ? accuracy(network) : ""), ""],
      [`${times(arch.input)}, ${arch.classes.toLocaleString("en")} classes`, ""],
    ];
    const chooser = make(
      "select",
      { "data-keep": "device", onchange: (event) => { state.device = Number(event.target.value); redraw(); } },
      data.targets.map((target, number) => make("option", { value: number, selected: number === state.device }, target.name)),
      data.ridge ? make("option", { value: -1, selected: state.device === -1 }, `ridge point ${state.ridge} MACs/byte`) : null,
    );
    const caution = state.device >= 0 && network ? network.cautions[state.device] : null;
    place.replaceChildren(
      title,
      make("h3", { class: "name" }, state.selected.name),
      make("p", { class: "facts" }, facts.filter(([value]) => value).map(([value, name]) => make("span", {}, make("b", {}, value), name ? ` ${name}` : ""))),
      make("p", { class: "print-only" }, `cost on ${cost.device}`),
      make("div", { class: "device" }, make("label", {}, "cost on ", chooser), make("span", { class: "toolbar" }, make("button", { type: "button", title: "the architecture as JSON, as nas train and nas export read it", onclick: () => downloadSpec(arch, state.selected.name) }, "spec (JSON)"))),
      caution ? make("p", { class: "caution" }, caution) : "",
      body,
    );
    if (focused === "device") chooser.focus();
  };
  on("selection", redraw);
  on("ridge", () => state.device === -1 && redraw());
  redraw();
};
