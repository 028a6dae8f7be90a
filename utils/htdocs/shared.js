// What all the pages share: a connection that comes back by itself, a log, and
// small helpers that put text on the page as text, never as HTML.
'use strict';

/** First and longest wait before connecting again, in milliseconds. */
const FIRST_WAIT = 500;
const LONGEST_WAIT = 30000;

/** A connection that lasted as long was a good one: the waits begin anew, in milliseconds. */
const GOOD_TIME = 5000;

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

/** The name in the query (`?name=`), or the page's own. */
function serviceName(fallback) {
  return new URLSearchParams(location.search).get('name') || fallback;
}

/** The address of a service on the host and port this page came from. */
function serviceUrl(name) {
  const scheme = location.protocol === 'https:' ? 'wss:' : 'ws:';
  const path = name.split('/').map(encodeURIComponent).join('/');
  return `${scheme}//${location.host}/${path}`;
}

/** What a close code means (RFC 6455, section 7.4.1). */
function closeMeaning(code) {
  const meanings = {
    1000: 'normal end',
    1001: 'the gateway is going away',
    1002: 'protocol error',
    1003: 'type not accepted',
    1005: 'no code given',
    1006: 'refused or cut, without a close',
    1007: 'text that is not UTF-8',
    1008: 'against the rules',
    1009: 'message too big',
    1011: 'the server behind the gateway failed',
    1012: 'the gateway restarts',
    1013: 'try again later',
  };
  return meanings[code] || 'code of the application';
}

/**
 * A WebSocket that reconnects with growing, slightly random pauses until it is told to stop.
 *
 * `on.open()`, `on.message(data)`, `on.close(event, opened)` are called as things happen;
 * `stateElement` shows where it stands: data-state is closed, connecting, open or waiting.
 * `failures` counts the attempts in vain since the last connection, so that a page can tell
 * of the first only. It does not reconnect after an end that this page asked for, nor,
 * with `afterEnd` false, after one in order (1000).
 */
class Connection {
  constructor(stateElement, on, { afterEnd = true } = {}) {
    this.stateElement = stateElement;
    this.on = on;
    this.afterEnd = afterEnd;
    this.socket = null;
    this.timer = null;
    this.wait = FIRST_WAIT;
    this.failures = 0;
    this.show('closed', 'Not connected');
  }

  get isOpen() {
    return this.socket !== null && this.socket.readyState === WebSocket.OPEN;
  }

  /** Connects to the service, leaving the one before. */
  connect(name) {
    this.abandon();
    this.name = name;
    this.wait = FIRST_WAIT;
    this.failures = 0;
    this.open();
  }

  open() {
    let opened = 0;
    let socket;
    try {
      socket = new WebSocket(serviceUrl(this.name));
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
      this.failures = 0;
      this.show('open', `Connected to ${socket.url}`);
      this.on.open();
    };
    socket.onmessage = (event) => this.on.message(event.data);
    socket.onclose = (event) => {
      this.socket = null;
      if (!opened) this.failures += 1;
      else if (performance.now() - opened > GOOD_TIME) this.wait = FIRST_WAIT;
      const again = !this.leaving && (this.afterEnd || event.code !== 1000);
      if (again) this.retry();
      else this.show('closed', 'Not connected');
      this.on.close(event, opened > 0);
    };
  }

  /** Connects again after a pause, which doubles each time. */
  retry() {
    const pause = this.wait * (0.75 + Math.random() / 2);
    this.wait = Math.min(this.wait * 2, LONGEST_WAIT);
    const seconds = Math.max(1, Math.round(pause / 1000));
    this.show('waiting', `Not connected; trying again in ${seconds} s`);
    this.timer = setTimeout(() => this.open(), pause);
  }

  /** Sends text or bytes; false if there is no connection. */
  send(data) {
    if (!this.isOpen) return false;
    this.socket.send(data);
    return true;
  }

  /** Ends the connection with a code and a reason; it does not come back by itself. */
  close(code = 1000, reason = '') {
    clearTimeout(this.timer);
    if (this.socket === null) {
      this.show('closed', 'Not connected');
      return;
    }
    this.socket.close(code, reason);
    this.leaving = true;
  }

  /** Lets go of the connection and of all that is planned for it, without a word. */
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
  }
}

