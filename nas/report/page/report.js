// The figures of a run's report alone: training and search curves, and the policy of the controller.
const SHADES = 8;

// Curves over the steps of all stages: one small chart per quantity.
figures.progress = (place) => {
  const offsets = [];
  let end = 0;
  for (const stage of data.stages) {
    offsets.push(end);
    end += stage.steps.at(-1);
  }
  const unit = data.stages[0].unit;
  const curveChart = (title, curves, options = {}) => {
    const values = curves.flatMap((curve) => data.stages.flatMap((stage) => stage[curve.key] ?? []).filter((value) => value !== null));
    const budgets = options.budgets ? data.stages.map((stage) => stage.latency_budget).filter((value) => value !== null) : [];
    const all = [...values, ...budgets];
    const [lowest, highest] = [options.low ?? Math.min(...all), options.high ?? Math.max(...all)];
    const room = 0.06 * (highest - lowest || 1);
    const y = { low: options.low ?? lowest - room, high: options.high ?? highest + room };
    const frame = chart({ x: { low: 0, high: end || 1, label: "search steps" }, y, height: 200, label: title });
    data.stages.forEach((stage, s) => {
      const X = (step) => frame.X(offsets[s] + step);
      frame.marks.append(makeSvg("line", { x1: X(0), x2: X(0), y1: frame.top, y2: frame.height - frame.bottom, class: "guide" }));
      frame.marks.append(makeSvg("text", { x: X(0) + 4, y: frame.height - frame.bottom - 5, class: "axis" }, stage.name));
      if (options.budgets && stage.latency_budget !== null) frame.marks.append(makeSvg("line", { x1: X(0), x2: X(stage.steps.at(-1)), y1: frame.Y(stage.latency_budget), y2: frame.Y(stage.latency_budget), class: "budget" }));
      for (const { key, colour } of curves) {
        const points = stage.steps.map((step, i) => [X(step), stage[key][i] === null ? null : frame.Y(stage[key][i])]);
        frame.marks.append(makeSvg("path", { d: line(points), class: `line ${colour}` }));
        if (points.length < 3) for (const [x, v] of points) if (v !== null) frame.marks.append(makeSvg("circle", { cx: x, cy: v, r: 2.5, class: colour }));
      }
    });
    const steps = data.stages.flatMap((stage, s) => stage.steps.map((step, i) => ({ step, s, i, x: frame.X(offsets[s] + step) })));
    addCursor(frame, steps, ({ step, s, i }) => [`${data.stages[s].name} stage, step ${step}`, ...curves.map(({ key, name }) => `${name}: ${data.stages[s][key][i] === null ? "not yet" : significant(data.stages[s][key][i])}`)]);
    const legend = curves.length > 1 ? make("ul", { class: "legend" }, curves.map(({ name, colour }) => make("li", {}, make("i", { class: `chip line-${colour}` }), name))) : null;
    return make("section", { class: "panel" }, make("h3", {}, title), legend ?? "", frame.svg);
  };
  place.append(make("div", { class: "panels four" },
    curveChart("loss (nats)", [{ key: "loss", name: "loss", colour: "c0" }], { low: 0 }),
    curveChart(data.score_axis, [{ key: "argmax_top1", name: "argmax, validation", colour: "c0" }, { key: "train_top1", name: "training batches", colour: "rest" }], { low: 0, high: 100 }),
    curveChart(`latency (${unit})`, [{ key: "argmax_latency", name: "argmax", colour: "c0" }, { key: "sampled_latency", name: "samples, running mean", colour: "rest" }], { budgets: true }),
    curveChart("policy entropy (% of uniform)", [{ key: "entropy", name: "entropy", colour: "c0" }], { low: 0, high: 100 }),
  ));
};

