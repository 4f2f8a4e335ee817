// Axes, marks and points that answer to mouse and keyboard.
const MARKS = 5;

const plain = (tick) => tick.toLocaleString("en", { maximumFractionDigits: 6 });

// Returns up to seven round numbers between `low` and `high`.
function ticks(low, high, log) {
  if (!log || high / low < 3) {
    const rough = (high - low) / 6;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].find((factor) => factor * power >= rough) * power;
    const found = [];
    for (let i = Math.ceil(low / step - 1e-9); i * step <= high + 1e-9 * step; i++) found.push(Number((i * step).toPrecision(8)));
    return found;
  }
  for (const digits of [[1, 1.5, 2, 3, 5, 7], [1, 2, 5], [1, 3], [1]]) {
    const found = [];
    for (let decade = Math.floor(Math.log10(low)); decade <= Math.ceil(Math.log10(high)); decade++) {
      for (const digit of digits) found.push(Number((digit * 10 ** decade).toPrecision(6)));
    }
    const inside = found.filter((tick) => tick >= low && tick <= high);
    if (inside.length <= 6) return inside;
  }
  return [];
}

// Returns an empty chart: { svg, marks, X, Y } and its sizes; X and Y map values to px. `x` and `y` are axes: { low, high,
// log, label, format, ticks }; `drop` px lie between the x axis and its numbers.
function chart({ width = 340, height = 236, left = 42, right = 10, top = 8, bottom = 38, drop = 0, x, y, label }) {
  const scale = (axis, from, to) => {
    const transform = axis.log ? Math.log : (value) => value;
    const [low, high] = [transform(axis.low), transform(axis.high)];
    return (value) => from + ((transform(value) - low) / (high - low || 1)) * (to - from);
  };
  const X = scale(x, left, width - right);
  const Y = scale(y, height - bottom, top);
  const svg = makeSvg("svg", { viewBox: `0 0 ${width} ${height}`, class: "chart", role: "group", "aria-label": label });
  const grid = makeSvg("g", { class: "grid", "aria-hidden": "true" });
  for (const tick of x.ticks ?? ticks(x.low, x.high, x.log)) {
    grid.append(
      makeSvg("line", { x1: X(tick), x2: X(tick), y1: top, y2: height - bottom }),
      makeSvg("text", { x: X(tick), y: height - bottom + 14 + drop, "text-anchor": "middle" }, (x.format ?? plain)(tick)),
    );
  }
  for (const tick of y.ticks ?? ticks(y.low, y.high, y.log)) {
    grid.append(
      makeSvg("line", { x1: left, x2: width - right, y1: Y(tick), y2: Y(tick) }),
      makeSvg("text", { x: left - 6, y: Y(tick) + 4, "text-anchor": "end" }, (y.format ?? plain)(tick)),
    );
  }
  if (x.label) grid.append(makeSvg("text", { x: (left + width - right) / 2, y: height - 6, "text-anchor": "middle" }, x.label));
  const marks = makeSvg("g", {});
  svg.append(grid, marks);
  return { svg, marks, X, Y, width, height, left, right, top, bottom };
}

// Returns the path of a marker: circle, square, triangle, diamond or triangle downwards.
function markPath(number, size) {
  const [s, b] = [size, 0.5523 * size]; // a circle is four curves, which a PDF has too
  return [
    `M${-s} 0C${-s} ${-b} ${-b} ${-s} 0 ${-s}C${b} ${-s} ${s} ${-b} ${s} 0C${s} ${b} ${b} ${s} 0 ${s}C${-b} ${s} ${-s} ${b} ${-s} 0Z`,
    `M${-s * 0.9} ${-s * 0.9}H${s * 0.9}V${s * 0.9}H${-s * 0.9}Z`,
    `M0 ${-s * 1.2}L${s * 1.1} ${s * 0.9}H${-s * 1.1}Z`,
    `M0 ${-s * 1.3}L${s * 1.3} 0L0 ${s * 1.3}L${-s * 1.3} 0Z`,
    `M${-s * 1.1} ${-s * 0.9}H${s * 1.1}L0 ${s * 1.2}Z`,
  ][number % MARKS];
}

// Returns the path of a step line through points: y holds until the next x.
function stairs(points) {
  return points.map(([x, y], i) => (i ? `H${x}V${y}` : `M${x} ${y}`)).join("");
}

// Returns the path of a line through points, with gaps where y is null.
function line(points) {
  let pen = "M";
  let path = "";
  for (const [x, y] of points) {
    if (y === null || Number.isNaN(y)) {
      pen = "M";
      continue;
    }
    path += `${pen}${x.toFixed(2)} ${y.toFixed(2)}`;
    pen = "L";
  }
  return path;
}

// Makes points of a chart buttons: one stop for Tab, arrow keys between them, Enter or a click chooses.
// Each is { x, y, node, label, tooltip, choose }; `node` is an SVG element that is in the chart already.
function interactive(svg, points) {
  const ordered = [...points].sort((a, b) => a.x - b.x || b.y - a.y);
  ordered.forEach((point, i) => {
    filled(point.node, { role: "button", tabindex: i ? -1 : 0, "aria-label": point.label, "data-point": i }, []);
    point.node.classList.add("point");
    point.node.addEventListener("focus", () => {
      for (const other of ordered) other.node.setAttribute("tabindex", other === point ? 0 : -1);
      showFocused(point.node, (box) => box.right, point.tooltip);
    });
    point.node.addEventListener("blur", hideTip);
  });
  svg.addEventListener("keydown", (event) => {
    const at = ordered.findIndex((point) => point.node === document.activeElement);
    if (at < 0) return;
    const last = ordered.length - 1;
    const moves = { ArrowRight: at + 1, ArrowUp: at + 1, ArrowLeft: at - 1, ArrowDown: at - 1, Home: 0, End: last };
    if (event.key in moves) {
      ordered[Math.min(Math.max(0, moves[event.key]), last)].node.focus();
      event.preventDefault();
    } else if (event.key === "Enter" || event.key === " ") {
      ordered[at].choose();
      event.preventDefault();
    }
  });
  let near = null;
  const nearest = (event) => {
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    let [best, distance] = [null, 20];
    for (const point of ordered) {
      const away = Math.hypot(point.x - at.x, point.y - at.y);
      if (away < distance) [best, distance] = [point, away];
    }
    return best;
  };
  const leave = () => {
    near?.node.classList.remove("near");
    near = null;
    hideTip();
  };
  svg.addEventListener("pointermove", (event) => {
    const found = nearest(event);
    if (found !== near) leave();
    near = found;
    svg.style.cursor = found ? "pointer" : "";
    if (!found) return;
    found.node.classList.add("near");
    showTip(event.clientX, event.clientY, found.tooltip);
  });
  svg.addEventListener("pointerleave", leave);
  svg.addEventListener("click", (event) => nearest(event)?.choose());
}
