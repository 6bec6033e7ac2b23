// Runs the graphs of an export: a small interpreter of ONNX operators, on plain typed arrays.
//
// A value is { type, dims, data }: type 'f' is float32, 'd' float64, 'i' int64 (exact up to 2^53), 'b' bool.
// `robometa/deployment/page/graph.py` writes the graphs, and refuses operators that are not in OPERATORS.

const ARRAYS = { f: Float32Array, d: Float64Array, i: Float64Array, b: Uint8Array };
const TYPES = { 1: 'f', 6: 'i', 7: 'i', 9: 'b', 11: 'd' };

const count = dims => dims.reduce((product, size) => product * size, 1);
export const value = (type, dims, data) => ({ type, dims, data: data ?? new ARRAYS[type](count(dims)) });
const integers = numbers => value('i', [numbers.length], Float64Array.from(numbers));
const scalar = (type, number) => value(type, [], ARRAYS[type].of(number));
const axisOf = (axis, rank) => (axis < 0 ? axis + rank : axis);
const list = tensor => Array.from(tensor.data);

function strides(dims) {
  const steps = new Array(dims.length);
  for (let axis = dims.length - 1, step = 1; axis >= 0; step *= dims[axis--]) steps[axis] = step;
  return steps;
}

function broadcastDims(...shapes) {
  const rank = Math.max(...shapes.map(dims => dims.length));
  return Array.from({ length: rank }, (_, axis) => {
    const sizes = shapes.map(dims => dims[axis - rank + dims.length] ?? 1);
    return sizes.includes(0) ? 0 : Math.max(...sizes);
  });
}

// For every element of `dims` the element of a tensor that is broadcast to them.
function indices(tensor, dims) {
  const total = count(dims), own = strides(tensor.dims), rank = dims.length;
  const steps = dims.map((_, axis) => {
    const place = axis - rank + tensor.dims.length;
    return place >= 0 && tensor.dims[place] !== 1 ? own[place] : 0;
  });
  const found = new Int32Array(total), at = new Array(rank).fill(0);
  for (let element = 0, place = 0; element < total; element++) {
    found[element] = place;
    for (let axis = rank - 1; axis >= 0; axis--) {
      place += steps[axis];
      if (++at[axis] < dims[axis]) break;
      place -= steps[axis] * dims[axis];
      at[axis] = 0;
    }
  }
  return found;
}

const sameDims = (a, b) => a.length === b.length && a.every((size, axis) => size === b[axis]);

function binary(compute, result) {
  return (_, a, b) => {
    const type = result ?? a.type;
    if (sameDims(a.dims, b.dims)) {
      const out = value(type, a.dims);
      for (let n = 0; n < out.data.length; n++) out.data[n] = compute(a.data[n], b.data[n], type);
      return out;
    }
    const out = value(type, broadcastDims(a.dims, b.dims));
    if (b.data.length === 1) {
      for (let n = 0; n < out.data.length; n++) out.data[n] = compute(a.data[n], b.data[0], type);
    } else if (a.data.length === 1) {
      for (let n = 0; n < out.data.length; n++) out.data[n] = compute(a.data[0], b.data[n], type);
    } else {
      const of = indices(a, out.dims), from = indices(b, out.dims);
      for (let n = 0; n < out.data.length; n++) out.data[n] = compute(a.data[of[n]], b.data[from[n]], type);
    }
    return out;
  };
}

const folded = compute => (attributes, first, ...rest) => rest.reduce((so, next) => compute(attributes, so, next), first);

function unary(compute, result) {
  return (_, a) => {
    const out = value(result ?? a.type, a.dims);
    for (let n = 0; n < out.data.length; n++) out.data[n] = compute(a.data[n]);
    return out;
  };
}

