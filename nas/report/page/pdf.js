// A one-page PDF of an SVG drawing: lines, paths of straight lines and cubic curves, circles, text in Helvetica.
// PDF 1.4: opensource.adobe.com/dc-acrobat-sdk-docs/pdfstandards/pdfreference1.4.pdf
const POINTS = 0.75; // of 1/72 inch, in a CSS px
const CIRCLE = 0.5523; // of the radius: where a curve's control points lie for a quarter of a circle
// Widths of the characters 32 to 126 of Helvetica in 1/1000 of its size, from Adobe's font metrics.
const WIDTHS = [278, 278, 355, 556, 556, 889, 667, 191, 333, 333, 389, 584, 278, 333, 278, 278, 556, 556, 556, 556, 556, 556, 556, 556, 556, 556, 278, 278, 584, 584, 584, 556, 1015,
  667, 667, 722, 722, 667, 611, 778, 722, 278, 500, 667, 556, 833, 722, 778, 667, 778, 722, 667, 611, 722, 667, 944, 667, 667, 611, 278, 278, 278, 469, 556, 333,
  556, 556, 500, 556, 556, 278, 556, 556, 222, 222, 500, 222, 833, 556, 556, 556, 556, 333, 500, 278, 556, 500, 722, 500, 500, 500, 334, 260, 334, 584];
const WIN_ANSI = { "\u2026": 0x85, "\u2013": 0x96, "\u2212": 0x2d, "\u2018": 0x91, "\u2019": 0x92, "\u2022": 0x95 };

const short = (value) => String(Number(value.toFixed(3)));

// Returns the codes of a text in the encoding of the font, "?" for what it lacks.
const codesOf = (text) => [...text].map((letter) => {
  const code = letter.codePointAt(0);
  return (code >= 32 && code < 127) || (code > 160 && code < 256) ? code : WIN_ANSI[letter] ?? 63;
});
const widthOf = (text, size) => (size * sum(codesOf(text).map((code) => WIDTHS[code - 32] ?? 556))) / 1000;
const hexOf = (codes) => `<${codes.map((code) => code.toString(16).padStart(2, "0")).join("")}>`;

// Returns red, green and blue from 0 to 1 and the opacity of a computed colour; null for none.
function colourOf(text, opacity) {
  const parts = /^rgba?\(([^)]+)\)$/.exec(text)?.[1].split(/[ ,/]+/).map(Number);
  const alpha = (parts?.[3] ?? 1) * Number(opacity ?? 1);
  return parts && alpha > 0 ? { rgb: parts.slice(0, 3).map((part) => short(part / 255)).join(" "), alpha } : null;
}

// Returns the drawing operators of a path of M, L, H, V, C and Z, all absolute.
function pathOperators(path) {
  let [x, y] = [0, 0];
  const found = [];
  for (const [, command, rest] of path.matchAll(/([MLHVCZ])([^MLHVCZ]*)/g)) {
    const values = (rest.match(/-?[\d.]+(?:e-?\d+)?/g) ?? []).map(Number);
    if (command === "Z") found.push("h");
    else if (command === "C") {
      for (let i = 0; i + 6 <= values.length; i += 6) found.push(`${values.slice(i, i + 6).map(short).join(" ")} c`);
      [x, y] = values.slice(-2);
    } else {
      if (command === "H") [x] = values;
      else if (command === "V") [y] = values;
      else [x, y] = values;
      found.push(`${short(x)} ${short(y)} ${command === "M" ? "m" : "l"}`);
    }
  }
  return found.join(" ");
}

function circleOperators(x, y, r) {
  const c = CIRCLE * r;
  return pathOperators(`M${x - r} ${y}C${x - r} ${y - c} ${x - c} ${y - r} ${x} ${y - r}C${x + c} ${y - r} ${x + r} ${y - c} ${x + r} ${y}C${x + r} ${y + c} ${x + c} ${y + r} ${x} ${y + r}C${x - c} ${y + r} ${x - r} ${y + c} ${x - r} ${y}Z`);
}

