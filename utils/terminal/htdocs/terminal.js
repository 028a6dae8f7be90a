// The terminal page: xterm.js on a connection to websocket_terminal. Keys go as binary, so that
// the gateway answers in binary: a program's output need not be UTF-8 and may be cut anywhere.
'use strict';

/** Most output that waits to be shown, in bytes: a program may write faster than a page shows.
    What is older is dropped. */
const WAITING = 1024 * 1024;

/** Most output given to xterm.js at a time, in bytes. */
const TURN = 128 * 1024;

/**
 * Has style elements and attributes set by script take effect under a policy without inline
 * styles, as xterm.js needs: a policy limits what markup says, not what objects do (CSP 3,
 * section 8.4, and CSSOM).
 */
function allowStylesOfScripts() {
  const createElement = document.createElement.bind(document);
  document.createElement = (tag, options) => {
    if (tag !== 'style') return createElement(tag, options);
    const sheet = new CSSStyleSheet();
    document.adoptedStyleSheets = [...document.adoptedStyleSheets, sheet];
    // Even an empty style element breaks the policy once it is on the page: this one stands in.
    return Object.defineProperty(createElement('template'), 'textContent', {
      set: (text) => sheet.replaceSync(text),
    });
  };
  const { setAttribute } = Element.prototype;
  Element.prototype.setAttribute = function set(name, value) {
    if (name === 'style') this.style.cssText = value;
    else setAttribute.call(this, name, value);
  };
}

allowStylesOfScripts();

const encoder = new TextEncoder();
const terminal = new Terminal({
  cursorBlink: !matchMedia('(prefers-reduced-motion: reduce)').matches,
  fontFamily: getComputedStyle(document.documentElement).getPropertyValue('--mono'),
  fontSize: 14,
  theme: { background: '#101418', foreground: '#e7ebf0' },
});
const fit = new FitAddon.FitAddon();
/** Output that xterm.js has not been given yet, its length, and that of what was dropped. */
let queue = [];
let queued = 0;
let dropped = 0;
let writing = false;

const connection = new Connection(byId('state'), {
  open() {
    queue = [];
    queued = 0;
    terminal.reset();
    sendSize();
    terminal.focus();
  },
  message: show,
  refused() {},
  close(event) {
    show(`\r\n[${closeText(event)}]\r\n`);
  },
  state(state) {
    byId('close').disabled = state === 'closed';
    byId('connect').disabled = state === 'open' || state === 'connecting';
  },
}, { afterEnd: false });

/** Has output shown when what came before is. */
function show(data) {
  const bytes = typeof data === 'string' ? encoder.encode(data) : new Uint8Array(data);
  queue.push(bytes);
  queued += bytes.length;
  while (queued > WAITING) dropped += take().length;
  if (!writing) showNext();
}

function take() {
  const bytes = queue.shift();
  queued -= bytes.length;
  return bytes;
}

function showNext() {
  writing = queue.length > 0;
  if (!writing) return;
  if (dropped > 0) terminal.write(`\x18\x1b[0m\r\n[${bytesText(dropped)} not shown]\r\n`);
  dropped = 0;
  for (let given = 0; queue.length > 1 && given + queue[0].length < TURN;) {
    const bytes = take();
    given += bytes.length;
    terminal.write(bytes);
  }
  terminal.write(take(), showNext);
}

/** Tells the size of the window as xterm reports it. */
function sendSize() {
  connection.send(encoder.encode(`\x1b[8;${terminal.rows};${terminal.cols}t`));
}

terminal.loadAddon(fit);
terminal.open(byId('terminal'));
terminal.onResize(sendSize);
terminal.onData((keys) => connection.send(encoder.encode(keys)));
terminal.onBinary((keys) => connection.send(Uint8Array.from(keys, (key) => key.charCodeAt(0))));
// Tab belongs to the program: another key leads out for those who have no pointer.
terminal.attachCustomKeyEventHandler((event) => {
  if (!(event.ctrlKey && event.shiftKey && event.code === 'Space')) return true;
  if (event.type === 'keydown') byId('close').focus();
  event.preventDefault();
  return false;
});
new ResizeObserver(() => fit.fit()).observe(byId('terminal'));

byId('connection').addEventListener('submit', (event) => {
  event.preventDefault();
  connection.connect(serviceName('terminal'));
});
byId('close').addEventListener('click', () => connection.close());

connection.connect(serviceName('terminal'));
