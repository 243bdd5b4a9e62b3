// Columns out of the page: what report/islands.py packed.

async function island(name) {
  try {
    return await unpacked(name);
  } catch {
    throw new Error('this copy of the page is damaged, please fetch it anew');
  }
}

async function unpacked(name) {
  const text = document.getElementById(`island-${name}`).textContent;
  const end = text.indexOf('\n');
  const head = JSON.parse(text.slice(0, end));
  const bytes = await gunzipped(fromBase64(text.slice(end + 1)));
  const columns = {};
  let at = 0;
  const take = (length) => bytes.subarray(at, (at += length));
  for (const {name: key, dtype, length} of head.columns) {
    if (dtype === 'utf8') columns[key] = texts(numbers(take(4 * length), Uint32Array), take);
    else if (dtype === 'uint8') columns[key] = take(length);
    else if (dtype === 'uint16') columns[key] = numbers(take(2 * length), Uint16Array);
    else columns[key] = numbers(take(4 * length), Uint32Array);
  }
  return {about: head.about, columns};
}

function fromBase64(text) {
  const binary = atob(text);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < binary.length; i++) bytes[i] = binary.charCodeAt(i);
  return bytes;
}

async function gunzipped(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream('gzip'));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// Numbers whose bytes of the same weight lie together, the lowest first.
function numbers(planes, Kind) {
  const size = Kind.BYTES_PER_ELEMENT;
  const length = planes.length / size;
  const values = new Kind(length);
  for (let plane = 0; plane < size; plane++) {
    const from = plane * length;
    for (let i = 0; i < length; i++) values[i] |= planes[from + i] << (8 * plane);
  }
  return values;
}

function texts(lengths, take) {
  const decoder = new TextDecoder('utf-8', {ignoreBOM: true});
  return Array.from(lengths, (length) => decoder.decode(take(length)));
}
