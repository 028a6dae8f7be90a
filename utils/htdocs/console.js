// The console: what was sent to a service, what came back, and how long it took.
'use strict';

/** Round trips in the graph. */
const TRIPS = 40;

/** Longest message that counts as a round trip, in bytes: longer ones measure the line. */
const TRIP_BYTES = 32 * 1024;

/** Most bytes sent and not yet back that are kept to compare with, before that is given up. */
const COMPARED = 4 * 1024 * 1024;

/** Longest text shown of one message, in characters, and most bytes shown as hex. */
const SHOWN = 300;
const SHOWN_BYTES = 32;

/** Length of the large message, in bytes. */
const LARGE = 1024 * 1024;

/** How often new entries are put on the page, in milliseconds: thousands a second may come. */
const FLUSH_TIME = 20;

/** Most messages kept to bring back with the arrow keys. */
const KEPT = 50;

/** Time between two looks at who shares the service, in milliseconds. */
const LOOK_TIME = 10000;

/** The service asked for first, and when the gateway lists none. */
const FALLBACK = 'echo';

const encoder = new TextEncoder();
const log = byId('log');
const trips = [];
const bytes = { sent: 0, received: 0 };

/**
 * Compares what comes back with what was sent, across message boundaries: a gateway to a byte
 * stream may cut an answer or join two. The first difference ends it: the service is no echo.
 */
class Echo {
  waiting = [];
  held = 0;
  same = true;

  /** These bytes were sent. */
  sent(sent, since) {
    if (!this.same || sent.length === 0) return;
    this.waiting.push({ sent, since, got: 0 });
    this.held += sent.length;
    if (this.held > COMPARED) this.end();
  }

  /** The messages that `got` brings back whole; null if the service is no echo. */
  received(got) {
    const whole = [];
    let rest = got;
    while (this.same && rest.length > 0) {
      const first = this.waiting[0];
      const part = first ? rest.subarray(0, first.sent.length - first.got) : rest;
      if (!first || !part.every((byte, at) => byte === first.sent[first.got + at])) {
        this.end();
        return null;
      }
      first.got += part.length;
      rest = rest.subarray(part.length);
      if (first.got < first.sent.length) break;
      this.held -= first.sent.length;
      whole.push(this.waiting.shift());
    }
    return this.same ? whole : null;
  }

  /** Whether part of a message is back. */
  get isInMessage() {
    return this.waiting.length > 0 && this.waiting[0].got > 0;
  }

  end() {
    this.same = false;
    this.waiting = [];
  }
}

let echo = new Echo();
let isOpen = false;
let isListed = false;
let nextLook = null;
/** When the oldest message without an answer was sent. */
let asked = null;
/** The answer that is coming in several messages. */
let joined = null;

const connection = new Connection(byId('state'), {
  open() {
    echo = new Echo();
    asked = null;
  },
  message: received,
  refused(reason) {
    flush();
    addError(log, `Not connected: ${reason.text}.`);
  },
  close(event) {
    endAnswer();
    enter({ kind: 'closed', what: closeText(event), data: { code: event.code, reason: event.reason } });
  },
  state(state) {
    for (const id of ['send', 'sendlarge']) byId(id).disabled = state !== 'open';
    byId('close').disabled = state === 'closed';
    byId('connect').textContent = state === 'open' ? 'Reconnect' : 'Connect';
    isOpen = state === 'open';
    lookAround();
  },
}, { afterEnd: false });

/* Who else is there */

/** Tells how many others have the same connection to the backend, if the gateway lists that. */
async function lookAround() {
  const name = byId('name').value;
  const services = isOpen && isListed ? await listServices() : null;
  const clients = services?.find((service) => service.name === name)?.clients;
  // Meanwhile it may have been closed.
  byId('sharers').textContent = isOpen && clients ? sharers(clients) : '';
  clearTimeout(nextLook);
  if (isOpen && clients !== undefined) nextLook = setTimeout(lookAround, LOOK_TIME);
}

/** So many clients, this page among them, in words. */
function sharers(clients) {
  if (clients < 2) return 'Shared: nobody else is here.';
  return `Shared: ${clients - 1} other${clients > 2 ? 's see' : ' sees'} what you see.`;
}

/** Connects to the named service, and has a reload of the page do the same. */
function connect(name) {
  byId('name').value = name;
  history.replaceState(null, '', `?${new URLSearchParams({ name })}`);
  for (const button of byId('services').querySelectorAll('button')) {
    button.setAttribute('aria-pressed', button.dataset.name === name);
  }
  connection.connect(name, byId('protocols').value.split(/[\s,]+/).filter(Boolean));
}

/* Sending */

