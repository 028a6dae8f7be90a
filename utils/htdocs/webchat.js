// The chat page. The server (websocket_chat -w) gives out names and carries private
// messages; all else the pages tell each other, as JSON: {type, id, data}, id the sender.
//   hello    I am here: data {color}; `again` now and then, so that who vanished is noticed
//   welcome  so am I: the private answer to a hello
//   message  data {text, color}, with `private` when it is for one
//   goodbye  I leave
'use strict';

/** Between two signs of life, and the silence after which someone is gone, in milliseconds. */
const SIGN_TIME = 30000;
const GONE_TIME = 100000;

/** Most messages kept on the page. */
const MESSAGES = 500;

/** Most people listed: one client can claim any number of names. */
const PEOPLE = 100;

/** Colours for people who chose none, or one that another has. */
const COLORS = ['#0b6bcb', '#c2410c', '#15803d', '#a21caf', '#a16207', '#0f766e', '#be123c', '#6d28d9', '#4d7c0f', '#64748b'];

/** A name is one word, as long as the server allows. */
const NAME = /^[^\s{}]{1,29}$/;

/** The others: by name, the colour each has here and when it was last heard. */
const people = new Map();
let myself = '';

/** What the server was asked: for a name, and for addresses. Every client's text arrives here,
    so what looks like an answer of the server counts only after a question. */
let greeting = false;
const asked = new Set();

/** The last reason told, so that a series of failures is one line. */
let told = '';

const connection = new Connection(byId('state'), {
  open() {
    told = '';
    greeting = true;
    asked.clear();
    connection.send(`WSHello ${byId('nick').value.trim()}`);
  },
  message(data) {
    read(asText(data));
  },
  close(event) {
    if (myself) tell(event.code === 1000 ? 'You left.' : `You are no longer in: ${closeText(event)}.`);
    present('');
  },
  refused(reason) {
    if (reason.text !== told) tell(`Not connected: ${reason.text}.`);
    told = reason.text;
  },
});

