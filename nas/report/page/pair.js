// Two networks side by side, block by block: what is equal, what differs, and what only one of them has.
const GAP = -0.25; // score of a block beside none; 3 for equal blocks, else 1 for one name and 0.75 for both or neither having a skip

// Returns how far the input of a network is reduced where a block ends: "8" for an eighth of its height; "head".
const reductionOf = (arch, block) => (block.stage === "head" ? "head" : String(Math.max(1, Math.round(arch.input[0] / block.shape[0]))));

// Returns the pairs [number in a, number in b] of blocks that stand beside each other, null for none; both lists hold
// numbers of blocks. The alignment of highest score: Needleman and Wunsch, J. Mol. Biol. 48 (1970).
function aligned(a, b, left, right) {
  const score = (i, j) => {
    const [one, other] = [a.blocks[left[i]], b.blocks[right[j]]];
    return one.description === other.description ? 3 : (one.name === other.name) + 0.75 * (one.skip === other.skip);
  };
  const best = Array.from({ length: left.length + 1 }, (_, i) => Array.from({ length: right.length + 1 }, (_, j) => GAP * (i + j)));
  for (let i = 1; i <= left.length; i++) {
    for (let j = 1; j <= right.length; j++) best[i][j] = Math.max(best[i - 1][j - 1] + score(i - 1, j - 1), best[i - 1][j] + GAP, best[i][j - 1] + GAP);
  }
  const pairs = [];
  let [i, j] = [left.length, right.length];
  while (i || j) {
    if (i && j && best[i][j] === best[i - 1][j - 1] + score(i - 1, j - 1)) pairs.push([left[--i], right[--j]]);
    else if (i && best[i][j] === best[i - 1][j] + GAP) pairs.push([left[--i], null]);
    else pairs.push([null, right[--j]]);
  }
  return pairs.reverse();
}

// Returns the blocks of two architectures in groups of equal reduction: [reduction, pairs].
function pairGroups(a, b) {
  const reductions = [...new Set([...a.blocks.map((block) => reductionOf(a, block)), ...b.blocks.map((block) => reductionOf(b, block))])];
  reductions.sort((x, y) => (x === "head") - (y === "head") || x - y);
  const numbers = (arch, reduction) => arch.blocks.map((_, i) => i).filter((i) => reductionOf(arch, arch.blocks[i]) === reduction);
  return reductions.map((reduction) => [reduction, aligned(a, b, numbers(a, reduction), numbers(b, reduction))]);
}

// Returns the words of a description; those that `other` lacks are marked.
function markedWords(description, other) {
  const rest = new Set((other ?? description).split(/,? /));
  return description.split(/(,? )/).map((word) => (/^,? $/.test(word) || rest.has(word) ? word : make("mark", {}, word)));
}

figures.pair = (place) => {
  let [first, second] = data.pair;
  let device = state.device < 0 ? 0 : state.device;
  const label = (network) => (hasAccuracy(network) ? `${network.name} (${shownScore(network).split(" ")[0]}${metric(network.kind) === "top-1" ? " %" : ""})` : network.name);
  const chooser = (name, chosen, act) => make("label", {}, name, make("select", { "aria-label": `${name} network`, onchange: (event) => { act(Number(event.target.value)); redraw(); } },
    data.networks.map((network, number) => make("option", { value: number, selected: number === chosen }, label(network)))));
  const onDevice = make("label", {}, "cost on", make("select", { "aria-label": "target of the costs", onchange: (event) => { device = Number(event.target.value); redraw(); } },
    data.targets.map((target, number) => make("option", { value: number, selected: number === device }, target.name))));
  const body = make("div", { class: "pair" });
  const redraw = () => body.replaceChildren(...pairBody(first, second, device));
  place.append(make("div", { class: "pair-choices" }, chooser("left", first, (number) => (first = number)), chooser("right", second, (number) => (second = number)), onDevice), body);
  redraw();
};

