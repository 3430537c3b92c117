# Builds conf/config.example.yaml into shared.a as a C array (shared/config_example.h): first boot seeds config.yaml from it.

$(BUILD)/gen/config_example.c: conf/config.example.yaml mk/embed.mk
	@mkdir -p $(@D)
	$(call say,GEN,$@){ \
		echo '#include "shared/config_example.h"'; \
		echo 'static const unsigned char bytes[] = {'; \
		od -An -v -tx1 $< | sed 's/ \([0-9a-f][0-9a-f]\)/0x\1,/g'; \
		echo '0};'; \
		echo 'const char *const config_example = (const char *)bytes;'; \
		echo 'const size_t config_example_len = sizeof(bytes) - 1;'; \
	} >$@.new && mv $@.new $@

$(BUILD)/obj/gen/config_example.o: $(BUILD)/gen/config_example.c | toolchain
	@mkdir -p $(@D)
	$(call say,CC,$<)$(CC) $(CPPFLAGS) $(CFLAGS) -c -o $@ $<

$(BUILD)/lib/shared.a: $(BUILD)/obj/gen/config_example.o
