// What all pages share: a connection that reconnects, the reason when it cannot, the list of
// services, a log, and helpers that put text on the page as text, never as HTML.
'use strict';

/** First and longest pause before connecting again, in milliseconds. */
const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 30000;

/** After a connection of this length the pauses start again at the first, in milliseconds. */
const GOOD_TIME = 5000;

/** Longest wait for the gateway's answer to a plain request, in milliseconds. */
const REASON_TIME = 5000;

/**
 * Where the gateway lists its services: {"services": [{"name": "echo", "state": "running"}, ...]}. One
 * that clients share has "clients", how many there are now.
 */
const LISTING = '/-/services';

/** Most services listed. */
const SERVICES = 200;

/** Most entries a log keeps. */
const LOG_ENTRIES = 200;

/** The element with this id. */
function byId(id) {
  return document.getElementById(id);
}

/** A new element with a class and a text. */
function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

/** The service named in the query (`?name=`), or the page's own. */
function serviceName(fallback) {
  return new URLSearchParams(location.search).get('name') ?? fallback;
}

/** The path of a service: its name, percent-encoded. */
function servicePath(name) {
  return `/${name.split('/').map(encodeURIComponent).join('/')}`;
}

/** The address of a service on the host and port this page came from. */
function serviceUrl(name) {
  const scheme = location.protocol === 'https:' ? 'wss:' : 'ws:';
  return `${scheme}//${location.host}${servicePath(name)}`;
}

/** What the list says of a service that cannot be had now; of others it says nothing here. */
const STATES = {
  stopped: 'not running',
  denied: 'not open to the gateway',
};

/** The services there are: name and state, by name; null if the gateway does not list them. */
async function listServices() {
  try {
    const answer = await fetch(LISTING, { cache: 'no-store', signal: AbortSignal.timeout(REASON_TIME) });
    if (!answer.ok) return null;
    const { services } = await answer.json();
    const named = services.filter(({ name }) => typeof name === 'string');
    return named.slice(0, SERVICES).sort((a, b) => a.name.localeCompare(b.name));
  } catch {
    return null;
  }
}

/**
 * What the status of a plain GET of a service's name says about a failed handshake: a word,
 * a sentence's end, and whether trying again is useless until someone acts.
 */
const REASONS = {
  401: ['login', 'asks for a login', true],
  403: ['denied', 'is not allowed by the gateway: see allow, deny and groups in its configuration', true],
  404: ['absent', 'is not there: the gateway serves no such name', false],
  421: ['host', 'cannot be reached by this host name: see hostname in the gateway\'s configuration', true],
  426: ['stopped', 'is not running: nothing accepts its connections', false],
  503: ['busy', 'cannot serve now: it is not running, or too many clients are connected', false],
};

/**
 * The likely reason why a handshake failed. A browser hides the refusal's status from a page,
 * so this asks for the same path without an upgrade (RFC 9110, section 15.5.22: 426).
 */
async function findReason(name) {
  const called = name || 'the service at /';
  const reason = (word, text, final = false) => ({ word, text: `${called} ${text}`, final });
  let answer;
  try {
    answer = await fetch(servicePath(name), { cache: 'no-store', signal: AbortSignal.timeout(REASON_TIME) });
  } catch {
    return { word: 'away', text: 'the gateway does not answer: it has stopped, or the network is down', final: false };
  }
  if (answer.ok) {
    answer.body?.cancel();
    // A page stands at / beside a service, whether that runs or not.
    if (name) return reason('file', 'is not a service but a page or file', true);
  }
  const status = answer.ok ? 426 : answer.status;
  if (status === 426) {
    const listed = (await listServices())?.find((service) => service.name === name);
    if (listed?.state === 'denied') {
      return reason('closed', "is running, but the gateway's user may not connect to its socket");
    }
    if (listed?.state === 'running') {
      return reason('spoiled', "is running, but no WebSocket gets through: the gateway's log says why, often a proxy in front that does not pass the upgrade on");
    }
  }
  const known = REASONS[status];
  return known ? reason(...known) : reason('refused', `is refused with status ${answer.status}`);
}

/** What a list shows of a service: its name, and why it cannot be had. */
function serviceParts({ name, state }) {
  const parts = [element('span', 'mono', name || '/')];
  if (STATES[state]) parts.push(' ', element('span', 'aside', STATES[state]));
  return parts;
}

/** What a close code means (RFC 6455, section 7.4.1, and the IANA registry). */
function closeMeaning(code) {
  const meanings = {
    1000: 'normal end',
    1001: 'the gateway is going away',
    1002: 'protocol error',
    1003: 'type not accepted',
    1005: 'no code given',
    1006: 'the connection was cut',
    1007: 'text that is not UTF-8',
    1008: 'against the rules',
    1009: 'message too big',
    1011: 'the server behind the gateway failed',
    1012: 'the gateway restarts',
    1013: 'full, try again later',
    1014: 'bad answer of the server behind the gateway',
  };
  return meanings[code] || 'code of the application';
}

/** A close event in words. */
function closeText(event) {
  return `Closed with ${event.code}, ${closeMeaning(event.code)}${event.reason ? `: ${event.reason}` : ''}`;
}

/**
 * A WebSocket that reconnects with growing, slightly random pauses until it is told to stop.
 *
 * Calls `on.open()`, `on.message(data)`, `on.close(event)` at the end of a connection that was
 * open, and `on.refused(reason)` when one could not be opened. The state is closed, connecting,
 * open or waiting: `stateElement` shows it, `on.state(state)`, where there is one, is told of it.
 * It does not reconnect after an end that this page asked for, after a reason that is final, nor,
 * with `afterEnd` false, after a normal end (1000).
 */
