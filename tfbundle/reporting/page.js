"use strict";
(() => {
  const PAGE_ROWS = 200;
  const NEAR = 32; // binades: an edge of the target's range that is farther from the values is not drawn
  const NAMESPACE = document.querySelector("svg").namespaceURI;
  const ZONES = ["zero", "subnormal", "normal", "overflow"];
  const LABELS = { zero: "becomes zero", subnormal: "subnormal", normal: "normal", overflow: "overflow", plain: "values" };
  const byId = (id) => document.getElementById(id);
  const [table, filter, order, direction, more] = ["tensors", "filter", "order", "direction", "more"].map(byId);

  // ---- the data: rows of values become objects

  const data = JSON.parse(byId("data").textContent);
  const read = (fields, values) => values && Object.fromEntries(fields.map((field, at) => [field, values[at]]));
  const tensors = data.tensors.map((row) => {
    const tensor = read(data.fields, row);
    tensor.stats = read(data.stats, tensor.stats);
    tensor.deviation = read(data.deviation, tensor.deviation);
    tensor.search = `${tensor.name}\n${tensor.target_name ?? ""}`.toLowerCase();
    return tensor;
  });
  const floatOf = (value) => (value === undefined || value === null ? null : Number(value)); // "NaN", "Infinity" too

  // ---- numbers as people read them

  const formatCount = (count) => count.toLocaleString("en-US");
  const formatTensors = (count) => `${formatCount(count)} ${count === 1 ? "tensor" : "tensors"}`;
  const trimZeros = (text) => text.replace(/\.?0+$/, "");
  function formatFloat(value) {
    if (!Number.isFinite(value)) return Number.isNaN(value) ? "NaN" : value < 0 ? "-inf" : "inf";
    if (value === 0) return "0";
    const magnitude = Math.abs(value);
    if (magnitude >= 1e-3 && magnitude < 99999.5) {
      return String(Number(value.toPrecision(5)));
    }
    const [digits, exponent] = value.toExponential(3).split("e");
    return `${trimZeros(digits)}e${Number(exponent)}`;
  }
  function formatBytes(nbytes) {
    if (nbytes < 1000) return `${nbytes} B`;
    let unit = -1;
    do { nbytes /= 1000; unit += 1; } while (nbytes >= 999.95 && unit < 3);
    return `${nbytes.toFixed(1)} ${["kB", "MB", "GB", "TB"][unit]}`;
  }
  const formatPower = (exponent) => "2" + String(exponent).replace(/./g, (digit) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(digit)]);

  // ---- building the document: text only, never markup

  function make(tag, properties = {}, ...children) {
    const node = document.createElement(tag);
    for (const [name, value] of Object.entries(properties)) {
      if (name === "text") node.textContent = value;
      else if (value !== null) node.setAttribute(name, value);
    }
    node.append(...children);
    return node;
  }
  const drawBox = (name, x, bottom, width, height) => draw("rect", { class: name, x, y: bottom - height, width, height });
  /** Draw a power with its exponent raised, which stays legible where superscript digits do not. */
  function drawPower(properties, base, exponent) {
    const text = draw("text", properties, base);
    text.append(draw("tspan", { dy: -4.5, "font-size": "9.5px" }, String(exponent).replace("-", "−")));
    return text;
  }
  function draw(tag, properties = {}, text = null) {
    const node = document.createElementNS(NAMESPACE, tag);
    for (const [name, value] of Object.entries(properties)) node.setAttribute(name, value);
    if (text !== null) node.textContent = text;
    return node;
  }

  // ---- histograms of binary exponents

  /** Tell what the target dtype makes of values in [2^exponent, 2^(exponent + 1)). */
  function zoneOf(exponent, range) {
    if (!range) return "plain";
    if (exponent < range.zero_below) return "zero";
    if (exponent < range.subnormal_below) return "subnormal";
    return exponent < range.overflow_from ? "normal" : "overflow";
  }
  /** Return the exponents to draw, [from, to): those of the values, and the edges of the range that are near. */
  function spanOf(first, counts, range) {
    let [from, to] = [first - 1, first + counts.length + 1];
    const edges = range ? [range.zero_below, range.subnormal_below, range.overflow_from] : [];
    for (const edge of edges.filter((edge) => edge > first - NEAR && edge < first + counts.length + NEAR)) {
      from = Math.min(from, edge - 3);
      to = Math.max(to, edge + 3);
    }
    return [from, to];
  }
  const heightOf = (count, most) => (count > 0 ? Math.log10(1 + count) / Math.log10(1 + most) : 0);

  /** Add up histograms that start at different exponents. */
  function addUp(deviations) {
    const first = deviations.reduce((least, one) => (one.exponents.length ? Math.min(least, one.first_exponent) : least), Infinity);
    const counts = [];
    for (const one of deviations) {
      one.exponents.forEach((count, at) => {
        const place = one.first_exponent + at - first;
        while (counts.length <= place) counts.push(0);
        counts[place] += count;
      });
    }
    return { first_exponent: first, exponents: counts, zeros: deviations.reduce((sum, one) => sum + one.zeros, 0) };
  }

  function drawSpark({ first_exponent: first, exponents: counts }, range, [from, to]) {
    const most = Math.max(...counts);
    const paths = {};
    counts.forEach((count, at) => {
      const zone = zoneOf(first + at, range);
      const top = 26 - 24 * heightOf(count, most);
      if (count > 0) paths[zone] = `${paths[zone] ?? ""}M${first + at - from + 0.08} 26V${top.toFixed(2)}h.84V26z`;
    });
    const svg = draw("svg", { viewBox: `0 0 ${to - from} 26`, preserveAspectRatio: "none", "aria-hidden": "true" });
    svg.append(...bandsOf(range, from, to, (exponent) => exponent - from).map(({ zone, left, right }) =>
      drawBox(`band ${zone}`, left, 26, right - left, 26)));
    svg.append(...Object.entries(paths).map(([zone, d]) => draw("path", { class: zone, d })));
    return svg;
  }

  function bandsOf(range, from, to, x) {
    if (!range) return [];
    const edges = [-Infinity, range.zero_below, range.subnormal_below, range.overflow_from, Infinity];
    return ZONES.map((zone, at) => ({
      zone, left: x(Math.min(Math.max(edges[at], from), to)), right: x(Math.min(Math.max(edges[at + 1], from), to)),
    })).filter(({ left, right }) => right > left);
  }

  function drawChart(histogram, range, width) {
    const { first_exponent: first, exponents: counts } = histogram;
    const [from, to] = spanOf(first, counts, range);
    const most = Math.max(...counts);
    const [left, top, height, right] = [46, 24, width < 520 ? 150 : 190, 6];
    const bottom = top + height;
    const step = (width - left - right) / (to - from);
    const x = (exponent) => left + (exponent - from) * step;
    const svg = draw("svg", { viewBox: `0 0 ${width} ${bottom + 42}`, role: "img", "aria-label": describe(histogram, range) });
    for (const band of bandsOf(range, from, to, x)) {
      svg.append(drawBox(`band ${band.zone}`, band.left, bottom, band.right - band.left, height));
      if (band.left > left) svg.append(draw("line", { class: "edge", x1: band.left, x2: band.left, y1: top - 16, y2: bottom }));
      if (band.right - band.left > LABELS[band.zone].length * 7 + 8) {
        svg.append(draw("text", { class: `name ${band.zone}`, x: band.left + 5, y: top - 7 }, LABELS[band.zone]));
      }
    }
    drawCounts(svg, most, (count) => bottom - height * heightOf(count, most), left, width - right);
    counts.forEach((count, at) => {
      if (count === 0) return;
      const exponent = first + at;
      const zone = zoneOf(exponent, range);
      const gap = step > 4 ? 1 : 0;
      const bar = drawBox(`bar ${zone}`, x(exponent) + gap / 2, bottom, step - gap, height * heightOf(count, most));
      bar.append(draw("title", {}, `${formatCount(count)} with ${formatPower(exponent)} ≤ |x| < ${formatPower(exponent + 1)}: ${LABELS[zone]}`));
      svg.append(bar);
    });
    svg.append(draw("line", { class: "base", x1: left, x2: width - right, y1: bottom, y2: bottom }));
    const every = [1, 2, 4, 5, 10, 20, 50, 100].find((many) => many * step >= 40) ?? 100;
    for (let exponent = Math.ceil(from / every) * every; exponent <= to; exponent += every) {
      svg.append(drawPower({ x: x(exponent), y: bottom + 18, "text-anchor": "middle" }, "2", exponent));
    }
    svg.append(draw("text", { x: (left + width) / 2, y: bottom + 38, "text-anchor": "middle" }, "magnitude"));
    return svg;
  }
  function drawCounts(svg, most, y, left, right) {
    const decades = Math.floor(Math.log10(most));
    const every = Math.max(1, Math.ceil(decades / 4));
    for (let decade = 0; decade <= decades; decade += every) {
      const at = y(10 ** decade);
      svg.append(draw("line", { class: "grid", x1: left, x2: right, y1: at, y2: at }));
      const place = { x: left - 7, y: at + 4, "text-anchor": "end" };
      svg.append(decade < 4 ? draw("text", place, formatCount(10 ** decade)) : drawPower(place, "10", decade));
    }
  }
  function describe({ first_exponent: first, exponents: counts }, range) {
    const sums = {};
    counts.forEach((count, at) => {
      const zone = zoneOf(first + at, range);
      sums[zone] = (sums[zone] ?? 0) + count;
    });
    const parts = Object.entries(sums).map(([zone, count]) => `${LABELS[zone]}: ${formatCount(count)}`);
    return `Histogram of magnitudes from ${formatPower(first)} to ${formatPower(first + counts.length)}. ${parts.join(", ")}`;
  }

  function makeLegend(dtype, range, zeros) {
    const list = make("ul", { class: "legend" });
    const add = (zone, name, rest) => {
      const swatch = draw("svg", { viewBox: "0 0 1 1", "aria-hidden": "true" });
      swatch.append(draw("rect", { class: zone, width: 1, height: 1 }));
      list.append(make("li", {}, swatch, make("b", { text: name }), rest));
    };
    if (range) {
      add("zero", "becomes zero", ` up to ${formatPower(range.zero_below)}`);
      add("subnormal", "subnormal", `, fewer digits, below ${formatPower(range.subnormal_below)}`);
      add("normal", "normal", ` in ${dtype}`);
      add("overflow", "overflow", ` from ${formatFloat(floatOf(range.overflow))}`);
    } else add("plain", "values", `; the range of ${dtype} is not drawn`);
    if (zeros > 0) list.append(make("li", { text: `${formatCount(zeros)} zeros are in no bar` }));
    return list;
  }

  /** Give a box that draws its chart anew whenever its width changes. */
  function makeChart(histogram, dtype) {
    const range = data.ranges[dtype];
    const box = make("div", { class: "chart" });
    let drawn = 0;
    const redraw = () => {
      const width = Math.round(box.clientWidth);
      if (width < 60 || width === drawn) return;
      drawn = width;
      box.replaceChildren(drawChart(histogram, range, width));
    };
    new ResizeObserver(() => requestAnimationFrame(redraw)).observe(box);
    return make("div", {}, box, makeLegend(dtype, range, histogram.zeros));
  }

  // ---- the values of all tensors together, for each target dtype

  const exponentOf = ({ deviation }) => (deviation?.exponents.length ? deviation.first_exponent : null);
  const measured = tensors.filter((tensor) => exponentOf(tensor) !== null);
  const spans = {};
  for (const dtype of new Set(measured.map((tensor) => tensor.target_dtype))) {
    const chosen = tensors.filter((tensor) => tensor.deviation && tensor.target_dtype === dtype);
    const sum = addUp(chosen.map((tensor) => tensor.deviation));
    spans[dtype] = spanOf(sum.first_exponent, sum.exponents, data.ranges[dtype]);
    const sources = [...new Set(chosen.map((tensor) => tensor.source_dtype))];
    const text = `${formatTensors(chosen.length)} ${sources.join(", ")} → ${dtype}`;
    byId("overall").append(make("figure", {}, make("figcaption", { text }), makeChart(sum, dtype)));
  }
  byId("overall").hidden = measured.length === 0;

  // ---- the table

  const headers = [...table.tHead.querySelectorAll("th")];
  const VALUES = { name: (tensor) => tensor.name, dtype: (tensor) => dtypeText(tensor), exponents: exponentOf };
  for (const field of data.stats) VALUES[field] = ({ stats }) => floatOf(stats?.[field]);
  for (const field of ["max_absolute", "max_relative", "rms"]) VALUES[field] = ({ deviation }) => floatOf(deviation?.[field]);
  const ASCENDING = new Set(["name", "dtype", "exponents"]); // what a first click does; the others start with the worst
  const ACTIONS = { keep: "kept", copy: "copied", drop: "dropped" };
  const dtypeText = (tensor) => tensor.action in ACTIONS && tensor.source_dtype === (tensor.target_dtype || tensor.source_dtype)
    ? `${tensor.source_dtype}, ${ACTIONS[tensor.action]}` : `${tensor.source_dtype} → ${tensor.target_dtype}`;

  /** Compare numbers or texts; what was not measured goes last, whatever the direction. NaN is worse than infinity. */
  function compare(left, right, sign) {
    if (left === null || right === null) return (left === null) - (right === null);
    if (typeof left === "string") return left < right ? -sign : left > right ? sign : 0;
    const [leftNan, rightNan] = [Number.isNaN(left), Number.isNaN(right)];
    if (leftNan || rightNan) return (leftNan - rightNan) * sign;
    return left < right ? -sign : left > right ? sign : 0;
  }
  function sortBy(rows, key, descending) {
    const keyed = rows.map((tensor) => [VALUES[key](tensor), tensor]);
    keyed.sort((left, right) => compare(left[0], right[0], descending ? -1 : 1)); // stable
    return keyed.map(([, tensor]) => tensor);
  }
  const worstFirst = ["max_relative", "subnormal", "underflow", "overflow"].reduce((rows, key) => sortBy(rows, key, true), tensors);

  const state = { key: "overflow", descending: true, rows: worstFirst, shown: 0, opened: new Set() };

  function makeRow(tensor) {
    const button = make("button", { type: "button", "aria-expanded": state.opened.has(tensor) }, make("bdi", {}, ...breakable(tensor.name)));
    const row = make("tr", { role: "row" }, make("th", { scope: "row", role: "rowheader", class: "left" }, button));
    for (const header of headers.slice(1)) row.append(makeCell(tensor, header.dataset.key));
    button.addEventListener("click", () => toggle(tensor, row, button));
    if (!state.opened.has(tensor)) return [row];
    row.classList.add("opened");
    return [row, makeDetail(tensor)];
  }
  function makeCell(tensor, key) {
    const cell = make("td", { role: "cell" });
    const value = VALUES[key](tensor);
    if (key === "exponents") {
      cell.className = "spark";
      if (value === null) cell.append(missingText(tensor)), cell.classList.add(tensor.stats ? "quiet" : "none");
      else cell.append(drawSpark(tensor.deviation, data.ranges[tensor.target_dtype], spans[tensor.target_dtype]));
    } else if (key === "dtype") {
      cell.className = "left dtype";
      cell.textContent = value;
    } else if (value === null) {
      cell.className = "none";
      cell.textContent = "–";
    } else {
      const isCount = key in tensor.stats && key !== "largest";
      cell.textContent = isCount ? formatCount(value) : formatFloat(value);
      const zone = { overflow: "overflow", underflow: "zero", subnormal: "subnormal", inf: "overflow", nan: "overflow" }[key];
      if (zone && value > 0) cell.className = zone;
      else if (value === 0) cell.className = "quiet";
    }
    return cell;
  }
  const breakable = (name) => name.split(/(?<=\/)/).flatMap((part) => [part, make("wbr")]);
  const missingText = ({ stats, deviation }) => !stats ? "–" : deviation ? "zeros only" : "not measured";

  function toggle(tensor, row, button) {
    const isOpen = state.opened.delete(tensor);
    button.setAttribute("aria-expanded", !isOpen);
    row.classList.toggle("opened", !isOpen);
    if (isOpen) return row.nextSibling.remove();
    state.opened.add(tensor);
    row.after(makeDetail(tensor));
  }
  function makeDetail(tensor) {
    const cell = make("td", { colspan: headers.length, role: "cell" }, makeFacts(tensor));
    const { stats, deviation } = tensor;
    if (deviation?.exponents.length) cell.append(makeChart(deviation, tensor.target_dtype));
    else if (deviation) cell.append(make("p", { class: "lead", text: "All its finite values are zero." }));
    else if (stats) cell.append(make("p", { class: "lead", text: "Its magnitudes were not measured." }));
    return make("tr", { role: "row", class: "detail" }, cell);
  }
  function makeFacts(tensor) {
    const facts = [["What", tensor.action in ACTIONS ? ACTIONS[tensor.action] : tensor.action], ["Why", tensor.reason]];
    if (tensor.target_name) facts.push(["New name", tensor.target_name]);
    facts.push(["Shape", `[${tensor.shape.join(", ")}]`]);
    const after = tensor.action === "drop" ? "" : ` → ${formatBytes(tensor.target_nbytes)}`;
    facts.push(["Size", formatBytes(tensor.source_nbytes) + after]);
    if (tensor.num_slices) facts.push(["Slices", `${formatCount(tensor.num_slices)}, ${tensor.joined ? "joined" : "kept"}`]);
    if (tensor.edited) facts.push(["Contents", "replaced"]);
    if (tensor.deviation) facts.push(["Compared", `${formatCount(tensor.deviation.compared)} values`]);
    if (tensor.deviation) facts.push(["Zeros before", formatCount(tensor.deviation.zeros)]);
    return make("dl", { class: "facts" }, ...facts.map(([term, text]) =>
      make("div", {}, make("dt", { text: term }), make("dd", {}, make("bdi", { text })))));
  }

  function showMore() {
    const next = state.rows.slice(state.shown, state.shown + PAGE_ROWS);
    const fragment = document.createDocumentFragment();
    for (const tensor of next) fragment.append(...makeRow(tensor));
    table.tBodies[0].append(fragment);
    state.shown += next.length;
    const rest = state.rows.length - state.shown;
    more.hidden = rest === 0;
    more.textContent = `Show ${formatCount(Math.min(rest, PAGE_ROWS))} more`;
    const found = state.rows.length < tensors.length ? `${formatCount(state.rows.length)} of ` : "";
    const part = rest ? `, the first ${formatCount(state.shown)} are shown` : "";
    byId("count").textContent = found + formatTensors(tensors.length) + part;
  }
  function refresh() {
    const words = filter.value.toLowerCase();
    state.rows = sortBy(worstFirst.filter((tensor) => tensor.search.includes(words)), state.key, state.descending);
    state.shown = 0;
    table.tBodies[0].replaceChildren();
    for (const header of headers) {
      if (header.dataset.key !== state.key) header.removeAttribute("aria-sort");
      else header.setAttribute("aria-sort", state.descending ? "descending" : "ascending");
    }
    order.value = state.key;
    direction.textContent = state.descending ? "↓ falling" : "↑ rising";
    showMore();
  }
  function orderBy(key) {
    state.descending = key === state.key ? !state.descending : !ASCENDING.has(key);
    state.key = key;
    refresh();
  }

  for (const header of headers) {
    header.querySelector("button").addEventListener("click", () => orderBy(header.dataset.key));
    order.append(make("option", { value: header.dataset.key, text: header.textContent }));
  }
  order.addEventListener("change", () => orderBy(order.value));
  direction.addEventListener("click", () => orderBy(state.key));
  filter.addEventListener("input", refresh);
  more.addEventListener("click", showMore);
  byId("controls").addEventListener("submit", (event) => event.preventDefault());
  byId("controls").hidden = false;
  document.documentElement.classList.add("live");
  refresh();
})();
