"use strict";
// The key explorer: BRIGHT's decoder (sections 3.2 and 3.3) on the weights in the page, and the controls that move keys.
const decoder = (packed) => {
  const [SLOPE, GAIN, EPSILON] = [0.2, Math.SQRT2, 1e-8];
  const FIR = [0.25, 0.75, 0.75, 0.25]; // StyleGAN2's filter in one dimension, with a gain of 2

  // Every tensor is 16-bit integers times a scale.
  const unpacked = (part) => {
    if (Array.isArray(part)) return part.map(unpacked);
    if (part === null || typeof part !== "object") return part;
    if (!("data" in part)) return Object.fromEntries(Object.entries(part).map(([key, value]) => [key, unpacked(value)]));
    const bytes = Uint8Array.from(atob(part.data), (letter) => letter.charCodeAt(0));
    return Float32Array.from(new Int16Array(bytes.buffer), (integer) => integer * part.scale);
  };
  const model = unpacked(packed);
  const { side, codeSide, groups, perEntry, levels } = model;

  // Features of one group at a pixel (equation 4): each level interpolates between two nodes of the pixel's row.
  const retrieve = (pixel, group, key, result) => {
    levels.forEach(({ scale, cells, rows }, level) => {
      const position = key * scale + 0.5, cell = Math.min(Math.max(Math.floor(position), 0), cells - 1);
      const first = ((pixel * groups + group) * (cells + 1) + cell) * perEntry;
      for (let at = first; at < first + perEntry; at++)
        result[level * perEntry + at - first] = rows[at] + (position - cell) * (rows[at + perEntry] - rows[at]);
    });
    return result;
  };

  // A linear layer whose weights (outputs, inputs) begin at `from`.
  const linear = (inputs, { weights, biases }, activate, outputs = biases.length, group = 0) => {
    const result = new Float32Array(outputs);
    for (let o = 0, w = group * outputs * inputs.length; o < outputs; o++) {
      let sum = biases[group * outputs + o];
      for (let i = 0; i < inputs.length; i++) sum += weights[w++] * inputs[i];
      result[o] = activate(sum);
    }
    return result;
  };
  const relu = (x) => (x > 0 ? x : 0), leaky = (x) => GAIN * (x < 0 ? SLOPE * x : x), same = (x) => x;
  const scales = (layer, style) => (layer.affine ? linear(style, layer.affine, same) : new Float32Array(layer.inputs).fill(1));

  // The feature block (equation 2), planes of side x side. Only the features of changed keys are computed again.
  const width = model.mlps[2].outputs, block = new Float32Array(groups * width * side * side);
  const computed = new Float32Array(groups * codeSide * codeSide).fill(NaN), result = new Float32Array(levels.length * perEntry);
  const featureBlock = (code) => {
    const keyAt = (pixel) => Math.floor((pixel * codeSide) / side);
    for (let pixel = 0; pixel < side * side; pixel++)
      for (let group = 0; group < groups; group++) {
        const at = (group * codeSide + keyAt(Math.floor(pixel / side))) * codeSide + keyAt(pixel % side);
        if (code[at] === computed[at]) continue;
        let features = retrieve(pixel, group, code[at], result);
        model.mlps.forEach((layer, n) => { features = linear(features, layer, n < 2 ? relu : same, layer.outputs, group); });
        features.forEach((feature, n) => { block[(group * width + n) * side * side + pixel] = feature; });
      }
    computed.set(code);
    return block;
  };

  // Planes, each times its scale, within a border of zeros.
  const bordered = (planes, count, size, scale) => {
    const wide = size + 2, result = new Float32Array(count * wide * wide);
    for (let c = 0; c < count; c++)
      for (let y = 0; y < size; y++)
        for (let x = 0; x < size; x++) result[(c * wide + y + 1) * wide + x + 1] = planes[(c * size + y) * size + x] * scale[c];
    return result;
  };

  // A 3 x 3 convolution, of two output channels at a time: so are numbers read half as often.
  const convolved = (planes, { inputs, outputs, weights }, size) => {
    const wide = size + 2, area = size * size, result = new Float32Array(outputs * area);
    for (let o = 0; o < outputs; o += 2)
      for (let i = 0; i < inputs; i++) {
        const [a0, a1, a2, a3, a4, a5, a6, a7, a8] = weights.subarray((o * inputs + i) * 9);
        const [b0, b1, b2, b3, b4, b5, b6, b7, b8] = weights.subarray(((o + 1) * inputs + i) * 9);
        for (let y = 0; y < size; y++) {
          let p = (i * wide + y) * wide, q = o * area + y * size;
          let n0 = planes[p], n1 = planes[p + 1], n3 = planes[p + wide], n4 = planes[p + wide + 1];
          let n6 = planes[p + 2 * wide], n7 = planes[p + 2 * wide + 1];
          for (const end = q + size; q < end; p++, q++) {
            const n2 = planes[p + 2], n5 = planes[p + wide + 2], n8 = planes[p + 2 * wide + 2];
            result[q] += n0 * a0 + n1 * a1 + n2 * a2 + n3 * a3 + n4 * a4 + n5 * a5 + n6 * a6 + n7 * a7 + n8 * a8;
            result[q + area] += n0 * b0 + n1 * b1 + n2 * b2 + n3 * b3 + n4 * b4 + n5 * b5 + n6 * b6 + n7 * b7 + n8 * b8;
            n0 = n1; n1 = n2; n3 = n4; n4 = n5; n6 = n7; n7 = n8;
          }
        }
      }
    return result;
  };

  // A transposed 3 x 3 convolution with a stride of 2, to 2 size + 1, by the parities of its rows and columns.
  const transposed = (planes, { inputs, outputs, weights }, size) => {
    const wide = size + 2, long = 2 * size + 1, result = new Float32Array(outputs * long * long);
    for (let o = 0; o < outputs; o++)
      for (let i = 0; i < inputs; i++) {
        const [w0, w1, w2, w3, w4, w5, w6, w7, w8] = weights.subarray((o * inputs + i) * 9);
        for (let y = 0; y <= size; y++)
          for (let x = 0, p = (i * wide + y) * wide, q = (o * long + 2 * y) * long; x <= size; x++, p++, q += 2) {
            const before = planes[p + wide], here = planes[p + wide + 1], above = planes[p + 1];
            result[q] += here * w0 + before * w2 + above * w6 + planes[p] * w8;
            if (x < size) result[q + 1] += here * w1 + above * w7;
            if (y < size) result[q + long] += here * w3 + before * w5;
            if (x < size && y < size) result[q + long + 1] += here * w4;
          }
      }
    return result;
  };

  // One pass along rows of planes (count, height, width), to (count, size, height): two passes filter both dimensions.
  const filtered = (planes, count, height, width, size, tap) => {
    const result = new Float32Array(count * size * height);
    for (let c = 0; c < count; c++)
      for (let y = 0; y < height; y++)
        for (let x = 0; x < size; x++) {
          let sum = 0;
          for (let k = 0; k < 4; k++) {
            const at = tap(x, k);
            if (at >= 0 && at < width) sum += FIR[k] * planes[(c * height + y) * width + at];
          }
          result[(c * size + x) * height + y] = sum;
        }
    return result;
  };
  const twice = (planes, count, width, size, tap) =>
    filtered(filtered(planes, count, width, width, size, tap), count, size, width, size, tap);
  const blurred = (planes, count, size) => twice(planes, count, size + 1, size, (x, k) => x + k - 1);
  const doubled = (planes, count, size) =>
    twice(planes, count, size, 2 * size, (x, k) => ((x + 1 - k) % 2 ? -1 : (x + 1 - k) / 2));

  // A modulated convolution with demodulation, noise, bias and activation.
  const modulated = (planes, layer, style, size) => {
    const scale = scales(layer, style), input = bordered(planes, layer.inputs, size, scale), { inputs, outputs, weights } = layer;
    const grown = layer.up ? 2 * size : size, area = grown * grown;
    const result = layer.up ? blurred(transposed(input, layer, size), outputs, grown) : convolved(input, layer, size);
    for (let o = 0; o < outputs; o++) {
      let squares = EPSILON;
      for (let w = 0; w < inputs * 9; w++) squares += (weights[o * inputs * 9 + w] * scale[Math.floor(w / 9)]) ** 2;
      const factor = GAIN / Math.sqrt(squares);
      for (let p = 0; p < area; p++) {
        const x = result[o * area + p] * factor + layer.biases[o] + layer.noise[p];
        result[o * area + p] = x < 0 ? SLOPE * x : x;
      }
    }
    return result;
  };

  // Keys (C_z, H_z, W_z) in [0, 1] -> bytes of the picture, channel by channel.
  const decode = (code) => {
    let planes = featureBlock(code), size = side, image = null;
    const pooled = new Float32Array(planes.length / (side * side));
    planes.forEach((feature, n) => { pooled[Math.floor(n / (side * side))] += feature / (side * side); });
    const style = model.style.reduce((inputs, layer) => linear(inputs, layer, leaky), pooled);
    for (const { convolutions, image: last } of model.blocks) {
      for (const layer of convolutions) {
        planes = modulated(planes, layer, style, size);
        size *= layer.up ? 2 : 1;
      }
      const below = image && doubled(image, model.channels, size / 2), scale = scales(last, style), area = size * size;
      image = new Float32Array(model.channels * area);
      for (let c = 0; c < model.channels; c++)
        for (let p = 0; p < area; p++) {
          let sum = last.biases[c] + (below ? below[c * area + p] : 0);
          for (let i = 0; i < last.inputs; i++) sum += last.weights[c * last.inputs + i] * scale[i] * planes[i * area + p];
          image[c * area + p] = sum;
        }
    }
    return Uint8ClampedArray.from(image, (x) => (x + 1) * 127.5);
  };
  return { model, decode, retrieve };
};

