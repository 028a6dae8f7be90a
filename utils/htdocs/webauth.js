// The users page: four calls to the plugin authrpc, each a button. No password is ever
// written to the page.
'use strict';

/** How long a second press of Remove counts as the answer to the question, in milliseconds. */
const CONFIRM_TIME = 5000;

const BUTTONS = ['auth', 'rmuser', 'adduser', 'change-passwd'];
const log = byId('log');
let confirming = null;

const rpc = new Rpc(byId('state'), {
  open() {
    enable(true);
  },
  close(event, opened) {
    enable(false);
    signedIn(null);
    if (rpc.connection.failures > 1) return;
    addEntry(log, opened ? 'closed' : 'error', opened
      ? `Closed with ${event.code}, ${closeMeaning(event.code)}`
      : 'The service does not answer.');
  },
});

function enable(open) {
  for (const id of BUTTONS) byId(id).disabled = !open;
}

/** What is in a field; passwords are taken as they are. */
function field(id) {
  return byId(id).value;
}

/** Who this connection belongs to now. */
function signedIn(account) {
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

/** Runs an action when the form's user is filled in. */
function whenFilled(action) {
  return () => {
    if (byId('account').reportValidity()) action();
  };
}

byId('account').addEventListener('submit', async (event) => {
  event.preventDefault();
  const account = await call('auth', { user: field('user'), passwd: field('passwd') });
  if (account) signedIn(account);
});

byId('adduser').addEventListener('click', whenFilled(() => {
  const params = { user: field('user'), passwd: field('passwd') };
  if (field('group')) params.group = field('group');
  if (field('home')) params.home = field('home');
  call('adduser', params);
}));

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

byId('rmuser').addEventListener('click', whenFilled(() => {
  const user = field('user');
  if (confirming !== user) {
    ask(user);
    return;
  }
  ask(null);
  call('rmuser', { user, passwd: field('passwd') });
}));

/** Asks before someone is removed: the button's next press is the answer. */
function ask(user) {
  confirming = user;
  byId('rmuser').textContent = user === null ? 'Remove' : `Really remove ${user}?`;
  clearTimeout(ask.timer);
  if (user !== null) ask.timer = setTimeout(() => ask(null), CONFIRM_TIME);
}

rpc.connection.connect(serviceName('auth'));
