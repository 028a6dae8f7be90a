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

/** Most people listed: anyone can say to be any number of them. */
const PEOPLE = 100;

/** What a name is: one word, as long as the server lets it be. */
const NAME = /^[^\s{}]{1,29}$/;

const people = new Map();
let myself = '';

/** What the server has been asked: for a name, and for addresses. All hear all, so that what
    looks like its answer is none unless there was a question. */
let greeting = false;
const asked = new Set();

const connection = new Connection(byId('state'), {
  open() {
    greeting = true;
    asked.clear();
    connection.send(`WSHello ${byId('nick').value.trim()}`);
  },
  message(data) {
    read(asText(data));
  },
  close(event, opened) {
    if (myself) tell(`You left: ${event.code}, ${closeMeaning(event.code)}.`);
    else if (connection.failures === 1) tell('The chat does not answer.');
    present('');
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
    show(data.private ? 'private' : 'message', { from: id, text: String(data.text), color: data.color });
  }
}

/** Someone gave a sign of life. */
function meet(id, color, type) {
  const known = people.get(id);
  if (!known && people.size >= PEOPLE) return;
  people.set(id, { color: color || (known && known.color), seen: Date.now() });
  if (!known && type === 'hello') tell(`${id} is here.`);
  listPeople();
}

/** The server gave us this name; the empty one means that we are not in. */
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

/** Only a colour as the browser's own field makes it, never another style. */
function paint(node, color) {
  if (/^#[0-9a-f]{6}$/i.test(color || '')) node.style.setProperty('--own', color);
}

/** A line of the page's own. */
function tell(text) {
  show('system', { text });
}

function show(kind, { from, to, text, color }) {
  const list = byId('messages');
  const line = element('li');
  line.dataset.kind = kind;
  if (from) {
    line.dataset.from = from;
    const name = element('span', 'name', from);
    paint(name, color);
    line.append(name);
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

/** The people here, and whom a message may go to. Who was chosen stays so: what is for one
    alone must not go to everyone because that one has left. */
function listPeople() {
  const names = [...people.keys()].sort((a, b) => a.localeCompare(b));
  const others = names.map((name) => ({ name, color: people.get(name).color }));
  const all = myself ? [{ name: myself, color: myColor(), me: true }, ...others] : others;
  fillList(byId('people'), all, personRow);

  const to = byId('to');
  const chosen = to.value;
  const choices = ['', ...names].map((name) => ({ name, label: name || 'everyone' }));
  if (chosen && !people.has(chosen)) choices.push({ name: chosen, label: `${chosen} (not here)` });
  fillList(to, choices, ({ name, label }) => new Option(label, name));
  to.value = chosen;
}

function personRow({ name, color, me }) {
  const row = element('li');
  row.dataset.name = name;
  const label = element('span', 'name', me ? `${name} (you)` : name);
  paint(label, color);
  row.append(label);
  if (me) return row;
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
  show(to ? 'private' : 'message', { from: myself, to, text, color: myColor() });
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

/** Name and colour are kept for the next visit, where the browser lets us. */
function remember() {
  try {
    localStorage.setItem('chat', JSON.stringify({ nick: byId('nick').value, color: myColor() }));
  } catch {
    // A browser that keeps nothing still chats.
  }
}

try {
  const kept = JSON.parse(localStorage.getItem('chat')) || {};
  if (kept.nick) byId('nick').value = kept.nick;
  if (kept.color) byId('color').value = kept.color;
} catch {
  // The same.
}
listPeople();
