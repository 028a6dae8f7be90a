// The status page: each message of the service -status is the whole state, and replaces the last.
'use strict';

/** Most clients shown: more rows would keep the browser busy. */
const MOST_CLIENTS = 500;

/** Seconds as the two units that say the most. */
function timeText(seconds) {
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${seconds % 60} s`;
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.floor(seconds / 60) % 60} min`;
  return `${Math.floor(seconds / 86400)} d ${Math.floor(seconds / 3600) % 24} h`;
}

/** What a client does; one whose sides are silent holds no thread. */
function stateText({ state, threads }) {
  return state === 'open' && threads === 0 ? 'open, silent' : state;
}

/** The names of the columns, which a narrow screen shows beside each value. */
const COLUMNS = [...document.querySelectorAll('#clients-table th')].map((heading) => heading.textContent);

/** A row of the table of clients. */
function clientRow(client) {
  const numbers = [
    timeText(client.since), timeText(client.idle),
    bytesText(client.bytes_to_backend), bytesText(client.bytes_to_client),
  ];
  const cells = [
    element('td', 'number', String(client.id)),
    element('td', '', client.peer),
    element('td', 'long', client.service ?? ''),
    element('td', 'long', client.user ?? ''),
    element('td', '', stateText(client)),
    ...numbers.map((text) => element('td', 'number', text)),
  ];
  cells.forEach((cell, index) => {
    cell.setAttribute('role', 'cell');
    cell.dataset.column = COLUMNS[index];
  });
  const row = element('tr');
  row.setAttribute('role', 'row');
  row.append(...cells);
  return row;
}

/** The lines of what was counted. */
function countLines({ uptime, totals, servers }) {
  const list = (counts) => Object.entries(counts).map(([name, count]) => `${name.replaceAll('_', ' ')}: ${count}`).join(', ') || 'none';
  const lines = [
    `Up ${timeText(uptime)}, ${totals.connections} connections, ${totals.handed_over} handed over, ${totals.reloads} reloads`,
    `${bytesText(totals.bytes_to_backends)} to backends, ${bytesText(totals.bytes_to_clients)} to clients`,
    `Refused: ${list(totals.refusals)}`,
    `Closed: ${list(totals.closes)}`,
  ];
  for (const { file, ends } of servers.flatMap((server) => server.certificates)) {
    lines.push(`Certificate ${file} ends ${new Date(ends * 1000).toISOString().slice(0, 10)}`);
  }
  return lines;
}

function showState(state) {
  const names = state.servers.map(({ name, served, maxclients }) => `${name}: ${served} of ${maxclients} clients`);
  byId('summary').textContent = names.join('; ');
  const clients = state.servers.flatMap((server) => server.clients).slice(0, MOST_CLIENTS);
  byId('clients').replaceChildren(...clients.map(clientRow));
  byId('counts').replaceChildren(...countLines(state).map((line) => element('li', '', line)));
}

const connection = new Connection(byId('state'), {
  open() {},
  message(data) {
    showState(JSON.parse(data));
  },
  close() {},
  refused() {},
});
connection.connect(serviceName('-status'));