// Charts of a supernet's training and of the trials over it: series of points, as lines or dots.
figures.curves = (place) => {
  const colours = ["c0", "c2", "c1"];
  place.append(make("div", { class: "panels" }, data.curves.map((curve) => {
    const all = curve.series.flatMap((one) => one.points);
    const [xs, ys] = [all.map(([x]) => x), all.map(([, y]) => y)];
    const dots = curve.series.filter((one) => one.dots).flatMap((one) => one.points);
    const errorOf = (top1) => (data.trial_images ? Math.sqrt((top1 * (100 - top1)) / data.trial_images) : 0); // in percent
    ys.push(...dots.flatMap(([, top1]) => [top1 - errorOf(top1), top1 + errorOf(top1)]));
    const room = 0.06 * (Math.max(...ys) - Math.min(...ys) || 1);
    const y = { low: Math.min(...ys) - room, high: Math.max(...ys) + room };
    const frame = chart({ x: { low: 0, high: Math.max(...xs), label: curve.x }, y, height: 200, label: curve.title });
    const inPixels = (error) => Math.abs(frame.Y(error) - frame.Y(0));
    frame.marks.append(makeSvg("path", { d: dots.map(([x, top1]) => errorPath(frame, frame.X(x), frame.Y(top1), inPixels(errorOf(top1)), 0)).join(""), class: "errors" }));
    curve.series.forEach((one, i) => {
      const points = one.points.map(([x, v]) => [frame.X(x), frame.Y(v)]);
      if (one.dots) for (const [cx, cy] of points) frame.marks.append(makeSvg("circle", { cx, cy, r: 1.8, class: "faint-dot" }));
      else frame.marks.append(makeSvg("path", { d: line(points), class: `line ${colours[i % 3]}` }));
    });
    const steps = curve.series[0].points.map(([x], i) => ({ step: x, i, x: frame.X(x) }));
    addCursor(frame, steps, ({ step, i }) => [`${curve.x} ${step}`, ...curve.series.map((one) => `${one.name}: ${significant(one.points[i][1])}`)]);
    const chip = (one, i) => make("i", { class: `chip ${one.dots ? "line-rest" : `line-${colours[i % 3]}`}` });
    return make("section", { class: "panel" }, make("h3", {}, curve.title), make("ul", { class: "legend" }, curve.series.map((one, i) => make("li", {}, chip(one, i), one.name))), frame.svg);
  })));
};

// Gives a chart a cursor that shows its values at the nearest step, by mouse or with the arrow keys; `textsOf` gives the
// texts of a step.
function addCursor(frame, steps, textsOf) {
  if (!steps.length) return;
  let at = steps.length - 1;
  const cursor = makeSvg("line", { y1: frame.top, y2: frame.height - frame.bottom, class: "cursor", visibility: "hidden" });
  frame.svg.append(cursor);
  frame.svg.setAttribute("tabindex", 0);
  frame.svg.setAttribute("role", "img");
  const name = frame.svg.getAttribute("aria-label");
  const show = (number, x, y) => {
    at = number;
    filled(cursor, { x1: steps[at].x, x2: steps[at].x, visibility: "visible" }, []);
    const texts = textsOf(steps[at]);
    frame.svg.setAttribute("aria-label", `${name}; ${texts.join(", ")}`);
    const box = frame.svg.getBoundingClientRect();
    showTip(x ?? box.left + (steps[at].x / frame.width) * box.width, y ?? box.top + box.height / 3, texts);
  };
  const hide = () => {
    cursor.setAttribute("visibility", "hidden");
    hideTip();
  };
  frame.svg.addEventListener("pointermove", (event) => {
    const x = new DOMPoint(event.clientX, event.clientY).matrixTransform(frame.svg.getScreenCTM().inverse()).x;
    const away = steps.map((step) => Math.abs(step.x - x));
    show(away.indexOf(Math.min(...away)), event.clientX, event.clientY);
  });
  frame.svg.addEventListener("pointerleave", hide);
  frame.svg.addEventListener("focus", () => frame.svg.matches(":focus-visible") && show(at));
  frame.svg.addEventListener("blur", hide);
  frame.svg.addEventListener("keydown", (event) => {
    const moves = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: steps.length - 1 };
    if (!(event.key in moves)) return;
    show(Math.min(Math.max(0, moves[event.key]), steps.length - 1));
    event.preventDefault();
  });
}