function send(data, binary) {
  const since = performance.now();
  if (!connection.send(binary ? data : asText(data))) return;
  count('sent', data.length);
  enter({ kind: 'sent', what: shown(data, binary), note: noteOf(data.length, binary) });
  echo.sent(data, since);
  asked ??= since;
}

/** What the form asks to send: the bytes of the text, or those written in hex. */
function typed() {
  const text = byId('text').value;
  if (byId('kind').value !== 'hex') return encoder.encode(text);
  const digits = text.replace(/[\s,:]|0x/gi, '');
  if (!/^([0-9a-f]{2})*$/i.test(digits)) return null;
  return Uint8Array.from(digits.match(/../g) ?? [], (pair) => Number.parseInt(pair, 16));
}

byId('message').addEventListener('submit', (event) => {
  event.preventDefault();
  const data = typed();
  if (data === null) {
    addError(log, 'Not sent: hex bytes are pairs of the digits 0 to 9 and a to f, such as 0d 0a.');
    return;
  }
  send(data, byId('kind').value !== 'text');
  keep(byId('text').value);
  byId('text').value = '';
});

byId('sendlarge').addEventListener('click', () => {
  send(Uint8Array.from({ length: LARGE }, (_, index) => (index * 31 + (index >> 8)) & 0xff), true);
});

/* Receiving */

function received(data) {
  const now = performance.now();
  const binary = typeof data !== 'string';
  const got = binary ? new Uint8Array(data) : encoder.encode(data);
  count('received', got.length);
  const whole = echo.received(got);
  if (whole === null) {
    endAnswer();
    if (asked !== null && got.length <= TRIP_BYTES) trip(now - asked);
    asked = null;
    enter(answer(got, binary, ''));
    return;
  }
  whole.filter(({ sent }) => sent.length <= TRIP_BYTES).forEach(({ since }) => trip(now - since));
  if (whole.length > 0) asked = null;
  joined ??= { what: shown(got, binary), length: 0, messages: 0, binary, since: null };
  joined.length += got.length;
  joined.messages += 1;
  joined.since = whole[0]?.since ?? joined.since;
  if (!echo.isInMessage) endAnswer(now);
}

/** Enters the answer of an echo that came in several messages, or a part of it. */
function endAnswer(now) {
  if (joined === null) return;
  const { what, length, messages, binary, since } = joined;
  joined = null;
  const time = since === null || now === undefined ? '' : `${milliseconds(now - since)} · `;
  const cut = messages > 1 ? ` in ${messages} messages` : '';
  const same = now === undefined ? 'no' : 'yes';
  enter({ kind: 'received', what, note: `${time}${noteOf(length, binary)}${cut}`, data: dataOf(length, binary, same) });
}

function answer(got, binary) {
  return { kind: 'received', what: shown(got, binary), note: noteOf(got.length, binary), data: dataOf(got.length, binary, 'no') };
}

function dataOf(length, binary, same) {
  return { bytes: length, type: binary ? 'binary' : 'text', same };
}

function noteOf(length, binary) {
  return `${binary ? 'binary' : 'text'}, ${bytesText(length)}`;
}

/** The beginning of a message as it is shown. */
function shown(message, binary) {
  if (binary) {
    const start = Array.from(message.subarray(0, SHOWN_BYTES), (byte) => byte.toString(16).padStart(2, '0'));
    return start.join(' ') + (message.length > SHOWN_BYTES ? ' …' : '');
  }
  const characters = Array.from(asText(message.subarray(0, SHOWN * 4)));
  const long = characters.length > SHOWN || message.length > SHOWN * 4;
  return characters.slice(0, SHOWN).join('') + (long ? ' …' : '');
}

/* The history: new entries wait, so that a talkative service does not stop the page. */

let fresh = [];
let left = 0;
let flushing = null;

function enter(entry) {
  fresh.push({ ...entry, time: new Date() });
  if (fresh.length > LOG_ENTRIES) {
    fresh.shift();
    left += 1;
  }
  flushing ??= setTimeout(flush, FLUSH_TIME);
}

function flush() {
  clearTimeout(flushing);
  flushing = null;
  if (left > 0) addEntry(log, 'closed', `${counted(left, 'message')} not shown`);
  for (const { kind, what, note, data, time } of fresh) {
    const at = time.toLocaleTimeString([], { hour12: false });
    const entry = addEntry(log, kind, what, note ? `${note} · ${at}` : at);
    Object.assign(entry.dataset, data);
  }
  fresh = [];
  left = 0;
  byId('sent').textContent = bytesText(bytes.sent);
  byId('received').textContent = bytesText(bytes.received);
  draw();
}

function count(way, length) {
  bytes[way] += length;
}

/* Round trips */