// Returns the page's content stream for a drawing whose elements carry their styles as attributes; adds the opacities it
// uses to `opacities`.
function contentOf(node, opacities) {
  const value = (name) => Number(node.getAttribute(name) ?? 0);
  const graphics = (alpha) => {
    if (!opacities.includes(alpha)) opacities.push(alpha);
    return `/G${opacities.indexOf(alpha)} gs`;
  };
  const inner = () => [...node.children].map((child) => contentOf(child, opacities)).join("\n");
  const shape = { line: () => `${short(value("x1"))} ${short(value("y1"))} m ${short(value("x2"))} ${short(value("y2"))} l`, path: () => pathOperators(node.getAttribute("d")),
    circle: () => circleOperators(value("cx"), value("cy"), value("r")), rect: () => `${short(value("x"))} ${short(value("y"))} ${short(value("width"))} ${short(value("height"))} re` }[node.tagName];
  if (shape) {
    const fill = node.tagName === "line" ? null : colourOf(node.getAttribute("fill"), node.getAttribute("fill-opacity"));
    const stroke = colourOf(node.getAttribute("stroke"), node.getAttribute("stroke-opacity"));
    const drawn = [];
    const dashes = (node.getAttribute("stroke-dasharray") ?? "").match(/[\d.]+/g) ?? [];
    const outline = shape();
    if (!outline) return "";
    if (fill) drawn.push(`q ${graphics(fill.alpha)} ${fill.rgb} rg ${outline} f Q`);
    if (stroke) drawn.push(`q ${graphics(stroke.alpha)} ${stroke.rgb} RG ${short(parseFloat(node.getAttribute("stroke-width") ?? 1))} w [${dashes.join(" ")}] 0 d ${outline} S Q`);
    return drawn.join("\n");
  }
  if (node.tagName === "text") {
    const size = parseFloat(node.getAttribute("font-size"));
    const fill = colourOf(node.getAttribute("fill"), 1);
    const bold = Number(node.getAttribute("font-weight")) >= 600;
    const shift = { middle: 0.5, end: 1 }[node.getAttribute("text-anchor")] ?? 0;
    const x = value("x") - shift * widthOf(node.textContent, size) * (bold ? 1.06 : 1);
    return fill ? `BT ${graphics(1)} /F${bold ? 2 : 1} ${short(size)} Tf ${fill.rgb} rg 1 0 0 -1 ${short(x)} ${short(value("y"))} Tm ${hexOf(codesOf(node.textContent))} Tj ET` : "";
  }
  const moved = /translate\(([-\d.e]+)[ ,]+([-\d.e]+)\)/.exec(node.getAttribute("transform") ?? "");
  return moved ? `q 1 0 0 1 ${short(Number(moved[1]))} ${short(Number(moved[2]))} cm\n${inner()}\nQ` : inner();
}

// Returns the PDF as a text of characters below 256, from a drawing of `width` x `height` px.
function pdfOf(drawing, width, height, title) {
  const opacities = [1];
  const content = `${POINTS} 0 0 ${-POINTS} 0 ${short(height * POINTS)} cm\n${contentOf(drawing, opacities)}`;
  const states = opacities.map((alpha, i) => `/G${i} << /ca ${short(alpha)} /CA ${short(alpha)} >>`).join(" ");
  const font = (name) => `<< /Type /Font /Subtype /Type1 /BaseFont /${name} /Encoding /WinAnsiEncoding >>`;
  const units = [...title].flatMap((letter) => letter.split("")).flatMap((unit) => [unit.charCodeAt(0) >> 8, unit.charCodeAt(0) & 255]);
  const objects = [
    "<< /Type /Catalog /Pages 2 0 R >>",
    "<< /Type /Pages /Kids [3 0 R] /Count 1 >>",
    `<< /Type /Page /Parent 2 0 R /MediaBox [0 0 ${short(width * POINTS)} ${short(height * POINTS)}] /Contents 6 0 R /Resources << /Font << /F1 4 0 R /F2 5 0 R >> /ExtGState << ${states} >> >> >>`,
    font("Helvetica"),
    font("Helvetica-Bold"),
    `<< /Length ${content.length} >>\nstream\n${content}\nendstream`,
    `<< /Title ${hexOf([254, 255, ...units])} >>`,
  ];
  let text = "%PDF-1.4\n";
  const places = objects.map((body, i) => {
    const at = text.length;
    text += `${i + 1} 0 obj\n${body}\nendobj\n`;
    return `${String(at).padStart(10, "0")} 00000 n \n`;
  });
  return `${text}xref\n0 ${objects.length + 1}\n0000000000 65535 f \n${places.join("")}trailer\n<< /Size ${objects.length + 1} /Root 1 0 R /Info 7 0 R >>\nstartxref\n${text.length}\n%%EOF\n`;
}
