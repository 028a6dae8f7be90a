################################################################################
#
# ouistiti
#
# Copy this directory to package/ouistiti, and the line
#     source "package/ouistiti/Config.in"
# into package/Config.in.
#
################################################################################

OUISTITI_VERSION = 0.1.0
OUISTITI_LICENSE = MIT
OUISTITI_LICENSE_FILES = LICENSE

OUISTITI_PROGRAMS = ouistiti
ifeq ($(BR2_PACKAGE_OUISTITI_SERVERS),y)
OUISTITI_PROGRAMS += websocket_echo websocket_chat
endif

define OUISTITI_INSTALL_TARGET_CMDS
	$(foreach program,$(OUISTITI_PROGRAMS),\
		$(INSTALL) -D -m 0755 $(OUISTITI_BUILT)/$(program) \
			$(TARGET_DIR)/usr/$(if $(filter ouistiti,$(program)),sbin,bin)/$(program)
	)
	$(INSTALL) -D -m 0644 $(@D)/etc/ouistiti.conf $(TARGET_DIR)/etc/ouistiti.conf
endef

define OUISTITI_INSTALL_INIT_SYSV
	$(INSTALL) -D -m 0755 $(@D)/init/S50ouistiti $(TARGET_DIR)/etc/init.d/S50ouistiti
endef

define OUISTITI_INSTALL_INIT_SYSTEMD
	$(INSTALL) -D -m 0644 $(@D)/init/ouistiti.service \
		$(TARGET_DIR)/usr/lib/systemd/system/ouistiti.service
	$(INSTALL) -D -m 0644 $(@D)/init/ouistiti.socket \
		$(TARGET_DIR)/usr/lib/systemd/system/ouistiti.socket
endef

ifeq ($(BR2_mips)$(BR2_mipsel),y)

OUISTITI_SITE = $(call qstrip,$(BR2_PACKAGE_OUISTITI_PREBUILT))
OUISTITI_SITE_METHOD = local
OUISTITI_BUILT = $(@D)/target/cross/$(if $(BR2_mips),mips,mipsel)-unknown-linux-musl/release
$(eval $(generic-package))

else

OUISTITI_SITE = $(call qstrip,$(BR2_PACKAGE_OUISTITI_SITE))
OUISTITI_BUILT = $(@D)/target/$(RUSTC_TARGET_NAME)/release
OUISTITI_CARGO_ENV = CARGO_PROFILE_RELEASE_OPT_LEVEL=z
OUISTITI_CARGO_BUILD_OPTS = --package ouistiti --no-default-features \
	--features "$(if $(BR2_PACKAGE_OUISTITI_TLS),ouistiti/tls )ouistiti/websocket_rt"
ifeq ($(BR2_PACKAGE_OUISTITI_SERVERS),y)
OUISTITI_CARGO_BUILD_OPTS += --package websocket_echo --package websocket_chat
endif
$(eval $(cargo-package))

endif
