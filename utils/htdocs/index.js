// The overview: which of the sample services answer, and which services there are.
'use strict';

/** Shows whether the service answers and, if not, the likely reason. */
function look(node) {
  const name = node.dataset.service;
  const show = (state, text) => {
    node.dataset.state = state;
    node.textContent = text;
  };
  show('connecting', `looking for ${name}`);
  const socket = new WebSocket(serviceUrl(name));
  socket.onopen = () => {
    show('open', `${name} answers`);
    socket.onclose = null;
    socket.close(1000);
  };
  socket.onclose = async () => {
    const reason = await findReason(name);
    show('closed', reason.text);
    node.dataset.reason = reason.word;
  };
}

function serviceRow(service) {
  const row = element('li');
  const link = element('a');
  link.append(...serviceParts(service));
  link.href = `console.html?${new URLSearchParams({ name: service.name })}`;
  row.append(link);
  return row;
}

async function list() {
  const services = await listServices();
  if (services === null) return;
  fillList(byId('services'), services, serviceRow);
  byId('all').hidden = false;
  byId('status').hidden = !services.some((service) => service.name === '-status');
}

/** Shows the terminal's page where it was installed. Nothing connects to it from here: that
    would start a program. */
async function findTerminal() {
  const page = await fetch('terminal.html', { method: 'HEAD' }).catch(() => null);
  byId('terminal').hidden = !page?.ok;
}

byId('address').textContent = serviceUrl('NAME');
document.querySelectorAll('[data-service]').forEach(look);
list();
findTerminal();
