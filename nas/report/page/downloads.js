// What can be saved from a page, without a server: tables as CSV, the plot as PNG and PDF, architectures as JSON.
const STYLES = ["fill", "fill-opacity", "stroke", "stroke-opacity", "stroke-width", "stroke-dasharray", "font-size", "font-weight", "text-anchor"];
const FONT = 'system-ui, "Segoe UI", Roboto, "Liberation Sans", sans-serif';
const SCALE = 3; // px of a PNG per px of the plot
const CELL = { width: 340, gap: 26, head: 24, edge: 18 }; // px, of a panel in a saved plot

// Offers a file to be saved; `name` loses all characters that file systems do not share.
function save(name, content) {
  const link = make("a", { download: name.replace(/[^A-Za-z0-9._-]+/g, "-"), href: URL.createObjectURL(content) });
  document.body.append(link);
  link.click();
  link.remove();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

const downloadSpec = (arch, name) => save(`${name}.json`, new Blob([`${JSON.stringify({ ...arch.spec, name }, null, 1)}\n`], { type: "application/json" }));

// Returns rows as CSV; text that a spreadsheet would take for a formula gets an apostrophe in front.
function csvOf(rows) {
  const cell = (value) => {
    if (value === null || value === undefined) return "";
    const text = typeof value === "string" && /^[=+\-@\t\r]/.test(value) ? `'${value}` : String(value);
    return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
  };
  return rows.map((row) => `${row.map(cell).join(",")}\n`).join("");
}

// Returns the networks of the page as rows: what is known of each on every chosen target.
function networkRows() {
  const head = ["network", "from", "digest", "target", "latency", "latency_unit", "top1", "standard_error", "accuracy_kind", "macs", "params", "on_front", "within_noise", "latency_error"];
  const rows = chosenTargets().flatMap((target) => data.networks.map((network, number) => {
    const arch = data.archs[network.arch];
    return [network.name, network.item, arch.digest, data.targets[target].name, data.latency[number][target], data.targets[target].unit, network.top1, hasAccuracy(network) ? network.standard_error : null,
      data.kinds[network.kind] ?? "", arch.macs, arch.params, data.fronts[target].includes(number), data.within_noise[target].includes(number), network.errors[target]];
  }));
  return [head, ...rows];
}

// Returns a copy of an SVG element with the styles that it has on white paper as attributes.
function styledCopy(svg) {
  const copy = svg.cloneNode(true);
  document.documentElement.classList.add("white");
  const originals = [...svg.querySelectorAll("*")];
  const copies = [...copy.querySelectorAll("*")];
  originals.forEach((node, i) => {
    const style = getComputedStyle(node);
    for (const name of STYLES) copies[i].setAttribute(name, style.getPropertyValue(name));
  });
  document.documentElement.classList.remove("white");
  copies.forEach((node) => node.getAttribute("class") === "halo" && node.remove());
  for (const node of copies) for (const name of node.getAttributeNames()) if (/^(class|role|tabindex|aria-.*|data-.*|style)$/.test(name)) node.removeAttribute(name);
  return copy;
}

// Returns a text of a saved plot.
const label = (text, x, y, size, colour = "rgb(90, 96, 102)", weight = 400) => makeSvg("text", { x, y, "font-size": `${size}px`, "font-weight": weight, fill: colour }, text);

// Returns the panels of accuracy against latency as one drawing on white: { svg, width, height }.
function plotDrawing() {
  const place = document.querySelector('[data-figure="panels"]');
  const panels = [...place.querySelectorAll(".panel")].map((panel) => ({ name: panel.querySelector("h3").textContent, svg: panel.querySelector("svg.chart") }));
  const across = Math.min(3, panels.length) || 1;
  const cell = Math.max(CELL.width, ...panels.map((panel) => panel.svg.viewBox.baseVal.width));
  const width = 2 * CELL.edge + across * cell + (across - 1) * CELL.gap;
  const svg = makeSvg("svg", { xmlns: "http://www.w3.org/2000/svg" });
  let y = CELL.edge + 14;
  svg.append(label(fitted(document.title, width - 2 * CELL.edge, 16), CELL.edge, y, 16, "rgb(27, 29, 31)", 650));
  if (data.kinds[state.kind]) svg.append(label(fitted(`Accuracy: ${data.kinds[state.kind]}`, width - 2 * CELL.edge, 11), CELL.edge, (y += 18), 11));
  y = addLegend(svg, place.querySelector(".legend"), y + 18, width) + 10;
  for (let row = 0; row < panels.length; row += across) {
    const part = panels.slice(row, row + across);
    const heights = part.map((panel) => panel.svg.viewBox.baseVal.height);
    part.forEach((panel, i) => {
      const x = CELL.edge + i * (cell + CELL.gap);
      const copy = styledCopy(panel.svg);
      svg.append(label(panel.name, x, y + 12, 13, "rgb(27, 29, 31)", 600), makeSvg("g", { transform: `translate(${x} ${y + CELL.head})` }, ...copy.childNodes));
    });
    y += CELL.head + Math.max(...heights) + 12;
  }
  const height = Math.ceil(y + CELL.edge - 10);
  filled(svg, { width, height, viewBox: `0 0 ${width} ${height}`, "font-family": FONT }, []);
  svg.prepend(makeSvg("rect", { x: 0, y: 0, width, height, fill: "rgb(255, 255, 255)" }));
  return { svg, width, height };
}

// Returns a text that is at most `width` px wide, its end left out where it is longer.
function fitted(text, width, size) {
  if (widthOf(text, size) <= width) return text;
  let kept = text;
  while (kept && widthOf(`${kept}\u2026`, size) > width) kept = kept.slice(0, -1);
  return `${kept}\u2026`;
}

// Adds the entries of a legend to a drawing, in lines; returns where the last line ends.
function addLegend(svg, legend, y, width) {
  let x = CELL.edge;
  for (const item of legend.children) {
    const size = 25 + widthOf(item.textContent, 11) * 1.08;
    if (x > CELL.edge && x + size > width - CELL.edge) [x, y] = [CELL.edge, y + 17];
    const mark = item.querySelector("svg");
    const colour = mark ? "rgb(27, 29, 31)" : getComputedStyle(item).color;
    if (mark) svg.append(makeSvg("g", { transform: `translate(${x + 8} ${y - 4})` }, ...styledCopy(mark).childNodes));
    svg.append(label(fitted(item.textContent, width - 2 * CELL.edge - 25, 11), x + (mark ? 19 : 0), y, 11, colour));
    x += size + 10;
  }
  return y;
}

function downloadPng() {
  const { svg, width, height } = plotDrawing();
  const image = new Image();
  image.addEventListener("load", () => {
    const canvas = make("canvas", { width: SCALE * width, height: SCALE * height });
    canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
    canvas.toBlob((blob) => save(`${document.title}.png`, blob), "image/png");
  });
  image.src = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(new XMLSerializer().serializeToString(svg))}`;
}

function downloadPdf() {
  const { svg, width, height } = plotDrawing();
  const bytes = Uint8Array.from(pdfOf(svg, width, height, document.title), (letter) => letter.charCodeAt(0));
  save(`${document.title}.pdf`, new Blob([bytes], { type: "application/pdf" }));
}

const csvBlob = (text) => new Blob([text], { type: "text/csv" });

figures.downloads = (place) => {
  const button = (text, title, act, name) => make("button", { type: "button", title, onclick: act, "data-download": name }, text);
  const hasPlot = document.querySelector('[data-figure="panels"]');
  place.append(make("div", { class: "toolbar" }, make("span", {}, "Save"),
    hasPlot ? [button("plot, PNG", "the plot of accuracy against latency as it is shown, on white", downloadPng, "png"), button("plot, PDF", "the same as vectors", downloadPdf, "pdf")] : null,
    button("networks, CSV", "the networks of the plot on the chosen targets", () => save(`${document.title}.csv`, csvBlob(csvOf(networkRows()))), "csv"),
    Object.entries(data.files ?? {}).map(([name, text]) => button(name, "the file of this name beside the page", () => save(name, csvBlob(text)), name)),
    button("print page", "the page without controls: paper, or a PDF", () => window.print(), "print")));
};
