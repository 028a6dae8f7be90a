// JSON over a connection: texts found in a stream, and calls by JSON-RPC 2.0.
'use strict';

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

/** Longest wait for an answer, in milliseconds. */
const ANSWER_TIME = 15000;

/**
 * A JSON-RPC 2.0 client on a connection. A byte stream behind the gateway may cut answers and
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
      close: (event) => {
        this.waiting.forEach((call) => call.fail('the connection ended'));
        this.waiting.clear();
        on.close(event);
      },
      refused: on.refused,
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