// One panel per decision: the probability of every option over the steps as stacked areas, and the entropy as a line.
figures.policy = (place) => {
  for (const stage of data.stages.filter((one) => one.decisions.length)) {
    place.append(make("h3", { class: "stage-name" }, `${stage.name} stage`), ...[blockLegend(stage.decisions)].flat(), make("div", { class: "decisions" }, stage.decisions.map((decision, number) => decisionPanel(stage, decision, number))));
  }
};

// Colours of options, by kind: numbers have an order, so shades of one scale; names and pairs have none, so a palette that
// the colour-blind can tell apart (rcartocolor "Safe", after Paul Tol), in which pairs of depthwise kernels of one block are alike.
const CATEGORIES = 12;
const PAIR_CATEGORIES = { "0,0": 11, "0,3": 0, "0,5": 1, "3,0": 2, "5,0": 3, "3,3": 4, "3,5": 5, "5,3": 6, "5,5": 7 };
const isPair = (option) => Array.isArray(option) && String(option) in PAIR_CATEGORIES;
const arePairs = (decision) => decision.name.endsWith(".dw") && decision.options.every(isPair);
const isOrdered = (options) => options.every((option) => typeof option === "number");

// Returns the name of the block with the depthwise kernels `start` and `middle`: "ExtraDW 3+5", "FFN".
const pairName = ([start, middle]) => (start && middle ? `ExtraDW ${start}+${middle}` : start ? `ConvNext ${start}` : middle ? `IB ${middle}` : "FFN");

// Returns an option as text.
function optionText(option, decision) {
  if (arePairs(decision)) return pairName(option);
  return Array.isArray(option) ? option.map((part) => part || "none").join("+") : String(option);
}

// Returns the class of the colour of an option of a decision.
function colourClass(decision, number) {
  if (arePairs(decision)) return `cat${PAIR_CATEGORIES[decision.options[number]]}`;
  if (!isOrdered(decision.options)) return `cat${number % CATEGORIES}`;
  const count = decision.options.length;
  return `shade${count < 2 ? 0 : Math.round((number * (SHADES - 1)) / (count - 1))}`;
}

// Returns the one legend of all decisions between blocks, "" where there is none.
function blockLegend(decisions) {
  const known = new Map(decisions.filter(arePairs).flatMap((decision) => decision.options).map((option) => [String(option), option]));
  if (!known.size) return "";
  const order = [...known.values()].sort((a, b) => Boolean(a[0] && a[1]) - Boolean(b[0] && b[1]) || a[0] - b[0] || a[1] - b[1]);
  const items = order.map((option) => make("li", {}, make("i", { class: `chip cat${PAIR_CATEGORIES[option]}` }), pairName(option)));
  return [make("ul", { class: "legend blocks-legend" }, items), make("p", { class: "soft" }, "FFN has no depthwise convolution, IB one after the expansion, ConvNext one before it, ExtraDW both; the numbers are their kernel sizes.")];
}

