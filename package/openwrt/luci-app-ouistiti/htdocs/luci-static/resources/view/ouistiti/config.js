'use strict';
'require form';
'require fs';
'require poll';
'require view';

// What `ouistiti -S json` prints, indented; one line if there is none to ask.
function status() {
	return fs.exec('/usr/sbin/ouistiti', [ '-f', '/var/etc/ouistiti.conf', '-S', 'json' ]).then(function (result) {
		if (result.code !== 0)
			return _('The gateway does not run, or cannot tell who is connected.');
		return JSON.stringify(JSON.parse(result.stdout), null, 2);
	}).catch(function (error) {
		return String(error);
	});
}

return view.extend({
	load: status,

	render: function (connected) {
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

		return map.render().then(function (rendered) {
			const list = E('pre', {}, [ connected ]);
			poll.add(function () {
				return status().then(function (text) { list.textContent = text; });
			}, 10);
			return E([], [ rendered, E('h3', {}, _('Who is connected')), list ]);
		});
	}
});
