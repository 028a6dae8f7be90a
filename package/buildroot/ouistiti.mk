################################################################################
#
# ouistiti
#
################################################################################

# Copy this directory to package/ouistiti, and put the line
#     source "package/ouistiti/Config.in"
# into package/Config.in. The archive with its crates is made by package/archive
# of the source; until a release is uploaded to this address, it belongs into
# dl/ouistiti, where 'DIST=../buildroot/dl/ouistiti package/archive renew HEAD'
# puts it, and its sum into ouistiti.hash.
OUISTITI_VERSION = 0.1.0
OUISTITI_LICENSE = MIT
OUISTITI_LICENSE_FILES = LICENSE
OUISTITI_INSTALL_STAGING = YES

OUISTITI_PROGRAMS = ouistiti
ifeq ($(BR2_PACKAGE_OUISTITI_SERVERS),y)
OUISTITI_PROGRAMS += websocket_echo websocket_chat websocket_terminal
endif

# ouistiti is a daemon, the others are not.
ouistiti-directory = $(if $(filter ouistiti,$(1)),sbin,bin)

ifeq ($(BR2_mips)$(BR2_mipsel),y)

OUISTITI_SITE = $(call qstrip,$(BR2_PACKAGE_OUISTITI_PREBUILT))
OUISTITI_SITE_METHOD = local
ouistiti-program = $(@D)/$(call ouistiti-directory,$(1))/$(1)
OUISTITI_LIBRARY = $(@D)/lib/libwebsocket.so.0
OUISTITI_HEADER = $(@D)/include/websocket.h
OUISTITI_PAGES = $(@D)/htdocs

else

OUISTITI_SITE = https://example.invalid/ouistiti/releases
OUISTITI_SOURCE = ouistiti-$(OUISTITI_VERSION)-vendored.tar.gz
ouistiti-program = $(@D)/target/$(RUSTC_TARGET_NAME)/release/$(1)
OUISTITI_LIBRARY = $(@D)/target-so/$(RUSTC_TARGET_NAME)/release/libwebsocket.so
OUISTITI_HEADER = $(@D)/utils/libwebsocket/include/websocket.h
OUISTITI_PAGES = $(@D)/utils/htdocs
OUISTITI_CARGO_ENV = CARGO_PROFILE_RELEASE_OPT_LEVEL=z
OUISTITI_CARGO_BUILD_OPTS = --package ouistiti --no-default-features \
	--features "$(if $(BR2_PACKAGE_OUISTITI_TLS),ouistiti/tls )ouistiti/websocket_rt ouistiti/exec ouistiti/share ouistiti/landlock ouistiti/auth ouistiti/auth_rpc ouistiti/auth_forward ouistiti/bearer ouistiti/state"
# SHA-256 and SHA-512 in loops: their rounds one by one are 30 KB of 32-bit
# instructions. cargo adds this to the flags of PKG_CARGO_ENV for ARM, which
# RUSTFLAGS would replace.
OUISTITI_CARGO_BUILD_OPTS += \
	--config 'target."cfg(all())".rustflags=["--cfg=sha2_backend_soft=\"compact\""]'
ifeq ($(BR2_PACKAGE_OUISTITI_SERVERS),y)
OUISTITI_CARGO_BUILD_OPTS += $(foreach program,\
	$(filter-out ouistiti,$(OUISTITI_PROGRAMS)),--package $(program))
endif

# Without the standard library it must abort on panic, and so is a workspace.
# cargo looks for its configuration, which names VENDOR, in the directory it is in.
define OUISTITI_BUILD_LIBRARY
	cd $(@D) && \
		$(TARGET_MAKE_ENV) $(TARGET_CONFIGURE_OPTS) $(PKG_CARGO_ENV) \
		CARGO_TARGET_DIR=$(@D)/target-so \
		cargo build --offline --release --locked \
		--manifest-path utils/libwebsocket/so/Cargo.toml
endef
ifeq ($(BR2_PACKAGE_OUISTITI_LIBRARY),y)
OUISTITI_POST_BUILD_HOOKS += OUISTITI_BUILD_LIBRARY
endif

endif

ifeq ($(BR2_PACKAGE_OUISTITI_LIBRARY),y)
define OUISTITI_INSTALL_LIBRARY
	$(INSTALL) -D -m 0755 $(OUISTITI_LIBRARY) $(1)/usr/lib/libwebsocket.so.0
	ln -sf libwebsocket.so.0 $(1)/usr/lib/libwebsocket.so
endef
define OUISTITI_INSTALL_STAGING_CMDS
	$(call OUISTITI_INSTALL_LIBRARY,$(STAGING_DIR))
	$(INSTALL) -D -m 0644 $(OUISTITI_HEADER) \
		$(STAGING_DIR)/usr/include/websocket.h
	mkdir -p $(STAGING_DIR)/usr/lib/pkgconfig
	printf '%s\n' 'Name: libwebsocket' 'Version: $(OUISTITI_VERSION)' \
		'Description: WebSocket on clients that ouistiti hands over' \
		'Libs: -L/usr/lib -lwebsocket' 'Cflags: -I/usr/include' \
		>$(STAGING_DIR)/usr/lib/pkgconfig/libwebsocket.pc
endef
else
define OUISTITI_INSTALL_STAGING_CMDS
	true
endef
endif

ifeq ($(BR2_PACKAGE_OUISTITI_PAGES),y)
define OUISTITI_INSTALL_PAGES
	mkdir -p $(TARGET_DIR)/usr/share/ouistiti/htdocs
	$(INSTALL) -m 0644 $(OUISTITI_PAGES)/* \
		$(TARGET_DIR)/usr/share/ouistiti/htdocs
endef
endif

define OUISTITI_INSTALL_TARGET_CMDS
	$(foreach program,$(OUISTITI_PROGRAMS),\
		$(INSTALL) -D -m 0755 $(call ouistiti-program,$(program)) \
			$(TARGET_DIR)/usr/$(call ouistiti-directory,$(program))/$(program)
	)
	$(INSTALL) -D -m 0644 $(@D)/etc/ouistiti.conf \
		$(TARGET_DIR)/etc/ouistiti.conf
	$(call OUISTITI_INSTALL_LIBRARY,$(TARGET_DIR))
	$(OUISTITI_INSTALL_PAGES)
endef

define OUISTITI_INSTALL_INIT_SYSV
	$(INSTALL) -D -m 0755 $(@D)/init/S50ouistiti \
		$(TARGET_DIR)/etc/init.d/S50ouistiti
endef

define OUISTITI_INSTALL_INIT_SYSTEMD
	$(INSTALL) -D -m 0644 $(@D)/init/ouistiti.service \
		$(TARGET_DIR)/usr/lib/systemd/system/ouistiti.service
	$(INSTALL) -D -m 0644 $(@D)/init/ouistiti.socket \
		$(TARGET_DIR)/usr/lib/systemd/system/ouistiti.socket
endef

ifeq ($(BR2_mips)$(BR2_mipsel),y)
$(eval $(generic-package))
else
$(eval $(cargo-package))
endif
