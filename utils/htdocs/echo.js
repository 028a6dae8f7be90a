// The echo page: what was sent, what came back, and how long it took.
//
// A gateway to a byte stream may cut an answer into several messages or join two, so
// an answer is matched by its bytes: what was sent first comes back first.
'use strict';

/** Round trips in the graph, and the longest message that counts as one, in bytes. */
const TRIPS = 40;
const TRIP_BYTES = 32 * 1024;

/** Longest text shown of one message, in characters. */
const SHOWN = 300;

const LARGE = 1024 * 1024;

const log = byId('log');
const trips = [];
/** What was sent and has not come back whole: {bytes, binary, since, got, parts}. */
let pending = [];

const connection = new Connection(byId('state'), {
  open() {
    pending = [];
    enable(true);
  },
  message: received,
  close(event, opened) {
    enable(false);
    if (!opened) {
      addEntry(log, 'error', 'The gateway refused the connection, or nothing answers there.');
    }
    const reason = event.reason ? `: ${event.reason}` : '';
    const entry = addEntry(log, 'closed', `Closed with ${event.code}, ${closeMeaning(event.code)}${reason}`,
      pending.length ? `${pending.length} unanswered` : '');
    entry.dataset.code = event.code;
    entry.dataset.reason = event.reason;
    pending = [];
  },
}, { afterEnd: false });

function enable(open) {
  for (const id of ['send', 'sendbinary', 'sendlarge', 'close']) byId(id).disabled = !open;
  byId('connect').textContent = open ? 'Reconnect' : 'Connect';
}

function send(bytes, binary, words) {
  const data = binary ? bytes : new TextDecoder().decode(bytes);
  const since = performance.now();
  if (!connection.send(data)) return;
  addEntry(log, 'sent', words, note(bytes, binary));
  if (bytes.length > 0) pending.push({ bytes, binary, since, got: 0, parts: [] });
}

function received(data) {
  const now = performance.now();
  const binary = typeof data !== 'string';
  let bytes = binary ? new Uint8Array(data) : new TextEncoder().encode(data);
  while (bytes.length > 0 && pending.length > 0) {
    const first = pending[0];
    const part = bytes.subarray(0, first.bytes.length - first.got);
    first.parts.push({ part, binary });
    first.got += part.length;
    bytes = bytes.subarray(part.length);
    if (first.got < first.bytes.length) return;
    pending.shift();
    returned(first, now - first.since);
    if (bytes.length === 0) return;
  }
  // An empty message, or one that nobody here has sent.
  const entry = addEntry(log, 'received', shown(bytes, binary), note(bytes, binary));
  entry.dataset.same = bytes.length === 0 ? 'yes' : 'unasked';
  entry.dataset.type = binary ? 'binary' : 'text';
  entry.dataset.bytes = bytes.length;
}

/** All bytes of a message are back. */
function returned(message, trip) {
  const whole = new Uint8Array(message.bytes.length);
  let at = 0;
  for (const { part } of message.parts) {
    whole.set(part, at);
    at += part.length;
  }
  const binary = message.parts.some((p) => p.binary);
  const same = whole.every((byte, index) => byte === message.bytes[index]);
  const cut = message.parts.length > 1 ? ` in ${message.parts.length} messages` : '';
  const words = same ? `${milliseconds(trip)} · ${note(whole, binary)}${cut}` : `differs! ${note(whole, binary)}`;
  const entry = addEntry(log, 'received', shown(whole, binary), words, !same);
  entry.dataset.same = same ? 'yes' : 'no';
  entry.dataset.type = binary ? 'binary' : 'text';
  entry.dataset.bytes = whole.length;
  if (whole.length > TRIP_BYTES) return;
  trips.push(trip);
  if (trips.length > TRIPS) trips.shift();
  draw();
}

function note(bytes, binary) {
  return `${binary ? 'binary' : 'text'}, ${bytesText(bytes.length)}`;
}

function shown(bytes, binary) {
  if (binary) {
    const start = Array.from(bytes.subarray(0, 32), (byte) => byte.toString(16).padStart(2, '0'));
    return start.join(' ') + (bytes.length > 32 ? ' …' : '');
  }
  const text = new TextDecoder().decode(bytes.subarray(0, SHOWN * 4));
  const characters = Array.from(text);
  const long = characters.length > SHOWN || bytes.length > SHOWN * 4;
  return characters.slice(0, SHOWN).join('') + (long ? ' …' : '');
}

function milliseconds(time) {
  return time < 10 ? `${time.toFixed(2)} ms` : `${time.toFixed(0)} ms`;
}

/** A bar for each of the last round trips, the highest as high as the graph. */
function draw() {
  const space = 'http://www.w3.org/2000/svg';
  const graph = byId('graph');
  const width = graph.clientWidth || 320;
  const height = graph.clientHeight || 144;
  const top = Math.max(...trips);
  const step = width / TRIPS;
  const part = (tag, attributes, text) => {
    const made = document.createElementNS(space, tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    if (text) made.textContent = text;
    return made;
  };
  const floor = height - 1;
  const parts = [
    part('line', { x1: 0, x2: width, y1: 16, y2: 16 }),
    part('line', { x1: 0, x2: width, y1: floor, y2: floor }),
    part('text', { x: 0, y: 11 }, milliseconds(top)),
  ];
  trips.forEach((trip, index) => {
    const tall = Math.max(2, (trip / top) * (floor - 16));
    const x = width - (trips.length - index) * step;
    const bar = part('rect', { x: x + step * 0.15, y: floor - tall, width: step * 0.7, height: tall, rx: 1.5 });
    bar.append(part('title', {}, milliseconds(trip)));
    parts.push(bar);
  });
  graph.setAttribute('viewBox', `0 0 ${width} ${height}`);
  graph.replaceChildren(...parts);

  const sorted = [...trips].sort((a, b) => a - b);
  byId('rttlast').textContent = milliseconds(trips[trips.length - 1]);
  byId('rttmedian').textContent = milliseconds(sorted[Math.floor(sorted.length / 2)]);
  byId('rttleast').textContent = milliseconds(sorted[0]);
  graph.setAttribute('aria-label', `Round-trip times, the last ${trips.length}; median ${byId('rttmedian').textContent}`);
}

byId('connection').addEventListener('submit', (event) => {
  event.preventDefault();
  enable(false);
  connection.connect(byId('name').value.trim());
});

byId('closing').addEventListener('submit', (event) => {
  event.preventDefault();
  try {
    connection.close(Number(byId('closecode').value), byId('closereason').value);
  } catch (error) {
    addEntry(log, 'error', `The browser does not close with that: ${error.message}`);
  }
});

byId('message').addEventListener('submit', (event) => {
  event.preventDefault();
  const text = byId('text').value;
  send(new TextEncoder().encode(text), false, shown(new TextEncoder().encode(text), false));
});

byId('text').addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) byId('send').click();
});

byId('sendbinary').addEventListener('click', () => {
  const bytes = new TextEncoder().encode(byId('text').value);
  send(bytes, true, shown(bytes, true));
});

byId('sendlarge').addEventListener('click', () => {
  const bytes = Uint8Array.from({ length: LARGE }, (_, index) => (index * 31 + (index >> 8)) & 0xff);
  send(bytes, true, shown(bytes, true));
});

byId('name').value = serviceName('echo');