class Connection {
  constructor(stateElement, on, { afterEnd = true } = {}) {
    this.stateElement = stateElement;
    this.on = on;
    this.afterEnd = afterEnd;
    this.socket = null;
    this.timer = null;
    this.pause = FIRST_PAUSE;
    this.show('closed', 'Not connected');
  }

  get isOpen() {
    return this.socket !== null && this.socket.readyState === WebSocket.OPEN;
  }

  /** Connects to the service after leaving the one before. */
  connect(name, protocols = []) {
    this.abandon();
    this.name = name;
    this.protocols = protocols;
    this.pause = FIRST_PAUSE;
    this.open();
  }

  open() {
    let opened = 0;
    let socket;
    try {
      socket = new WebSocket(serviceUrl(this.name), this.protocols);
    } catch (error) {
      this.show('closed', `Cannot connect: ${error.message}`);
      return;
    }
    socket.binaryType = 'arraybuffer';
    this.socket = socket;
    this.leaving = false;
    this.show('connecting', `Connecting to ${socket.url}`);
    socket.onopen = () => {
      opened = performance.now();
      this.show('open', `Connected to ${socket.url}${socket.protocol ? `, ${socket.protocol}` : ''}`);
      this.on.open();
    };
    socket.onmessage = (event) => this.on.message(event.data);
    socket.onclose = (event) => {
      this.socket = null;
      if (opened) this.on.close(event);
      if (opened && performance.now() - opened > GOOD_TIME) this.pause = FIRST_PAUSE;
      const ended = opened && event.code === 1000 && !this.afterEnd;
      if (this.leaving || ended) this.show('closed', opened ? closeText(event) : 'Not connected');
      else this.retry(opened ? closeText(event) : null);
    };
  }

  /**
   * Connects again after a pause, which doubles each time. `ended` says how the connection ended;
   * null if there was none, and then this finds out why.
   */
  async retry(ended) {
    const pause = this.pause * (0.75 + Math.random() / 2);
    this.pause = Math.min(this.pause * 2, LONGEST_PAUSE);
    const timer = setTimeout(() => this.open(), pause);
    this.timer = timer;
    const next = `trying again in ${Math.max(1, Math.round(pause / 1000))} s`;
    this.show('waiting', `${ended ?? 'Not connected'}; ${next}`);
    if (ended) return;
    const reason = await findReason(this.name);
    if (this.timer !== timer || this.state !== 'waiting') return;
    if (reason.final) clearTimeout(timer);
    if (reason.final) this.show('closed', `Not connected: ${reason.text}`);
    else this.show('waiting', `Not connected: ${reason.text}; ${next}`);
    this.on.refused(reason);
  }

  /** Sends text or bytes; false if there is no connection. */
  send(data) {
    if (!this.isOpen) return false;
    this.socket.send(data);
    return true;
  }

  /** Ends the connection with a code and a reason; it does not reconnect. */
  close(code = 1000, reason = '') {
    clearTimeout(this.timer);
    if (this.socket === null) {
      this.show('closed', 'Not connected');
      return;
    }
    this.socket.close(code, reason);
    this.leaving = true;
  }

  /** Drops the connection and a planned one; their ends are not reported. */
  abandon() {
    clearTimeout(this.timer);
    if (this.socket === null) return;
    const socket = this.socket;
    this.socket = null;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
  }

  show(state, text) {
    this.state = state;
    this.stateElement.dataset.state = state;
    this.stateElement.textContent = text;
    this.on.state?.(state);
  }
}

/** Puts an entry on top of a log: its kind, what happened, and a note beside it. */
function addEntry(log, kind, what, note, bad) {
  const entry = element('li');
  entry.dataset.kind = kind;
  const words = { sent: 'Sent: ', received: 'Received: ', error: 'Error: ' };
  const text = element('span', 'what');
  text.append(element('span', 'hidden', words[kind] ?? ''), element('span', 'text', what));
  entry.append(text);
  if (note) entry.append(element('span', bad ? 'note bad' : 'note', note));
  log.prepend(entry);
  while (log.children.length > LOG_ENTRIES) log.lastChild.remove();
  return entry;
}

/** Puts an error on top of a log; one that is there already is counted instead. */
function addError(log, what) {
  const newest = log.firstChild;
  const same = newest?.dataset.kind === 'error' && newest.querySelector('.text').textContent === what;
  const times = same ? Number(newest.dataset.times) + 1 : 1;
  if (same) newest.remove();
  addEntry(log, 'error', what, times > 1 ? `${times} times` : '').dataset.times = times;
}

/**
 * Fills a list with a row for each of `values`, but only if they have changed. The keyboard's
 * focus stays on the button it was on.
 */
function fillList(list, values, row) {
  const content = JSON.stringify(values);
  if (list.dataset.content === content) return;
  list.dataset.content = content;
  const held = list.contains(document.activeElement) ? buttonName(document.activeElement) : null;
  list.replaceChildren(...values.map(row));
  if (held === null) return;
  const again = [...list.querySelectorAll('button')].find((button) => buttonName(button) === held);
  if (again) again.focus();
}

/** What a screen reader calls a button. */
function buttonName(button) {
  return button.getAttribute('aria-label') || button.textContent;
}

/** A count with its noun: 1 row, 2 rows. */
function counted(count, noun) {
  return `${count} ${noun}${count === 1 ? '' : 's'}`;
}

/** A number of bytes, readable. */
function bytesText(count) {
  if (count < 1024) return counted(count, 'byte');
  if (count < 1048576) return `${(count / 1024).toFixed(1)} KiB`;
  return `${(count / 1048576).toFixed(1)} MiB`;
}

/** What arrived, as text. */
function asText(data) {
  return typeof data === 'string' ? data : new TextDecoder().decode(data);
}