(() => {
  const find = (id) => document.getElementById(id);
  const { decoder: packed, codes, samples, ranges } = JSON.parse(find("explorer-data").textContent);
  const { model, decode, retrieve } = decoder(packed);
  const { codeSide, groups, perEntry, levels, resolution, channels, side } = model;
  const CELL = 20, STEP = 0.02, DRAG = 150; // pixels of a cell, a step by keyboard as a share of the range, pixels of a drag through it
  const VISIBLE = 8, AMPLIFIED = 4; // levels of 255 that a person sees; factor of the colours in the picture of differences
  const code = new Float32Array(groups * codeSide * codeSide);
  const chosen = { group: 0, row: 0, column: 0 };
  let sampled = -1, waiting = false, original = null, again = null; // the original's bytes; shows what is shown, unchanged
  const index = ({ group, row, column }) => (group * codeSide + row) * codeSide + column;
  const span = (group) => ranges[group][1] - ranges[group][0];
  // The keys below the brush: first row and column, last row and column.
  const reach = () => {
    const { row, column } = chosen, side = Number(find("key-brush").value), before = Math.ceil(side / 2) - 1, after = side - 1 - before;
    const within = (at) => Math.min(Math.max(at, 0), codeSide - 1);
    return [within(row - before), within(column - before), within(row + after), within(column + after)];
  };

  const drawPicture = () => {
    const bytes = decode(code), area = resolution * resolution, context = find("decoded").getContext("2d");
    const picture = context.createImageData(resolution, resolution), difference = context.createImageData(resolution, resolution);
    let visible = 0;
    for (let p = 0; p < area; p++) {
      const changes = Array.from({ length: channels }, (_, c) => bytes[c * area + p] - original[c * area + p]);
      const change = changes.reduce((most, other) => (Math.abs(other) > Math.abs(most) ? other : most));
      visible += Math.abs(change) > VISIBLE;
      picture.data.set([0, 1, 2].map((c) => bytes[(channels === 3 ? c * area : 0) + p]).concat(255), 4 * p);
      difference.data.set([...(change > 0 ? [230, 130, 0] : [0, 114, 230]), AMPLIFIED * Math.abs(change)], 4 * p);
    }
    context.putImageData(picture, 0, 0);
    find("difference").getContext("2d").putImageData(difference, 0, 0);
    find("difference-words").textContent = `Brighter (orange) or darker (blue) than the original: ${visible} of ${area.toLocaleString("en")} pixels`;
  };
  const maps = Array.from({ length: groups }, (_, group) => {
    const map = document.createElement("canvas");
    Object.assign(map, { width: codeSide * CELL, height: codeSide * CELL, tabIndex: 0 });
    for (const [name, value] of [["role", "slider"], ["aria-label", `Keys of group ${group + 1}`], ["aria-valuemin", 0], ["aria-valuemax", 1]])
      map.setAttribute(name, value);
    find("key-maps").append(map);
    return map;
  });
  const drawMaps = () => maps.forEach((map, group) => {
    const context = map.getContext("2d"), here = group === chosen.group;
    for (let row = 0; row < codeSide; row++)
      for (let column = 0; column < codeSide; column++) {
        const share = Math.min(Math.max((code[index({ group, row, column })] - ranges[group][0]) / span(group), 0), 1);
        context.fillStyle = `hsl(${260 - 200 * share} 60% ${25 + 45 * share}%)`;
        context.fillRect(column * CELL, row * CELL, CELL, CELL);
      }
    const at = here ? chosen : { ...chosen, group };
    if (here) {
      context.lineWidth = 3;
      context.strokeStyle = "#ffffff";
      const [top, left, bottom, right] = reach();
      context.strokeRect(left * CELL + 2, top * CELL + 2, (right - left + 1) * CELL - 4, (bottom - top + 1) * CELL - 4);
    }
    const key = code[index(at)].toFixed(3);
    map.setAttribute("aria-valuenow", key);
    map.setAttribute("aria-valuetext", `row ${at.row + 1}, column ${at.column + 1}: ${key}`);
  });
  // A live Figure 4: what the chosen key retrieves at each resolution, at the first pixel of its tile.
  const drawFeatures = () => {
    const { group, row, column } = chosen, repeat = side / codeSide, pixel = row * repeat * side + column * repeat;
    const features = retrieve(pixel, group, code[index(chosen)], new Float32Array(levels.length * perEntry));
    const most = Math.max(...features.map(Math.abs), 1e-6);
    find("key-words").textContent = `Group ${group + 1}, row ${row + 1}, column ${column + 1}: key ${code[index(chosen)].toFixed(3)}`;
    find("key-features").replaceChildren(...levels.map((level, l) => {
      const line = document.createElement("tr"), head = document.createElement("th");
      head.scope = "row";
      head.textContent = level.resolution;
      line.append(head, ...Array.from(features.subarray(l * perEntry, (l + 1) * perEntry), (feature) => {
        const cell = document.createElement("td"), share = Math.abs(feature) / most;
        cell.textContent = feature.toFixed(3);
        cell.style.backgroundColor = `rgb(${feature < 0 ? "180 70 0" : "0 90 190"} / ${(35 * share).toFixed(0)}%)`;
        return cell;
      }));
      return line;
    }));
  };
  const draw = () => {
    drawPicture();
    drawMaps();
    drawFeatures();
    waiting = false;
  };
  const changed = () => {
    if (!waiting) requestAnimationFrame(draw);
    waiting = true;
  };
  const show = (words, numbers, unchanged = numbers) => {
    original = decode(Float32Array.from(unchanged));
    code.set(numbers);
    find("decoded").setAttribute("aria-label", words);
    find("decoded-words").textContent = words;
    changed();
  };
  const mixed = () => {
    const [first, second, share] = ["key-first", "key-second", "key-share"].map((id) => Number(find(id).value));
    const words = share ? `${100 - share} % image ${first + 1}, ${share} % image ${second + 1}` : `Decoded image ${first + 1}`;
    show(words, codes[first].map((key, n) => key + (share / 100) * (codes[second][n] - key)), codes[first]);
    again = () => { find("key-share").value = 0; mixed(); };
  };
  // The keys below the brush move together, each within the range of its group; a key outside of it stays until it moves.
  const move = (by, from = code.slice()) => {
    const [low, high] = ranges[chosen.group], [top, left, bottom, right] = reach();
    for (let row = top; row <= bottom; row++)
      for (let column = left; column <= right; column++) {
        const at = index({ ...chosen, row, column });
        code[at] = Math.min(Math.max(from[at] + by * span(chosen.group), Math.min(low, from[at])), Math.max(high, from[at]));
      }
    find("decoded-words").textContent = "Decoded from changed keys";
    changed();
  };
  const MOVES = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
  const CHANGES = { "+": STEP, "=": STEP, "-": -STEP, PageUp: 5 * STEP, PageDown: -5 * STEP, Home: -1, End: 1 };
  maps.forEach((map, group) => {
    let from = null;
    map.addEventListener("focus", () => { chosen.group = group; changed(); });
    map.addEventListener("pointerdown", (event) => {
      const box = map.getBoundingClientRect(), cell = (offset, size) => Math.min(Math.floor((offset * codeSide) / size), codeSide - 1);
      Object.assign(chosen, { group, row: cell(event.offsetY, box.height), column: cell(event.offsetX, box.width) });
      from = { y: event.clientY, code: code.slice() };
      map.setPointerCapture(event.pointerId);
      changed();
    });
    map.addEventListener("pointermove", (event) => { if (from) move((from.y - event.clientY) / DRAG, from.code); });
    for (const end of ["pointerup", "pointercancel"]) map.addEventListener(end, () => { from = null; });
    map.addEventListener("keydown", (event) => {
      if (event.key in MOVES) {
        const within = (keyAt) => Math.min(Math.max(keyAt, 0), codeSide - 1);
        chosen.row = within(chosen.row + MOVES[event.key][0]);
        chosen.column = within(chosen.column + MOVES[event.key][1]);
        changed();
      } else if (event.key in CHANGES && !event.ctrlKey && !event.metaKey) move(CHANGES[event.key]);
      else return;
      event.preventDefault();
    });
  });
  for (const id of ["key-first", "key-second"])
    find(id).append(...codes.map((_, n) => new Option(`image ${n + 1}`, n, false, n === Number(id === "key-second"))));
  for (const id of ["key-first", "key-second", "key-share"]) find(id).addEventListener("input", mixed);
  find("key-brush").addEventListener("input", changed);
  find("key-reset").addEventListener("click", () => again());
  find("key-sample").hidden = !samples.length;
  find("key-sample").addEventListener("click", () => {
    sampled = (sampled + 1) % samples.length;
    again = () => show(`Sample ${sampled + 1} of the diffusion model`, samples[sampled]);
    again();
  });
  find("explorer").hidden = false;
  mixed();
})();
