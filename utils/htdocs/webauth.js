// The users page: four calls to the plugin authrpc, each a button. No password is written to
// the page.
'use strict';

/** How long a second press of Remove counts as the answer to the question, in milliseconds. */
const CONFIRM_TIME = 5000;

const BUTTONS = ['auth', 'rmuser', 'adduser', 'change-passwd'];
const log = byId('log');
let confirming = null;
let signed = null;

const rpc = new Rpc(byId('state'), {
  open() {
    enable(true);
  },
  close(event) {
    enable(false);
    signedIn(null);
    addEntry(log, 'closed', closeText(event));
  },
  refused(reason) {
    addError(log, `Not connected: ${reason.text}.`);
  },
});

function enable(open) {
  for (const id of BUTTONS) byId(id).disabled = !open;
}

/** What is in a field; passwords are taken as they are. */
function field(id) {
  return byId(id).value;
}

/** Shows who is signed in: it changes with a right password and when that user is removed. */
function signedIn(account) {
  signed = account && account.user;
  byId('whoami').textContent = account ? `${account.user} (${account.group})` : 'nobody';
}

/** Calls a method and lists its answer; the result, or undefined after an error. */
async function call(method, params) {
  const what = `${method} ${params.user}`;
  try {
    const result = await rpc.call(method, params);
    const entry = addEntry(log, 'received', `${what}: ${inWords(result)}`);
    entry.dataset.method = method;
    return result;
  } catch (error) {
    const entry = addEntry(log, 'error', `${what}: ${error.message}`);
    entry.dataset.method = method;
    return undefined;
  }
}

/** A result as a person reads it. */
function inWords(result) {
  if (result === null || typeof result !== 'object') return String(result);
  if (result.message) return String(result.message);
  const known = Object.entries(result).filter(([, value]) => value !== null);
  return known.map(([name, value]) => `${name} ${value}`).join(', ');
}

byId('account').addEventListener('submit', async (event) => {
  event.preventDefault();
  const account = await call('auth', { user: field('user'), passwd: field('passwd') });
  if (account) signedIn(account);
});

byId('creating').addEventListener('submit', (event) => {
  event.preventDefault();
  create();
});

async function create() {
  const params = { user: field('newuser'), passwd: field('newpasswd') };
  if (field('group')) params.group = field('group');
  if (field('home')) params.home = field('home');
  if (await call('adduser', params) === undefined) return;
  byId('creating').reset();
}

// A password keeper learns whose password changes from a field in the same form.
byId('user').addEventListener('input', () => {
  byId('changing-user').value = field('user');
});

byId('changing').addEventListener('submit', async (event) => {
  event.preventDefault();
  if (!byId('account').reportValidity()) return;
  const params = { user: field('user'), old: field('passwd'), new: field('new'), confirm: field('confirm') };
  if (await call('passwd', params) === undefined) return;
  byId('passwd').value = params.new;
  byId('new').value = '';
  byId('confirm').value = '';
});

byId('rmuser').addEventListener('click', async () => {
  if (!byId('account').reportValidity()) return;
  const user = field('user');
  if (confirming !== user) {
    ask(user);
    return;
  }
  ask(null);
  if (await call('rmuser', { user, passwd: field('passwd') }) === undefined) return;
  if (user === signed) signedIn(null);
});

/** Asks before someone is removed: the button's next press is the answer. */
function ask(user) {
  confirming = user;
  byId('rmuser').textContent = user === null ? 'Remove' : `Really remove ${user}?`;
  clearTimeout(ask.timer);
  if (user !== null) ask.timer = setTimeout(() => ask(null), CONFIRM_TIME);
}

rpc.connection.connect(serviceName('auth'));