// Sums are in double precision, and rounded once.
function matrixProduct(a, b, rows, inner, columns, out, ofA, ofB, ofOut) {
  const row = new Float64Array(columns);
  for (let i = 0; i < rows; i++) {
    row.fill(0);
    for (let k = 0; k < inner; k++) {
      const factor = a[ofA + i * inner + k];
      if (factor === 0) continue;
      const from = ofB + k * columns;
      for (let j = 0; j < columns; j++) row[j] += factor * b[from + j];
    }
    out.set(row, ofOut + i * columns);
  }
}

function matMul(_, a, b) {
  const [x, y] = [a.dims.length === 1 ? [1, ...a.dims] : a.dims, b.dims.length === 1 ? [...b.dims, 1] : b.dims];
  const [rows, inner] = x.slice(-2), columns = y.at(-1);
  const batch = broadcastDims(x.slice(0, -2), y.slice(0, -2));
  const ofA = indices({ dims: x.slice(0, -2) }, batch), ofB = indices({ dims: y.slice(0, -2) }, batch);
  const dims = [...batch, ...(a.dims.length === 1 ? [] : [rows]), ...(b.dims.length === 1 ? [] : [columns])];
  const out = value(a.type, dims);
  for (let n = 0; n < ofA.length; n++) {
    matrixProduct(a.data, b.data, rows, inner, columns, out.data,
      ofA[n] * rows * inner, ofB[n] * inner * columns, n * rows * columns);
  }
  return out;
}

function transpose({ perm }, a) {
  const order = perm ?? a.dims.map((_, axis) => a.dims.length - 1 - axis);
  const own = strides(a.dims), out = value(a.type, order.map(axis => a.dims[axis]));
  const steps = order.map(axis => own[axis]), at = new Array(order.length).fill(0);
  for (let element = 0, place = 0; element < out.data.length; element++) {
    out.data[element] = a.data[place];
    for (let axis = order.length - 1; axis >= 0; axis--) {
      place += steps[axis];
      if (++at[axis] < out.dims[axis]) break;
      place -= steps[axis] * out.dims[axis];
      at[axis] = 0;
    }
  }
  return out;
}

function gemm({ alpha = 1, beta = 1, transA = 0, transB = 0 }, a, b, c) {
  const out = matMul({}, transA ? transpose({}, a) : a, transB ? transpose({}, b) : b);
  const from = c && indices(c, out.dims);
  if (alpha !== 1 || c) {
    for (let n = 0; n < out.data.length; n++) out.data[n] = alpha * out.data[n] + (c ? beta * c.data[from[n]] : 0);
  }
  return out;
}

function reshape({ allowzero = 0 }, a, shape) {
  const dims = list(shape).map((size, axis) => (size === 0 && !allowzero ? a.dims[axis] : size));
  const known = dims.reduce((product, size) => (size < 0 ? product : product * size), 1);
  return value(a.type, dims.map(size => (size < 0 ? a.data.length / known : size)), a.data);
}

function concat({ axis }, ...parts) {
  const place = axisOf(axis, parts[0].dims.length), dims = [...parts[0].dims];
  dims[place] = parts.reduce((sum, part) => sum + part.dims[place], 0);
  const out = value(parts[0].type, dims), outer = count(dims.slice(0, place)), inner = count(dims.slice(place + 1));
  let to = 0;
  for (let block = 0; block < outer; block++) {
    for (const part of parts) {
      const size = part.dims[place] * inner;
      out.data.set(part.data.subarray(block * size, (block + 1) * size), to);
      to += size;
    }
  }
  return out;
}