function trip(time) {
  trips.push(time);
  if (trips.length > TRIPS) trips.shift();
}

function milliseconds(time) {
  return time < 10 ? `${time.toFixed(2)} ms` : `${time.toFixed(0)} ms`;
}

function svg(tag, attributes, text) {
  const made = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  if (text) made.textContent = text;
  return made;
}

/** A bar for each of the last round trips; the longest fills the height. */
function draw() {
  if (trips.length === 0) return;
  const graph = byId('graph');
  const width = graph.clientWidth || 320;
  const height = graph.clientHeight || 144;
  const top = Math.max(...trips);
  const step = width / TRIPS;
  const floor = height - 1;
  const parts = [
    svg('line', { x1: 0, x2: width, y1: 16, y2: 16 }),
    svg('line', { x1: 0, x2: width, y1: floor, y2: floor }),
    svg('text', { x: 0, y: 11 }, milliseconds(top)),
  ];
  trips.forEach((time, index) => {
    const tall = Math.max(2, (time / top) * (floor - 16));
    const x = width - (trips.length - index) * step;
    const bar = svg('rect', { x: x + step * 0.15, y: floor - tall, width: step * 0.7, height: tall, rx: 1.5 });
    bar.append(svg('title', {}, milliseconds(time)));
    parts.push(bar);
  });
  graph.setAttribute('viewBox', `0 0 ${width} ${height}`);
  graph.replaceChildren(...parts);

  const sorted = [...trips].sort((a, b) => a - b);
  byId('last').textContent = milliseconds(trips[trips.length - 1]);
  byId('median').textContent = milliseconds(sorted[Math.floor(sorted.length / 2)]);
  byId('least').textContent = milliseconds(sorted[0]);
  graph.setAttribute('aria-label', `Round trips, the last ${trips.length}; median ${byId('median').textContent}`);
}

/* What was typed before: kept for as long as the tab is open, where the browser lets us. */

let kept = [];
let shownKept = 0;

function keep(text) {
  if (text && kept[kept.length - 1] !== text) kept = [...kept, text].slice(-KEPT);
  shownKept = kept.length;
  try {
    sessionStorage.setItem('console', JSON.stringify(kept));
  } catch {
    // Without storage a reload forgets.
  }
}

try {
  kept = (JSON.parse(sessionStorage.getItem('console')) ?? []).filter((text) => typeof text === 'string');
  shownKept = kept.length;
} catch {
  // Without storage the list starts empty.
}

/** Puts an earlier or later message into the field; past the newest it is empty. */
function recall(step) {
  shownKept = Math.min(Math.max(shownKept + step, 0), kept.length);
  const field = byId('text');
  field.value = kept[shownKept] ?? '';
  // The same key goes on from there, past a message of several lines too.
  const caret = step < 0 ? 0 : field.value.length;
  field.setSelectionRange(caret, caret);
}

byId('text').addEventListener('keydown', (event) => {
  const field = byId('text');
  if (event.isComposing) return;
  const before = field.value.slice(0, field.selectionStart);
  const after = field.value.slice(field.selectionEnd);
  if (event.key === 'Enter' && !event.shiftKey) byId('send').click();
  else if (event.key === 'ArrowUp' && !before.includes('\n')) recall(-1);
  else if (event.key === 'ArrowDown' && !after.includes('\n')) recall(1);
  else return;
  event.preventDefault();
});

/* Connecting */

byId('connection').addEventListener('submit', (event) => {
  event.preventDefault();
  connect(byId('name').value.trim());
});

byId('close').addEventListener('click', () => {
  try {
    connection.close(Number(byId('closecode').value), byId('closereason').value);
  } catch (error) {
    addError(log, `The browser does not close with that: ${error.message}`);
  }
});

function serviceRow(service) {
  const { name } = service;
  const row = element('li');
  const button = element('button');
  button.append(...serviceParts(service));
  button.dataset.name = name;
  button.type = 'button';
  button.addEventListener('click', () => connect(name));
  row.append(button);
  return row;
}

/**
 * Connects by itself: to what the query names, else to an echo, else to the first service that can
 * be had. That of the status page speaks all the time and hears nothing.
 */
async function start() {
  byId('address').textContent = serviceUrl('');
  // Where the gateway shows this page by itself, the other pages are not there.
  byId('pages').hidden = !location.pathname.endsWith('/console.html');
  const list = await listServices();
  const services = list ?? [];
  isListed = list !== null;
  fillList(byId('services'), services, serviceRow);
  const ready = services.filter(({ name, state }) => !STATES[state] && name !== '-status');
  const first = ready.find(({ name }) => name === FALLBACK) ?? ready[0] ?? services[0];
  connect(serviceName(first?.name ?? FALLBACK));
}

start();