/** Puts an entry on top of a log: its kind, what happened, and a note beside it. */
function addEntry(log, kind, what, note, bad) {
  const entry = element('li');
  entry.dataset.kind = kind;
  const words = { sent: 'Sent: ', received: 'Received: ', closed: '', error: 'Error: ' };
  const text = element('span', 'what');
  text.append(element('span', 'hidden', words[kind]), element('span', 'text', what));
  entry.append(text);
  if (note) entry.append(element('span', bad ? 'note bad' : 'note', note));
  log.prepend(entry);
  while (log.children.length > LOG_ENTRIES) log.lastChild.remove();
  return entry;
}

/**
 * Fills a list with a row for each of `values`, but only if they are others than before. Who
 * is in the list with the keyboard stays where they are.
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

/** A number of bytes, readable. */
function bytesText(count) {
  if (count < 1024) return `${count} bytes`;
  if (count < 1048576) return `${(count / 1024).toFixed(1)} KiB`;
  return `${(count / 1048576).toFixed(1)} MiB`;
}

/** The first JSON text in `text` and what follows it; null if its end has not come yet. */
function takeJson(text) {
  const start = text.search(/[{[]/);
  if (start < 0) return null;
  let depth = 0;
  let quoted = false;
  for (let at = start; at < text.length; at += 1) {
    const c = text[at];
    if (quoted) {
      if (c === '\\') at += 1;
      else if (c === '"') quoted = false;
    } else if (c === '"') quoted = true;
    else if (c === '{' || c === '[') depth += 1;
    else if (c === '}' || c === ']') depth -= 1;
    if (depth === 0) return [text.slice(start, at + 1), text.slice(at + 1)];
  }
  return null;
}

/** What arrived, as text. */
function asText(data) {
  return typeof data === 'string' ? data : new TextDecoder().decode(data);
}

/** Longest wait for an answer, in milliseconds. */
const ANSWER_TIME = 15000;

/**
 * A JSON-RPC 2.0 client on a connection. A stream behind the gateway may cut answers and
 * join them, so it reads JSON texts, not messages.
 */
class Rpc {
  constructor(stateElement, on) {
    this.waiting = new Map();
    this.next = 1;
    this.unread = '';
    this.connection = new Connection(stateElement, {
      open: () => {
        this.unread = '';
        on.open();
      },
      message: (data) => this.read(asText(data)),
      close: (event, opened) => {
        this.waiting.forEach((call) => call.fail('the connection ended'));
        this.waiting.clear();
        on.close(event, opened);
      },
    });
  }

  /** Calls a method; the promise brings its result, or an Error with the server's words. */
  call(method, params) {
    const id = this.next;
    this.next += 1;
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.take(id)?.fail('no answer in time'), ANSWER_TIME);
      const done = (settle) => (value) => {
        clearTimeout(timer);
        settle(value);
      };
      const fail = done((words) => reject(new Error(words)));
      this.waiting.set(id, { resolve: done(resolve), fail });
      if (!this.connection.send(JSON.stringify({ jsonrpc: '2.0', id, method, params }))) {
        this.take(id).fail('not connected');
      }
    });
  }

  read(text) {
    this.unread += text;
    for (let taken = takeJson(this.unread); taken; taken = takeJson(this.unread)) {
      this.unread = taken[1];
      this.answer(taken[0]);
    }
  }

  answer(text) {
    let answer;
    try {
      answer = JSON.parse(text, exactly);
    } catch {
      return;
    }
    const call = this.take(answer.id);
    if (!call) return;
    if (answer.error) call.fail(errorText(answer.error));
    else call.resolve(answer.result);
  }

  take(id) {
    const call = this.waiting.get(id);
    this.waiting.delete(id);
    return call;
  }
}

/** Keeps an integer that a number would round, where the browser tells how it was written. */
function exactly(key, value, context) {
  const whole = typeof value === 'number' && context && /^-?\d+$/.test(context.source);
  return whole && !Number.isSafeInteger(value) ? BigInt(context.source) : value;
}

/** A JSON-RPC error in words: its message and, where there is more, its data. */
function errorText(error) {
  const data = error.data;
  const more = typeof data === 'string' ? data : data && data.message;
  return more && more !== error.message ? `${error.message}: ${more}` : String(error.message);
}
