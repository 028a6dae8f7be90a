// The SQL page: a statement to the plugin jsonsql, its rows as a table.
'use strict';

/** Most rows put on the page. */
const ROWS = 1000;

/** Rows shown of a table that is chosen from the list. */
const GLANCE = 100;

const ALL_TABLES = "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') AND name NOT LIKE 'sqlite\\_%' ESCAPE '\\' ORDER BY name";

const log = byId('log');

const rpc = new Rpc(byId('state'), {
  open() {
    byId('run').disabled = false;
    listTables();
  },
  close(event) {
    byId('run').disabled = true;
    addEntry(log, 'closed', closeText(event));
  },
  refused(reason) {
    addError(log, `Not connected: ${reason.text}.`);
  },
});

/** Runs a statement, shows its answer and lists it. */
async function run(query) {
  const since = performance.now();
  try {
    const result = await rpc.call('exec', { query });
    const words = Array.isArray(result) ? showRows(result) : showWords(result);
    remember(query, 'received', `${words}, ${(performance.now() - since).toFixed(0)} ms`);
  } catch (error) {
    showMessage(error.message, true);
    remember(query, 'error', error.message);
  }
  listTables();
}

/** Shows rows as a table; how many there are, in words. */
function showRows(rows) {
  const words = counted(rows.length, 'row');
  if (rows.length === 0) {
    showMessage('No rows.');
    return words;
  }
  const first = rows.slice(0, ROWS);
  const columns = [...new Set(first.flatMap(Object.keys))];
  const numeric = new Set(columns.filter((name) => first.some((row) => isNumber(row[name]))));
  const head = element('tr');
  for (const name of columns) {
    const cell = element('th', numeric.has(name) ? 'number' : '', name);
    cell.scope = 'col';
    head.append(cell);
  }
  const thead = element('thead');
  thead.append(head);
  const tbody = element('tbody');
  for (const row of first) {
    const line = element('tr');
    for (const name of columns) line.append(valueCell(row[name], numeric.has(name)));
    tbody.append(line);
  }
  const caption = element('caption', '', rows.length > ROWS ? `${words}, the first ${ROWS} shown` : words);
  byId('result').replaceChildren(caption, thead, tbody);
  byId('result').hidden = false;
  byId('message').hidden = true;
  return words;
}

function isNumber(value) {
  return ['number', 'bigint'].includes(typeof value);
}

function valueCell(value, isNumeric) {
  if (value === null || value === undefined) return element('td', isNumeric ? 'null number' : 'null', 'NULL');
  if (isNumber(value)) return element('td', 'number', String(value));
  return element('td', '', typeof value === 'object' ? JSON.stringify(value) : String(value));
}

function showWords(result) {
  const words = result && result.message ? String(result.message) : JSON.stringify(result);
  showMessage(words);
  return words;
}

function showMessage(text, bad = false) {
  const message = byId('message');
  message.className = bad ? 'flush error' : 'flush';
  message.textContent = text;
  message.hidden = false;
  byId('result').hidden = true;
}

/** Lists a statement as a button, which puts it back into the field. */
function remember(query, kind, note) {
  const entry = addEntry(log, kind, '', note, kind === 'error');
  const again = element('button', 'plain again', query);
  again.setAttribute('aria-label', `Edit again: ${query}`);
  again.addEventListener('click', () => {
    byId('query').value = query;
    byId('query').focus();
  });
  entry.querySelector('.text').append(again);
}

/** Lists the tables there are now. */
async function listTables() {
  let rows;
  try {
    rows = await rpc.call('exec', { query: ALL_TABLES });
  } catch {
    rows = [];
  }
  const names = Array.isArray(rows) ? rows.map((row) => String(row.name)) : [];
  fillList(byId('tables'), names, tableRow);
}

function tableRow(name) {
  const row = element('li');
  const button = element('button', '', name);
  button.dataset.table = name;
  button.addEventListener('click', () => {
    const query = `SELECT * FROM "${name.replaceAll('"', '""')}" LIMIT ${GLANCE}`;
    byId('query').value = query;
    run(query);
  });
  row.append(button);
  return row;
}

byId('asked').addEventListener('submit', (event) => {
  event.preventDefault();
  run(byId('query').value);
});

byId('query').addEventListener('keydown', (event) => {
  if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) byId('run').click();
});

rpc.connection.connect(serviceName('sql'));