// Returns the panel of a decision.
function decisionPanel(stage, decision, number) {
  const probabilities = stage.policy.map((step) => step[number]);
  const options = decision.options.map((option) => optionText(option, decision));
  const last = probabilities.at(-1);
  const best = last.indexOf(Math.max(...last));
  const entropy = (step) => (step.length < 2 ? 0 : sum(step.map((p) => (p > 0 ? -p * Math.log(p) : 0))) / Math.log(step.length));
  const single = stage.steps.length === 1;
  const steps = single ? [0, stage.steps[0]] : stage.steps;
  const over = single ? [probabilities[0], probabilities[0]] : probabilities;
  const frame = chart({
    x: { low: steps[0], high: steps.at(-1) }, y: { low: 0, high: 1, ticks: [0, 1], format: (tick) => (tick ? "100 %" : "0") },
    width: 220, height: 92, left: 36, bottom: 18, top: 6, right: 8, label: decision.name,
  });
  let lower = steps.map(() => 0);
  options.forEach((_, option) => {
    const upper = lower.map((value, i) => value + over[i][option]);
    const up = steps.map((step, i) => `${frame.X(step)} ${frame.Y(upper[i])}`);
    const down = steps.map((step, i) => `${frame.X(step)} ${frame.Y(lower[i])}`).reverse();
    frame.marks.append(makeSvg("path", { d: `M${up.join("L")}L${down.join("L")}Z`, class: `area ${colourClass(decision, option)}` }));
    lower = upper;
  });
  const entropyLine = line(steps.map((step, i) => [frame.X(step), frame.Y(entropy(over[i]))]));
  frame.marks.append(makeSvg("path", { d: entropyLine, class: "line casing" }), makeSvg("path", { d: entropyLine, class: "line entropy" }));
  addCursor(frame, stage.steps.map((step, i) => ({ step, i, x: frame.X(step) })), ({ step, i }) => [
    `${decision.name}, step ${step}`, ...options.map((option, o) => `${option}: ${percent(probabilities[i][o], 0)}`), `entropy ${percent(entropy(probabilities[i]), 0)} of uniform`,
  ]);
  const key = arePairs(decision) ? "" : make("ul", { class: "legend small" }, options.map((option, o) => make("li", {}, make("i", { class: `chip ${colourClass(decision, o)}` }), option)));
  return make("section", { class: "decision" }, make("h4", {}, decision.name), make("p", { class: "soft" }, `${options[best]}: ${percent(last[best], 0)}`), frame.svg, key);
}

// The network found, and where it is there the baseline, on every target: one row each on a logarithmic axis, the fastest first.
figures.devices = (place) => {
  const { baseline } = data;
  const unit = data.targets[0]?.unit;
  const own = data.targets.map((target, number) => ({ target, number, ms: data.latency[0][number], other: baseline === null ? null : data.latency[baseline][number] })).filter((one) => one.target.unit === unit);
  if (!own.length) return;
  own.sort((a, b) => a.ms - b.ms);
  const width = wideScreen() ? 560 : 360;
  const left = 146;
  const x = latencyAxis(own.flatMap(({ ms, other }) => (other === null ? [ms] : [ms, other])), 0.04, `predicted latency (${unit})`);
  const y = { low: own.length - 0.5, high: -0.5, ticks: [] };
  const frame = chart({ x, y, width, height: 44 + 17 * own.length, left, right: 110, label: "predicted latency on every target" });
  own.forEach(({ target, number, ms, other }, i) => {
    const [px, py] = [frame.X(ms), frame.Y(i)];
    const kind = number ? "rest" : "c0";
    const name = withBatch(target);
    const row = makeSvg("g", { class: `device-row ${kind}` });
    row.append(makeSvg("line", { x1: left, x2: px, y1: py, y2: py, class: "stem" }), makeSvg("path", { d: markPath(0, number ? 3.6 : 5), transform: `translate(${px} ${py})`, class: "dot-mark" }),
      makeSvg("text", { x: left - 6, y: py + 4, "text-anchor": "end", class: number ? "" : "strong" }, shortened(name, 24)), makeSvg("text", { x: width - 2, y: py + 4, "text-anchor": "end", class: number ? "" : "strong" }, withError(ms, number)));
    if (other !== null) row.append(makeSvg("path", { d: `M${frame.X(other)} ${py - 6}V${py + 6}`, class: "other" }));
    frame.marks.append(addTooltip(row, [name, withError(ms, number), other === null ? null : `${data.networks[baseline].name}: ${inUnit(other, unit)}, ${signed(ms / other - 1)}`].filter((text) => text)));
  });
  place.append(frame.svg);
};

const shortened = (text, longest) => (text.length > longest ? `${text.slice(0, longest - 1)}\u2026` : text);
