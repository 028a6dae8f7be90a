// The members' page: a service that knows who has logged in, and a way out.
'use strict';

const connection = new Connection(byId('state'), {
  open() {
    // websocket_chat names a client like its user unless that asks for another name.
    connection.send('WSHello');
  },
  message(data) {
    const welcome = asText(data).match(/^WSWelcome (\S+)/);
    if (welcome) byId('whoami').textContent = welcome[1];
  },
  close() {
    byId('whoami').textContent = 'nobody';
  },
  refused(reason) {
    if (reason.word === 'login') byId('signin').hidden = false;
  },
});

/**
 * Has the browser forget the login. It does when another one is refused; a user without a password
 * always is, and does not count as a guess.
 */
function signOut() {
  const request = new XMLHttpRequest();
  request.open('GET', location.pathname, true, 'signed-out', '');
  request.onloadend = () => {
    const done = request.status === 401;
    if (done) connection.close(1000, 'signed out');
    byId('signout').disabled = done;
    byId('signin').hidden = !done;
    byId('signout').textContent = done ? 'Signed out' : 'No login is asked for here';
  };
  request.send();
}

byId('signout').addEventListener('click', signOut);
connection.connect(serviceName('members'));
