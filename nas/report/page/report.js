// What only the report of a run shows: its progress, and what the controller preferred.
const SHADES = 8;

// Lines over the steps of all stages: one small chart per quantity.
figures.progress = (place) => {
  const offsets = [];
  let end = 0;
  for (const stage of data.stages) {
    offsets.push(end);
    end += stage.steps.at(-1);
  }
  const unit = data.stages[0].unit;
  const one = (title, lines, options = {}) => {
    const values = lines.flatMap((line) => data.stages.flatMap((stage) => stage[line.key] ?? []).filter((value) => value !== null));
    const goals = options.goals ? data.stages.map((stage) => stage.wanted).filter((value) => value !== null) : [];
    const all = [...values, ...goals];
    const [least, most] = [options.low ?? Math.min(...all), options.high ?? Math.max(...all)];
    const room = 0.06 * (most - least || 1);
    const y = { low: options.low ?? least - room, high: options.high ?? most + room };
    const frame = chart({ x: { low: 0, high: end || 1, label: "steps of the search" }, y, height: 200, label: title });
    data.stages.forEach((stage, s) => {
      const X = (step) => frame.X(offsets[s] + step);
      frame.marks.append(draw("line", { x1: X(0), x2: X(0), y1: frame.top, y2: frame.height - frame.bottom, class: "guide" }));
      frame.marks.append(draw("text", { x: X(0) + 4, y: frame.height - frame.bottom - 5, class: "axis" }, stage.name));
      if (options.goals && stage.wanted !== null) frame.marks.append(draw("line", { x1: X(0), x2: X(stage.steps.at(-1)), y1: frame.Y(stage.wanted), y2: frame.Y(stage.wanted), class: "wanted" }));
      for (const { key, colour } of lines) {
        const points = stage.steps.map((step, i) => [X(step), stage[key][i] === null ? null : frame.Y(stage[key][i])]);
        frame.marks.append(draw("path", { d: line(points), class: `line ${colour}` }));
        if (points.length < 3) for (const [x, v] of points) if (v !== null) frame.marks.append(draw("circle", { cx: x, cy: v, r: 2.5, class: colour }));
      }
    });
    const steps = data.stages.flatMap((stage, s) => stage.steps.map((step, i) => ({ step, s, i, x: frame.X(offsets[s] + step) })));
    reader(frame, steps, ({ step, s, i }) => [`${data.stages[s].name} stage, step ${step}`, ...lines.map(({ key, name }) => `${name}: ${data.stages[s][key][i] === null ? "not yet" : significant(data.stages[s][key][i])}`)]);
    const legend = lines.length > 1 ? make("ul", { class: "legend" }, lines.map(({ name, colour }) => make("li", {}, make("i", { class: `chip line-${colour}` }), name))) : null;
    return make("section", { class: "panel" }, make("h3", {}, title), legend ?? "", frame.svg);
  };
  place.append(make("div", { class: "panels four" },
    one("loss (nats)", [{ key: "loss", name: "loss", colour: "c0" }], { low: 0 }),
    one("top-1 (%)", [{ key: "best", name: "best guess, held out", colour: "c0" }, { key: "batch", name: "training batches", colour: "rest" }], { low: 0, high: 100 }),
    one(`latency (${unit})`, [{ key: "latency", name: "best guess", colour: "c0" }, { key: "sampled", name: "samples, running mean", colour: "rest" }], { goals: true }),
    one("policy entropy (% of uniform)", [{ key: "entropy", name: "entropy", colour: "c0" }], { low: 0, high: 100 }),
  ));
};

// Charts of series of points, as lines or dots.
figures.courses = (place) => {
  const colours = ["c0", "c2", "c1"];
  place.append(make("div", { class: "panels" }, data.courses.map((course) => {
    const all = course.series.flatMap((one) => one.points);
    const [xs, ys] = [all.map(([x]) => x), all.map(([, y]) => y)];
    const room = 0.06 * (Math.max(...ys) - Math.min(...ys) || 1);
    const y = { low: Math.min(...ys) - room, high: Math.max(...ys) + room };
    const frame = chart({ x: { low: 0, high: Math.max(...xs), label: course.x }, y, height: 200, label: course.title });
    course.series.forEach((one, i) => {
      const points = one.points.map(([x, v]) => [frame.X(x), frame.Y(v)]);
      if (one.dots) for (const [cx, cy] of points) frame.marks.append(draw("circle", { cx, cy, r: 1.8, class: "ground" }));
      else frame.marks.append(draw("path", { d: line(points), class: `line ${colours[i % 3]}` }));
    });
    const steps = course.series[0].points.map(([x], i) => ({ step: x, i, x: frame.X(x) }));
    reader(frame, steps, ({ step, i }) => [`${course.x} ${step}`, ...course.series.map((one) => `${one.name}: ${significant(one.points[i][1])}`)]);
    const chip = (one, i) => make("i", { class: `chip ${one.dots ? "line-rest" : `line-${colours[i % 3]}`}` });
    return make("section", { class: "panel" }, make("h3", {}, course.title), make("ul", { class: "legend" }, course.series.map((one, i) => make("li", {}, chip(one, i), one.name))), frame.svg);
  })));
};