function slice(_, a, starts, ends, axes, steps) {
  const dims = [...a.dims], from = dims.map(() => 0), step = dims.map(() => 1);
  const places = axes ? list(axes) : list(starts).map((_, n) => n);
  places.forEach((axis, n) => {
    const place = axisOf(axis, dims.length), size = a.dims[place], by = steps ? steps.data[n] : 1;
    const within = (end, low, high) => Math.min(Math.max(end < 0 ? end + size : end, low), high);
    const first = by > 0 ? within(starts.data[n], 0, size) : within(starts.data[n], 0, size - 1);
    const last = by > 0 ? within(ends.data[n], 0, size) : within(ends.data[n], -1, size - 1);
    [from[place], step[place], dims[place]] = [first, by, Math.max(0, Math.ceil((last - first) / by))];
  });
  const own = strides(a.dims);
  let place = from.reduce((sum, first, axis) => sum + first * own[axis], 0);
  const cut = dims.findIndex((size, axis) => size !== a.dims[axis]);
  const whole = (size, axis) => axis <= cut || size === a.dims[axis];
  if (step.every(by => by === 1) && count(dims.slice(0, Math.max(cut, 0))) === 1 && dims.every(whole)) {
    return value(a.type, dims, a.data.subarray(place, place + count(dims))); // no value is changed in place
  }
  const out = value(a.type, dims), at = dims.map(() => 0);
  for (let element = 0; element < out.data.length; element++) {
    out.data[element] = a.data[place];
    for (let axis = dims.length - 1; axis >= 0; axis--) {
      place += step[axis] * own[axis];
      if (++at[axis] < dims[axis]) break;
      place -= step[axis] * own[axis] * dims[axis];
      at[axis] = 0;
    }
  }
  return out;
}

function split({ axis = 0, num_outputs: parts }, a, sizes) {
  const place = axisOf(axis, a.dims.length), whole = a.dims[place], even = Math.ceil(whole / (parts ?? 1));
  const widths = sizes ? list(sizes) : Array.from({ length: parts }, (_, n) => Math.min(even, whole - n * even));
  let from = 0;
  return widths.map(width => slice({}, a, integers([from]), integers([(from += width)]), integers([place])));
}

function gather({ axis = 0 }, a, at) {
  const place = axisOf(axis, a.dims.length), size = a.dims[place];
  const outer = count(a.dims.slice(0, place)), inner = count(a.dims.slice(place + 1));
  const out = value(a.type, [...a.dims.slice(0, place), ...at.dims, ...a.dims.slice(place + 1)]);
  let to = 0;
  for (let block = 0; block < outer; block++) {
    for (const index of at.data) {
      const from = (block * size + axisOf(index, size)) * inner;
      out.data.set(a.data.subarray(from, from + inner), to);
      to += inner;
    }
  }
  return out;
}

function scatterND(_, a, at, updates) {
  const out = value(a.type, a.dims, a.data.slice()), own = strides(a.dims), depth = at.dims.at(-1);
  const size = count(a.dims.slice(depth));
  for (let n = 0; n < at.data.length / depth; n++) {
    let to = 0;
    for (let axis = 0; axis < depth; axis++) to += axisOf(at.data[n * depth + axis], a.dims[axis]) * own[axis];
    out.data.set(updates.data.subarray(n * size, (n + 1) * size), to);
  }
  return out;
}

function unsqueeze(_, a, axes) {
  const rank = a.dims.length + axes.data.length, new_ = new Set(list(axes).map(axis => axisOf(axis, rank)));
  const left = [...a.dims];
  return value(a.type, Array.from({ length: rank }, (_, axis) => (new_.has(axis) ? 1 : left.shift())), a.data);
}

function squeeze(_, a, axes) {
  const gone = axes ? new Set(list(axes).map(axis => axisOf(axis, a.dims.length))) : null;
  return value(a.type, a.dims.filter((size, axis) => (gone ? !gone.has(axis) : size !== 1)), a.data);
}

function expanded(a, dims) {
  const out = value(a.type, broadcastDims(a.dims, dims)), from = indices(a, out.dims);
  for (let n = 0; n < out.data.length; n++) out.data[n] = a.data[from[n]];
  return out;
}