// Returns the elements that show two networks side by side with their costs on a target.
function pairBody(first, second, device) {
  const networks = [first, second].map((number) => data.networks[number]);
  const archs = networks.map((network) => data.archs[network.arch]);
  const times = networks.map((network) => data.times[device][network.arch]);
  const timeOf = (side, block) => sum(times[side].slice(block.first, block.last));
  const largest = Math.max(...archs.flatMap((arch, side) => arch.blocks.map((block) => timeOf(side, block)))) || 1;
  const widest = Math.max(...archs.map(widestOf)); // one scale for the heights of both
  const tally = { same: 0, changed: 0, left: 0, right: 0 };
  const cell = (side, number, other) => {
    if (number === null) return make("div", { class: "absent" }, "no block here");
    const block = archs[side].blocks[number];
    const time = timeOf(side, block);
    const fill = make("i", { class: "time" });
    fill.style.width = `${Math.max(1, (100 * time) / largest)}%`;
    return make("div", {}, make("div", { class: "block" }, glyph(archs[side], block, widest), make("span", { title: meaningOf(block) }, markedWords(block.description, other?.description))),
      make("span", { class: "bar" }, make("span", { class: "track" }, fill), make("b", { title: data.targets[device].unit }, significant(time))));
  };
  const rows = pairGroups(...archs).flatMap(([reduction, pairs]) => [
    make("div", { class: "stage" }, reduction === "head" ? "head" : reduction === "1" ? "at the input's height" : `at 1/${reduction} of the input's height`),
    ...pairs.map(([left, right]) => {
      const [one, other] = [archs[0].blocks[left], archs[1].blocks[right]];
      const state = !one ? "right" : !other ? "left" : one.description === other.description ? "same" : "changed";
      tally[state] += 1;
      const [sign, meaning] = { same: ["=", "the same"], changed: ["\u2260", "different"], left: ["\u2212", "only on the left"], right: ["+", "only on the right"] }[state];
      return make("div", { class: `pair-row ${one && other ? state : "alone"}`, "data-state": state }, cell(0, left, other), make("span", { class: "sign", title: meaning }, sign, make("span", { class: "unseen" }, meaning)), cell(1, right, one));
    }),
  ]);
  const many = (count, text) => `${count} block${count === 1 ? "" : "s"} ${text}`;
  const parts = [many(tally.same, "the same"), many(tally.changed, "different"), many(tally.left, "only on the left"), many(tally.right, "only on the right")];
  return [
    make("p", { class: "tally" }, `${parts.join(", ")}.`),
    pairTotals(first, second, device),
    make("ul", { class: "legend soft" }, make("li", {}, make("i", { class: "chip time-chip" }), `time in ${data.targets[device].unit} on ${data.targets[device].name}`), make("li", {}, "= the same"), make("li", {}, "\u2260 different, ", make("mark", {}, "marked")), make("li", {}, "\u2212 + only on one side")),
    glossaryOf(archs),
    make("div", { class: "pair-row pair-head" }, make("span", {}, networks[0].name), make("span", {}), make("span", {}, networks[1].name)),
    ...rows,
  ];
}

// Returns the table of what two networks cost and reach, and by how much they differ.
function pairTotals(first, second, device) {
  const [one, other] = [first, second].map((number) => ({ network: data.networks[number], arch: data.archs[data.networks[number].arch], latency: data.latency[number][device] }));
  const relative = (a, b) => (a ? signed(b / a - 1) : "");
  const comparable = hasAccuracy(one.network) && one.network.kind === other.network.kind;
  const paired = data.compared?.left === first && data.compared.right === second ? data.compared : null; // on the same images
  const error = paired?.error ?? Math.hypot(one.network.standard_error, other.network.standard_error);
  const gain = 100 * (paired?.difference ?? other.network.top1 - one.network.top1);
  const top1 = (network) => (hasAccuracy(network) ? shownScore(network) : "not known");
  const rows = [
    [`latency (${data.targets[device].unit})`, [significant(one.latency), one.network.errors[device]].join(" "), [significant(other.latency), other.network.errors[device]].join(" "), relative(one.latency, other.latency)],
    ["MACs", count(one.arch.macs), count(other.arch.macs), relative(one.arch.macs, other.arch.macs)],
    ["parameters", count(one.arch.params), count(other.arch.params), relative(one.arch.params, other.arch.params)],
    [metric(one.network.kind), top1(one.network), top1(other.network), comparable ? `${gain < 0 ? "\u2212" : "+"}${Math.abs(gain).toFixed(1)} \u00b1 ${(100 * error).toFixed(1)} ${metric(one.network.kind) === "top-1" ? "points" : "hundredths"}` : hasAccuracy(one.network) && hasAccuracy(other.network) ? "of different kinds" : ""],
  ];
  const head = ["", one.network.name, other.network.name, "right against left"].map((text, i) => make("th", { scope: "col", class: i ? "number" : null }, text));
  const cells = rows.map(([name, ...values]) => make("tr", {}, make("th", { scope: "row" }, name), values.map((value) => make("td", { class: "number" }, value))));
  return make("div", { class: "wide", tabindex: 0, role: "region", "aria-label": "what the two networks cost" }, make("table", {}, make("thead", {}, make("tr", {}, head)), make("tbody", {}, cells)));
}
