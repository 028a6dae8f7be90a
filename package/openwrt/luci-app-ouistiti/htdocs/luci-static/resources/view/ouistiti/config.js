'use strict';
'require form';
'require fs';
'require poll';
'require view';

// What is shown of a client. A user or a service may have any name: cells are elements, since LuCI
// takes a mere string for HTML.
const columns = [
	[ _('Client'), (client) => client.peer ],
	[ _('Service'), (client) => client.service ],
	[ _('User'), (client) => client.user ],
	[ _('State'), (client) => client.state ],
	[ _('Connected'), (client) => '%t'.format(client.since) ],
	[ _('Silent'), (client) => '%t'.format(client.idle) ],
	[ _('To the service'), (client) => '%1024.1mB'.format(client.bytes_to_backend) ],
	[ _('To the client'), (client) => '%1024.1mB'.format(client.bytes_to_client) ]
];

// The state of the gateway, as `ouistiti -S json` prints it; null if there is none to ask.
function ask() {
	return fs.exec('/usr/sbin/ouistiti', [ '-f', '/var/etc/ouistiti.conf', '-S', 'json' ])
		.then((result) => result.code === 0 ? JSON.parse(result.stdout) : null)
		.catch(() => null);
}

function show(state, table, sums) {
	const clients = state ? state.servers.flatMap((server) => server.clients) : [];
	cbi_update_table(table,
		clients.map((client) => columns.map(([ , cell ]) => E('span', {}, [ cell(client) ?? '-' ]))),
		E('em', {}, [ state ? _('Nobody.') : _('The gateway does not run, or cannot tell who is connected.') ]));
	sums.textContent = state ? _('%d connected of %d, %d since the start.').format(clients.length,
		state.servers.reduce((sum, server) => sum + server.maxclients, 0), state.totals.connections) : '';
}

return view.extend({
	load: ask,

	render: function (state) {
		let map, section, option;

		map = new form.Map('ouistiti', _('WebSocket gateway'),
			_('Gives browsers a connection to UNIX servers, TCP servers and serial lines.'));

		section = map.section(form.NamedSection, 'main', 'ouistiti');
		option = section.option(form.Flag, 'enabled', _('Enable'));
		option.default = option.enabled;
		option.rmempty = false;
		option = section.option(form.ListValue, 'loglevel', _('Log level'));
		for (const level of [ 'error', 'warn', 'info', 'debug', 'trace' ])
			option.value(level);
		option.default = 'info';

		section = map.section(form.TypedSection, 'server', _('Servers'));
		section.addremove = true;
		option = section.option(form.Flag, 'enabled', _('Enable'));
		option.default = option.enabled;
		option.rmempty = false;
		option = section.option(form.DynamicList, 'listen', _('Listen on'),
			_('@NAME is a network of this router; an address, a device or * may stand too.'));
		option.placeholder = '@lan';
		option = section.option(form.Value, 'port', _('Port'));
		option.datatype = 'port';
		option.placeholder = '8080';
		option = section.option(form.Value, 'docroot', _('Directory of UNIX sockets'));
		option.placeholder = '/var/run/ouistiti';
		option = section.option(form.DynamicList, 'origins', _('Pages that may connect'));
		option.placeholder = 'same-host';
		option = section.option(form.Value, 'pages', _('Directory of pages'));
		option = section.option(form.Value, 'users', _('File of users'),
			_('Without it everybody may come in.'));
		option = section.option(form.DynamicList, 'protect', _('Paths that need a login'));
		option.depends({ users: '', '!reverse': true });
		option = section.option(form.Flag, 'tls', _('TLS'), _('Needs ouistiti-tls.'));
		option = section.option(form.FileUpload, 'cert', _('Certificate'));
		option.depends('tls', '1');
		option.placeholder = '/etc/uhttpd.crt';
		option = section.option(form.FileUpload, 'key', _('Key'));
		option.depends('tls', '1');
		option.placeholder = '/etc/uhttpd.key';
		option = section.option(form.Value, 'maxclients', _('Most clients'));
		option.datatype = 'range(1, 10000)';
		option.placeholder = '200';

		section = map.section(form.GridSection, 'service', _('Services'),
			_('Besides the sockets in the directory.'));
		section.anonymous = true;
		section.addremove = true;
		option = section.option(form.Value, 'name', _('Name'));
		option.rmempty = false;
		option = section.option(form.ListValue, 'type', _('Type'));
		option.value('unix', _('UNIX socket'));
		option.value('tcp', _('TCP server'));
		option.value('tty', _('Serial line'));
		option = section.option(form.Value, 'destination', _('Path or host'));
		option.rmempty = false;
		option = section.option(form.Value, 'port', _('Port'));
		option.datatype = 'port';
		option.depends('type', 'tcp');
		option = section.option(form.Value, 'baud', _('Speed'));
		option.datatype = 'uinteger';
		option.depends('type', 'tty');
		option = section.option(form.ListValue, 'framing', _('Framing'));
		for (const framing of [ 'stream', 'line', 'crlf', 'nul', 'length' ])
			option.value(framing);
		option = section.option(form.ListValue, 'share', _('Clients'));
		option.value('', _('As its type wants it'));
		option.value('all', _('Share one connection'));
		option.value('newest', _('One at a time, the newest'));
		option.value('first', _('One at a time, the first'));

		return map.render().then(function (rendered) {
			const sums = E('p', {}, []);
			const table = E('table', { 'class': 'table' }, [
				E('tr', { 'class': 'tr table-titles' }, columns.map(([ title ]) => E('th', { 'class': 'th' }, [ title ])))
			]);
			show(state, table, sums);
			poll.add(() => ask().then((now) => show(now, table, sums)), 10);
			return E([], [ rendered, E('h3', {}, [ _('Who is connected') ]), table, sums ]);
		});
	}
});