function reduced(start, combine, finish = sum => sum) {
  return ({ keepdims = 1, noop_with_empty_axes: noop = 0, axes: old }, a, axes) => {
    const given = axes ? list(axes) : old ?? [];
    if (!given.length && noop) return a;
    const gone = new Set(given.length ? given.map(axis => axisOf(axis, a.dims.length)) : a.dims.keys());
    const kept = a.dims.map((size, axis) => (gone.has(axis) ? 1 : size));
    const sums = new Float64Array(count(kept)).fill(start), to = indices({ dims: kept }, a.dims);
    for (let n = 0; n < a.data.length; n++) sums[to[n]] = combine(sums[to[n]], a.data[n]);
    const members = a.data.length / sums.length;
    const out = value(a.type, keepdims ? kept : a.dims.filter((_, axis) => !gone.has(axis)));
    for (let n = 0; n < sums.length; n++) out.data[n] = finish(sums[n], members);
    return out;
  };
}

function where(_, condition, a, b) {
  const out = value(a.type, broadcastDims(condition.dims, a.dims, b.dims));
  const [of, first, second] = [condition, a, b].map(one => indices(one, out.dims));
  for (let n = 0; n < out.data.length; n++) out.data[n] = condition.data[of[n]] ? a.data[first[n]] : b.data[second[n]];
  return out;
}

function clip(_, a, low, high) {
  const [least, most] = [low?.data[0] ?? -Infinity, high?.data[0] ?? Infinity];
  return unary(number => Math.min(Math.max(number, least), most))({}, a);
}

function cast(to, a) {
  if (to === a.type) return a;
  if (to === 'b') return unary(number => (number ? 1 : 0), 'b')({}, a);
  return unary(to === 'i' ? Math.trunc : number => number, to)({}, a);
}

function range(_, start, limit, delta) {
  const size = Math.max(0, Math.ceil((limit.data[0] - start.data[0]) / delta.data[0]));
  const out = value(start.type, [size]);
  for (let n = 0; n < size; n++) out.data[n] = start.data[0] + n * delta.data[0];
  return out;
}

const quotient = (a, b, type) => (type === 'i' ? Math.trunc(a / b) : a / b);
const softplus = number => Math.max(number, 0) + Math.log1p(Math.exp(-Math.abs(number)));

export const OPERATORS = {
  Abs: unary(Math.abs),
  Add: binary((a, b) => a + b),
  And: binary((a, b) => a & b),
  Cast: ({ to }, a) => cast(TYPES[to], a),
  CastLike: (_, a, like) => cast(like.type, a),
  Clip: clip,
  Concat: concat,
  Constant: attributes => attributes.value ?? (attributes.value_ints ? integers(attributes.value_ints)
    : attributes.value_int !== undefined ? scalar('i', attributes.value_int) : scalar('f', attributes.value_float)),
  ConstantOfShape: ({ value: fill }, shape) => {
    const out = value(fill?.type ?? 'f', list(shape));
    out.data.fill(fill?.data[0] ?? 0);
    return out;
  },
  Cos: unary(Math.cos),
  Div: binary(quotient),
  Equal: binary((a, b) => a === b, 'b'),
  Exp: unary(Math.exp),
  Expand: (_, a, shape) => expanded(a, list(shape)),
  Gather: gather,
  Gemm: gemm,
  Greater: binary((a, b) => a > b, 'b'),
  GreaterOrEqual: binary((a, b) => a >= b, 'b'),
  Identity: (_, a) => a,
  Less: binary((a, b) => a < b, 'b'),
  LessOrEqual: binary((a, b) => a <= b, 'b'),
  Log: unary(Math.log),
  MatMul: matMul,
  Max: folded(binary((a, b) => Math.max(a, b))),
  Min: folded(binary((a, b) => Math.min(a, b))),
  Mul: binary((a, b) => a * b),
  Neg: unary(number => -number),
  Not: unary(number => (number ? 0 : 1)),
  Or: binary((a, b) => a | b),
  Pow: binary((a, b) => a ** b),
  Range: range,
  Reciprocal: unary(number => 1 / number),
  ReduceMax: reduced(-Infinity, Math.max),
  ReduceMean: reduced(0, (sum, number) => sum + number, (sum, members) => sum / members),
  ReduceMin: reduced(Infinity, Math.min),
  ReduceSum: reduced(0, (sum, number) => sum + number),
  ReduceSumSquare: reduced(0, (sum, number) => sum + number * number),
  Relu: unary(number => Math.max(number, 0)),
  Reshape: reshape,
  ScatterND: scatterND,
  Shape: ({ start = 0, end }, a) => integers(a.dims.slice(start, end)),
  Sigmoid: unary(number => 1 / (1 + Math.exp(-number))),
  Sign: unary(Math.sign),
  Sin: unary(Math.sin),
  Size: (_, a) => scalar('i', a.data.length),
  Slice: slice,
  Softplus: unary(softplus),
  Split: split,
  Sqrt: unary(Math.sqrt),
  Squeeze: squeeze,
  Sub: binary((a, b) => a - b),
  Sum: folded(binary((a, b) => a + b)),
  Tanh: unary(Math.tanh),
  Transpose: transpose,
  Unsqueeze: unsqueeze,
  Where: where,
};