/** Reads what arrived: answers of the server, JSON of the pages, or plain words. */
function read(text) {
  let rest = text;
  while (rest) {
    const welcome = greeting && rest.match(/^WSWelcome ([^\s{]+)\s*/);
    const answer = rest.match(/^WSIs (\S+) (undefined|[0-9a-fA-F.:]+)\s*/);
    const is = answer && asked.delete(answer[1]) ? answer : null;
    const json = rest.startsWith('{') ? takeJson(rest) : null;
    if (welcome) {
      greeting = false;
      present(welcome[1]);
      rest = rest.slice(welcome[0].length);
    } else if (is) {
      tell(is[2] === 'undefined' ? `Nobody here knows the address of ${is[1]}.` : `${is[1]} is at ${is[2]}.`);
      rest = rest.slice(is[0].length);
    } else if (json) {
      hear(json[0]);
      rest = json[1].replace(/^[\s\0]+/, '');
    } else {
      show('message', { from: 'someone', text: rest });
      rest = '';
    }
  }
}

/** A message of another page. What is not understood is shown as it is. */
function hear(json) {
  let message;
  try {
    message = JSON.parse(json);
  } catch {
    message = {};
  }
  const { type, id } = message;
  const data = typeof message.data === 'string' ? { text: message.data } : message.data || {};
  if (typeof type !== 'string' || typeof id !== 'string') {
    show('message', { from: 'someone', text: json });
    return;
  }
  if (!NAME.test(id) || id === myself) return;
  if (type === 'goodbye') {
    if (people.delete(id)) tell(`${id} left.`);
    listPeople();
    return;
  }
  meet(id, data.color, type);
  if (type === 'hello' && !data.again && people.has(id)) {
    connection.send(`WSPrivate ${id} ${pack('welcome', { color: myColor() })}`);
  } else if (type === 'message') {
    show(data.private ? 'private' : 'message', { from: id, text: String(data.text) });
  }
}

/** Someone was heard, with the colour that one has chosen. */
function meet(id, wanted, type) {
  const known = people.get(id);
  if (!known && people.size >= PEOPLE) return;
  const color = known && known.wanted === wanted ? known.color : freeColor(id, wanted);
  people.set(id, { wanted, color, seen: Date.now() });
  if (!known && type === 'hello') tell(`${id} is here.`);
  listPeople();
}

/** The wanted colour if nobody else here has it, else a free one: each has a colour of its own. */
function freeColor(id, wanted) {
  const taken = new Set([myColor()]);
  for (const [name, { color }] of people) if (name !== id) taken.add(color);
  const free = [isColor(wanted) ? wanted.toLowerCase() : '', ...COLORS].find((color) => color && !taken.has(color));
  // Past the list: turns of the golden angle are far from each other.
  return free ?? `hsl(${Math.round(people.size * 137.5) % 360} 60% 50%)`;
}

/** The server gave this page's person a name; the empty one means: not in the chat. */
function present(name) {
  const wanted = byId('nick').value.trim();
  myself = name;
  people.clear();
  for (const id of ['leave', 'to', 'text', 'send']) byId(id).disabled = !name;
  byId('join').textContent = name ? 'Change' : 'Join';
  listPeople();
  if (!name) return;
  tell(name === wanted ? `You are ${name}.` : `${wanted} is here already: you are ${name}.`);
  connection.send(pack('hello', { color: myColor() }));
  byId('text').focus();
}

function pack(type, data) {
  return JSON.stringify({ type, id: myself, data });
}

function myColor() {
  return byId('color').value;
}

/** A colour as the browser's own field writes it. */
function isColor(color) {
  return typeof color === 'string' && /^#[0-9a-f]{6}$/i.test(color);
}

/** Gives a line or a row the colour that its person has here. */
function paint(node, id) {
  const color = id === myself ? myColor() : people.get(id)?.color;
  if (color) node.style.setProperty('--own', color);
}

/** A line of the page's own. */
function tell(text) {
  show('system', { text });
}

function show(kind, { from, to, text }) {
  const list = byId('messages');
  const line = element('li');
  line.dataset.kind = kind;
  if (from) {
    line.dataset.from = from;
    if (from === myself) line.dataset.own = 'yes';
    paint(line, from);
    line.append(element('span', 'name', from === myself ? `${from} (you)` : from));
  }
  if (kind === 'private') line.append(element('span', 'tag', to ? `privately to ${to}` : 'privately'));
  line.append(element('span', 'text', text));
  const now = new Date();
  const time = element('time', 'note', now.toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' }));
  time.dateTime = now.toISOString();
  line.append(time);
  const talk = byId('talk');
  const atEnd = talk.scrollHeight - talk.scrollTop - talk.clientHeight < 40;
  list.append(line);
  while (list.children.length > MESSAGES) list.firstChild.remove();
  if (atEnd || from === myself) talk.scrollTop = talk.scrollHeight;
}

/** Lists the people here and whom a message may go to. The choice stays when its person leaves:
    a message for one must not go to everyone. */
function listPeople() {
  const names = [...people.keys()].sort((a, b) => a.localeCompare(b));
  const all = (myself ? [myself, ...names] : names).map((name) => ({ name, color: people.get(name)?.color }));
  fillList(byId('people'), all, personRow);

  const to = byId('to');
  const chosen = to.value;
  const choices = ['', ...names].map((name) => ({ name, label: name || 'everyone' }));
  if (chosen && !people.has(chosen)) choices.push({ name: chosen, label: `${chosen} (not here)` });
  fillList(to, choices, ({ name, label }) => new Option(label, name));
  to.value = chosen;
}

function personRow({ name }) {
  const row = element('li');
  row.dataset.name = name;
  paint(row, name);
  row.append(element('span', 'name', name === myself ? `${name} (you)` : name));
  if (name === myself) return row;
  const write = element('button', 'plain', 'Write');
  write.setAttribute('aria-label', `Write to ${name} privately`);
  write.dataset.action = 'private';
  write.addEventListener('click', () => {
    byId('to').value = name;
    byId('text').focus();
  });
  const whois = element('button', 'plain', 'Who?');
  whois.setAttribute('aria-label', `Ask where ${name} is`);
  whois.dataset.action = 'whois';
  whois.addEventListener('click', () => {
    asked.add(name);
    connection.send(`WSWhois ${name}`);
  });
  row.append(write, whois);
  return row;
}

function leave() {
  if (myself) connection.send(pack('goodbye', {}));
  connection.close(1000, 'left');
}

byId('joining').addEventListener('submit', (event) => {
  event.preventDefault();
  remember();
  if (myself) connection.send(pack('goodbye', {}));
  present('');
  connection.connect(serviceName('chat'));
});

byId('leave').addEventListener('click', leave);

byId('saying').addEventListener('submit', (event) => {
  event.preventDefault();
  const text = byId('text').value;
  const to = byId('to').value;
  if (!text || !myself) return;
  if (to && !people.has(to)) {
    tell(`${to} is not here: nothing was sent.`);
    return;
  }
  const data = { text, color: myColor() };
  if (to) data.private = true;
  const message = pack('message', data);
  if (!connection.send(to ? `WSPrivate ${to} ${message}` : message)) return;
  show(to ? 'private' : 'message', { from: myself, to, text });
  byId('text').value = '';
});

byId('to').addEventListener('change', listPeople);

addEventListener('pagehide', () => {
  if (myself) connection.send(pack('goodbye', {}));
});

setInterval(() => {
  if (!myself) return;
  connection.send(pack('hello', { color: myColor(), again: true }));
  for (const [name, { seen }] of people) {
    if (Date.now() - seen > GONE_TIME) people.delete(name);
  }
  listPeople();
}, SIGN_TIME);

/** Keeps name and colour for the next visit, where the browser has storage. */
function remember() {
  try {
    localStorage.setItem('chat', JSON.stringify({ nick: byId('nick').value, color: myColor() }));
  } catch {
    // Without storage the next visit starts anew.
  }
}

byId('color').value = COLORS[Math.floor(Math.random() * COLORS.length)];
try {
  const kept = JSON.parse(localStorage.getItem('chat')) || {};
  if (kept.nick) byId('nick').value = kept.nick;
  if (isColor(kept.color)) byId('color').value = kept.color;
} catch {
  // The same.
}
listPeople();
