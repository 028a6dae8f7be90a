# A thin front over cargo. `make demo` to try it, `make check` to prove it; CONTRIBUTING.md has the
# loops and their times.

DESTDIR =
PREFIX = /usr/local
CARGO = cargo
INSTALL = install

LIBDIR = $(PREFIX)/lib
PLUGINDIR = $(LIBDIR)

release = target/release
so = utils/libwebsocket/so/$(release)
share = $(DESTDIR)$(PREFIX)/share
lib = $(DESTDIR)$(LIBDIR)
plugins = $(DESTDIR)$(PLUGINDIR)
version = 0.1.0

.PHONY: all programs library demo terminal test check check-programs check-routers soak bench boot cross deb dist size install install-built clean

all: programs library

programs:
	$(CARGO) build --release --locked --workspace

library:
	$(CARGO) build --release --locked --manifest-path utils/libwebsocket/so/Cargo.toml

# make demo [TERMINAL=yes], which shows a shell in the browser to whoever can reach this machine's
# loopback address.
TERMINAL =

demo:
	tests/demo $(if $(TERMINAL),--terminal)

# Fetch xterm.js for the page of websocket_terminal.
terminal:
	utils/terminal/fetch

# Unit and integration tests; nothing is installed.
test:
	tests/test

# What this machine can prove by itself, with what others wrote, and for routers.
check check-programs check-routers:
	tests/$@

# make soak [SECONDS=60]
SECONDS = 3600

soak:
	tests/soak $(SECONDS)

# Some ten minutes; benches/run --quick takes half a minute.
bench:
	tests/setup bench
	benches/run

# make cross TARGET=mipsel-unknown-linux-musl [COMMAND=test]
cross:
	tests/cross $(TARGET) $(COMMAND)

# A router in qemu-system: make boot TARGET=mipsel [MEMORY=32] [LEAVE=12], of which so much is available
MEMORY = 64
LEAVE = 0

boot:
	tests/setup routers
	"$${XDG_CACHE_HOME:-$$HOME/.cache}/ouistiti/venv/bin/python" tests/boot $(TARGET) --memory $(MEMORY) --leave $(LEAVE)

deb:
	package/debian/build

# What others install, for each processor, into dist/. make dist [NAMES=mipsel]
dist:
	package/dist $(NAMES)

size: all
	@find $(release) $(so) -maxdepth 1 -type f -executable \
		-printf '%8s  %f\n' | sort -k 2
	@for target in target/cross/*-*/release; do \
		test ! -d $$target || { echo "$$target"; find $$target -maxdepth 1 -type f -executable \
			-printf '%8s  %f\n' | sort -k 2; }; done

install: all
	$(MAKE) --no-print-directory install-built

# What has been built, here or by tests/cross.
install-built:
	$(INSTALL) -d $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/bin $(lib)/pkgconfig $(plugins) \
		$(DESTDIR)$(PREFIX)/include $(share)/ouistiti/htdocs \
		$(share)/doc/ouistiti/etc $(share)/doc/ouistiti/init $(share)/doc/ouistiti/examples \
		$(share)/man/man1 $(share)/man/man3 $(share)/man/man5 $(share)/man/man8 $(DESTDIR)/etc
	$(INSTALL) -m 755 $(release)/ouistiti $(DESTDIR)$(PREFIX)/sbin
	$(INSTALL) -m 755 $(release)/websocket_echo $(release)/websocket_chat \
		$(release)/websocket_jsonrpc $(release)/websocket_terminal $(DESTDIR)$(PREFIX)/bin
	$(INSTALL) -m 755 $(release)/libauthrpc.so $(plugins)/authrpc.so
	$(INSTALL) -m 755 $(release)/libjsonsql.so $(plugins)/jsonsql.so
	$(INSTALL) -m 755 $(so)/libwebsocket.so $(lib)/libwebsocket.so.0
	ln -sf libwebsocket.so.0 $(lib)/libwebsocket.so
	$(INSTALL) -m 644 utils/libwebsocket/include/websocket.h \
		utils/rpcplugin/include/rpcplugin.h $(DESTDIR)$(PREFIX)/include
	sed -e 's,@PREFIX@,$(PREFIX),' -e 's,@LIBDIR@,$(LIBDIR),' -e 's,@VERSION@,$(version),' \
		utils/libwebsocket/libwebsocket.pc.in > $(lib)/pkgconfig/libwebsocket.pc
	$(INSTALL) -m 644 utils/htdocs/* $(share)/ouistiti/htdocs
	test ! -e utils/terminal/htdocs/xterm.js || \
		$(INSTALL) -m 644 utils/terminal/htdocs/* $(share)/ouistiti/htdocs
	$(INSTALL) -m 644 README.md CHANGELOG.md SECURITY.md LICENSE $(share)/doc/ouistiti
	$(INSTALL) -m 644 etc/*.conf $(share)/doc/ouistiti/etc
	$(INSTALL) -m 644 init/* $(share)/doc/ouistiti/init
	$(INSTALL) -m 644 utils/libwebsocket/examples/* utils/rpcplugin/examples/* \
		$(share)/doc/ouistiti/examples
	for section in 1 3 5 8; do \
		$(INSTALL) -m 644 man/*.$$section $(share)/man/man$$section || exit; done
	for name in $$(sed -n 's/^[a-z].*\(websocket_[a-z_]*\)(.*/\1/p' \
		utils/libwebsocket/include/websocket.h); do \
		echo .so man3/websocket.h.3 > $(share)/man/man3/$$name.3 || exit; done
	test -e $(DESTDIR)/etc/ouistiti.conf || \
		$(INSTALL) -m 644 etc/ouistiti.conf $(DESTDIR)/etc/ouistiti.conf

clean:
	$(CARGO) clean
	rm -rf out
