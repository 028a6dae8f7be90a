# A thin front over cargo. `make demo` to try it, `make check` to prove it.

DESTDIR =
PREFIX = /usr/local
CARGO = cargo
INSTALL = install

release = target/release
share = $(DESTDIR)$(PREFIX)/share

.PHONY: all demo check bench size install clean

all:
	$(CARGO) build --release --workspace

demo:
	tests/demo

check:
	tests/check

bench: all
	$(CARGO) bench --package ouistiti

size: all
	@find $(release) -maxdepth 1 -type f -executable -printf '%8s  %f\n' | sort -k 2

install: all
	$(INSTALL) -d $(DESTDIR)$(PREFIX)/sbin $(DESTDIR)$(PREFIX)/bin $(DESTDIR)$(PREFIX)/lib \
		$(share)/ouistiti/htdocs $(share)/doc/ouistiti $(DESTDIR)/etc
	$(INSTALL) -m 755 $(release)/ouistiti $(DESTDIR)$(PREFIX)/sbin
	find $(release) -maxdepth 1 -type f -executable -name 'websocket_*' \
		-exec $(INSTALL) -m 755 -t $(DESTDIR)$(PREFIX)/bin {} +
	find $(release) -maxdepth 1 -type f -name '*.so' \
		-exec $(INSTALL) -m 644 -t $(DESTDIR)$(PREFIX)/lib {} +
	$(INSTALL) -m 644 utils/htdocs/* $(share)/ouistiti/htdocs
	$(INSTALL) -m 644 README.md CHANGELOG.md LICENSE $(share)/doc/ouistiti
	test -e $(DESTDIR)/etc/ouistiti.conf || \
		$(INSTALL) -m 644 etc/ouistiti.conf $(DESTDIR)/etc/ouistiti.conf

clean:
	$(CARGO) clean
	rm -rf out
