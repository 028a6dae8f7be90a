// The overview: which of the services answer.
'use strict';

byId('address').textContent = serviceUrl('NAME');

for (const state of document.querySelectorAll('[data-service]')) {
  const name = state.dataset.service;
  const show = (value, text) => {
    state.dataset.state = value;
    state.textContent = text;
  };
  show('connecting', `looking for ${name}`);
  const socket = new WebSocket(serviceUrl(name));
  socket.onopen = () => {
    show('open', `${name} answers`);
    socket.onclose = null;
    socket.close(1000);
  };
  socket.onclose = () => show('closed', `${name} is not running`);
}