// A chart that tells its values at the nearest step, by mouse or with the arrow keys.
function reader(frame, steps, lines) {
  if (!steps.length) return;
  let at = steps.length - 1;
  const cursor = draw("line", { y1: frame.top, y2: frame.height - frame.bottom, class: "cursor", visibility: "hidden" });
  frame.svg.append(cursor);
  frame.svg.setAttribute("tabindex", 0);
  frame.svg.setAttribute("role", "img");
  const name = frame.svg.getAttribute("aria-label");
  const show = (number, x, y) => {
    at = number;
    filled(cursor, { x1: steps[at].x, x2: steps[at].x, visibility: "visible" }, []);
    const said = lines(steps[at]);
    frame.svg.setAttribute("aria-label", `${name}; ${said.join(", ")}`);
    const box = frame.svg.getBoundingClientRect();
    showTip(x ?? box.left + (steps[at].x / frame.width) * box.width, y ?? box.top + box.height / 3, said);
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
figures.choices = (place) => {
  for (const stage of data.stages.filter((one) => one.decisions.length)) {
    place.append(make("h3", { class: "stage-name" }, `${stage.name} stage`), make("div", { class: "decisions" }, stage.decisions.map((decision, number) => decisionPanel(stage, decision, number))));
  }
};

const optionText = (option) => (Array.isArray(option) ? option.map((part) => part || "none").join("+") : String(option));
const shadeOf = (option, count) => `shade${count < 2 ? 0 : Math.round((option * (SHADES - 1)) / (count - 1))}`;

function decisionPanel(stage, decision, number) {
  const odds = stage.policy.map((step) => step[number]);
  const options = decision.options.map(optionText);
  const last = odds.at(-1);
  const best = last.indexOf(Math.max(...last));
  const entropy = (step) => (step.length < 2 ? 0 : sum(step.map((p) => (p > 0 ? -p * Math.log(p) : 0))) / Math.log(step.length));
  const single = stage.steps.length === 1;
  const steps = single ? [0, stage.steps[0]] : stage.steps;
  const over = single ? [odds[0], odds[0]] : odds;
  const frame = chart({
    x: { low: steps[0], high: steps.at(-1) }, y: { low: 0, high: 1, ticks: [0, 1], format: (tick) => (tick ? "100 %" : "0") },
    width: 220, height: 92, left: 36, bottom: 18, top: 6, right: 8, label: decision.name,
  });
  let floor = steps.map(() => 0);
  options.forEach((_, option) => {
    const roof = floor.map((value, i) => value + over[i][option]);
    const up = steps.map((step, i) => `${frame.X(step)} ${frame.Y(roof[i])}`);
    const down = steps.map((step, i) => `${frame.X(step)} ${frame.Y(floor[i])}`).reverse();
    frame.marks.append(draw("path", { d: `M${up.join("L")}L${down.join("L")}Z`, class: shadeOf(option, options.length) }));
    floor = roof;
  });
  const unsure = line(steps.map((step, i) => [frame.X(step), frame.Y(entropy(over[i]))]));
  frame.marks.append(draw("path", { d: unsure, class: "line casing" }), draw("path", { d: unsure, class: "line entropy" }));
  reader(frame, stage.steps.map((step, i) => ({ step, i, x: frame.X(step) })), ({ step, i }) => [
    `${decision.name}, step ${step}`, ...options.map((option, o) => `${option}: ${percent(odds[i][o], 0)}`), `entropy ${percent(entropy(odds[i]), 0)} of uniform`,
  ]);
  const key = make("ul", { class: "legend small" }, options.map((option, o) => make("li", {}, make("i", { class: `chip ${shadeOf(o, options.length)}` }), option)));
  return make("section", { class: "decision" }, make("h4", {}, decision.name), make("p", { class: "soft" }, `${options[best]}: ${percent(last[best], 0)}`), frame.svg, key);
}