// Operators with graphs of their own, which see the values around them.
export const CONTROL = {
  Loop({ body }, scope, trips, condition, ...carried) {
    const most = trips?.data[0] ?? Infinity, collected = [];
    let going = condition ? condition.data[0] : 1;
    for (let trip = 0; trip < most && going; trip++) {
      const found = evaluate(body, [scalar('i', trip), value('b', [], Uint8Array.of(going)), ...carried], scope);
      going = found[0].data[0];
      carried = found.slice(1, 1 + carried.length);
      found.slice(1 + carried.length).forEach((one, n) => (collected[n] ??= []).push(unsqueeze({}, one, integers([0]))));
    }
    return [...carried, ...collected.map(parts => concat({ axis: 0 }, ...parts))];
  },
  If: (branches, scope, condition) => evaluate(condition.data[0] ? branches.then_branch : branches.else_branch, [], scope),
};

function evaluate(graph, inputs, outer) {
  const known = Object.create(outer ?? graph.constants);
  if (outer) Object.assign(known, graph.constants);
  graph.inputs.forEach((name, n) => { known[name] = inputs[n]; });
  for (const [operator, from, to, attributes] of graph.nodes) {
    const given = from.map(name => (name ? known[name] : undefined));
    const control = CONTROL[operator];
    const found = control ? control(attributes, known, ...given) : OPERATORS[operator](attributes, ...given);
    if (Array.isArray(found)) to.forEach((name, n) => { known[name] = found[n]; });
    else known[to[0]] = found;
  }
  return graph.outputs.map(name => known[name]);
}

export const bytesOf = text => Uint8Array.from(atob(text), sign => sign.charCodeAt(0)).buffer;

export function tensor({ type, dims, data }) {
  return value(type, dims, typeof data === 'string' ? new ARRAYS[type](bytesOf(data)) : ARRAYS[type].from(data));
}

function prepared(graph) {
  const constants = Object.create(null);
  for (const [name, constant] of Object.entries(graph.constants)) constants[name] = tensor(constant);
  const nodes = graph.nodes.map(([operator, from, to, attributes]) => [operator, from, to, Object.fromEntries(
    Object.entries(attributes).map(([name, one]) => [name, one?.nodes ? prepared(one) : one?.dims ? tensor(one) : one]))]);
  return { ...graph, constants, nodes };
}

// A graph that runs: named values in, named values out. Inputs that it does not have are left out.
export class Graph {
  constructor(described) {
    this.graph = prepared(described);
  }

  run(given) {
    const missing = this.graph.inputs.find(name => !given[name]);
    if (missing) throw new Error(`the graph needs ${missing}`);
    const found = evaluate(this.graph, this.graph.inputs.map(name => given[name]), null);
    return Object.fromEntries(this.graph.outputs.map((name, n) => [name, found[n]]));
  }
}

export const floats = (dims, numbers) => value('f', dims, Float32Array.from(numbers));
export const decoded = text => new Float32Array(bytesOf(text));
