# make        builds build/ngx_cred_module.so for the nginx of this machine
# make help   names the other targets

SHELL     = /bin/bash

NGINX_SRC = /usr/share/nginx/src
NGINX     = nginx
JOBS      = $(shell nproc)
SUITE     = t/*.t
TIME      = 60

# where things are installed, below DESTDIR

PREFIX    = /usr
MODULES   = $(shell PATH=$$PATH:/usr/sbin; $(NGINX) -V 2>&1 \
            | sed -n 's/.*--modules-path=\([^ ]*\).*/\1/p')
DOC       = $(PREFIX)/share/doc/ngx_cred_module
COMPLETION = $(PREFIX)/share/bash-completion/completions

DOCS      = README.md CHANGES LICENSE bench/RESULTS.md \
            $(shell find doc conf-examples -type f ! -name '*.1')

PACKAGE   = libnginx-mod-http-cred
SUITES    = $(shell . /etc/os-release && echo $$VERSION_CODENAME)

VALGRIND  = $(addprefix t/,apis.t calls.t claims.t resume.t retry.t tokens.t access.t \
            access-cache.t access-keys.t)

# of the suite, what looks at the C: not at a shell script, a page, other
# programs' files, or times

NOT_OF_C  = $(addprefix t/,bench.t connector-targets.t cred.t docs.t doctor.t \
            fetch.t page.t prometheus.t)
SUITE_C   = $(if $(filter file,$(origin SUITE)),$(filter-out $(NOT_OF_C),\
                $(wildcard $(SUITE))),$(SUITE))

PERL5     = build/perl5/Test/Nginx/Socket.pm
SOURCE    = build/src/nginx/configure
SCRIPTS   = $(wildcard src/lua/*.lua) src/http/status.html
NODE      = build/bench/node/node_modules/.package-lock.json
REAL      = build/connectors/node_modules/.package-lock.json
PROVE     = prove -j$$((2 * $(JOBS))) -It/lib -Ibuild/perl5

FLAGS_asan = -fsanitize=address,undefined -fno-omit-frame-pointer
FLAGS_m32 = -m32
SUITE_WITH = --with-debug --with-compat --with-threads --with-http_v2_module \
            --with-http_ssl_module --with-http_realip_module \
            --with-http_auth_request_module --with-poll_module \
            --with-select_module


all: build/nginx/objs/Makefile
	@util/embed build/nginx/objs/ngx_cred_scripts.h $(SCRIPTS)
	@echo "building build/ngx_cred_module.so"
	@$(MAKE) -C build/nginx -f objs/Makefile --no-print-directory -j$(JOBS) \
		modules > build/nginx/make.log
	@install -C -m 644 build/nginx/objs/ngx_http_cred_module.so build/ngx_cred_module.so

build/nginx/objs/Makefile: config build/sources
	@. $(NGINX_SRC)/conf_flags \
	&& util/configure $(NGINX_SRC) build/nginx "$${NGX_CONF_FLAGS[@]}" \
		--with-cc-opt=-O2 --add-dynamic-module=$(CURDIR)

# their list: a file more or less takes configuring again, and so does another
# compiler or nginx

build/sources: WITH = $(CC) $(shell cat $(NGINX_SRC)/conf_flags \
                       $(NGINX_SRC)/src/core/nginx.h 2>/dev/null | cksum)
build/sources: FORCE
	@mkdir -p build
	@echo $(WITH) $(sort $(wildcard src/*/*.c)) | cmp -s - $@ \
	|| echo $(WITH) $(sort $(wildcard src/*/*.c)) > $@

demo:
	@util/install-deps build demo
	@$(MAKE) --no-print-directory all
	@util/demo

test: test-deps
	@$(MAKE) --no-print-directory all
ifeq ($(origin SUITE), file)
	@$(MAKE) --no-print-directory unit
endif
	$(PROVE) $(SUITE)

# a mirror may have lost the source of nginx

unit:
	@if $(MAKE) --no-print-directory $(SOURCE); then \
		$(MAKE) --no-print-directory -C t/unit; \
	else \
		echo "unit: skipped, for want of the source of nginx"; \
	fi

# libFuzzer, for so many seconds each; what it finds goes to build/fuzz

fuzz:
	@util/install-deps build fuzz
	@$(MAKE) -s --no-print-directory $(SOURCE)
	@$(MAKE) --no-print-directory -C t/unit libfuzzer TIME=$(TIME)

test-asan: test-deps asan
	CRED_NGINX=$(CURDIR)/build/asan/objs/nginx \
	CRED_MODULE=$(CURDIR)/build/asan/objs/ngx_http_cred_module.so \
	$(PROVE) $(SUITE_C)

# the same for a few files, without what only the compiler knows: it sees reads
# of what nobody has written

test-valgrind: test-deps
	@util/install-deps valgrind
	@$(MAKE) --no-print-directory valgrind
	CRED_NGINX=$(CURDIR)/t/valgrind/nginx \
	CRED_MODULE=$(CURDIR)/build/valgrind/objs/ngx_http_cred_module.so \
	CRED_PATIENCE=$${CRED_PATIENCE:-120} \
	$(PROVE) $(if $(filter file,$(origin SUITE)),$(VALGRIND),$(SUITE))

# with 32 bits, on a machine of 64: apt has to know i386, and the kernel to run
# it, or qemu, as util/matrix has it

test-m32: test-deps
	@util/install-deps m32
	@$(MAKE) --no-print-directory m32
	@$(MAKE) --no-print-directory -C t/unit CC='gcc -m32' SANITIZE= \
		BUILD=$(CURDIR)/build/unit-m32 NGX=$(CURDIR)/build/unit-m32/nginx
	CRED_NGINX=$(CURDIR)/build/m32/objs/nginx \
	CRED_MODULE=$(CURDIR)/build/m32/objs/ngx_http_cred_module.so \
	CRED_PATIENCE=$${CRED_PATIENCE:-120} \
	$(PROVE) $(SUITE_C)

test-chaos: test-deps
	@$(MAKE) --no-print-directory all
	t/chaos/run full

# in fresh folders made by debootstrap; runs that share a folder come in an order

test-matrix:
	@util/install-deps matrix
	@mkdir -p build/roots
	@rm -f build/roots/results
	@failed=0; \
	util/matrix bookworm user root poll clang valgrind m32 || failed=1; \
	util/matrix trixie valkey root || failed=1; \
	util/matrix sid valkey root clang || failed=1; \
	cat build/roots/results; \
	exit $$failed

test-deps:
	@util/install-deps build test
	@$(MAKE) -s --no-print-directory $(PERL5)

# for t/connector-*.t, which go without what is not there

connectors:
	@failed=0; \
	util/install-deps connectors || failed=1; \
	$(MAKE) -s --no-print-directory $(REAL) || failed=1; \
	exit $$failed

$(REAL): t/connectors/package.json
	@mkdir -p build/connectors
	@cp $< build/connectors/
	@cd build/connectors && npm install --silent --ignore-scripts \
		--no-package-lock --no-audit --no-fund --fetch-retries=1
	@touch $@

# of what cred_status shows of a real system, for the documentation

screenshots:
	@util/install-deps build test screenshots
	@$(MAKE) -s --no-print-directory $(PERL5) all
	@util/screenshots

bench:
	@util/install-deps build bench
	@$(MAKE) --no-print-directory all $(NODE)
	bench/run

# what the Node peer of the benchmark needs

$(NODE): bench/peers/node/package.json
	@mkdir -p build/bench/node
	@cp $< build/bench/node/
	@cd build/bench/node && npm install --silent --no-audit --no-fund
	@touch $@

# nginx of the source and the module, as a suite needs them

asan valgrind m32: %: build/%/objs/Makefile
	@util/embed build/$@/objs/ngx_cred_scripts.h $(SCRIPTS)
	@echo "building nginx and the module in build/$@"
	@$(MAKE) -C build/$@ -f objs/Makefile --no-print-directory -j$(JOBS) \
		binary modules > build/$@/make.log

# nodelete: what a module that is unmapped at exit still holds looks leaked

build/asan/objs/Makefile build/valgrind/objs/Makefile build/m32/objs/Makefile: \
build/%/objs/Makefile: $(SOURCE) config build/sources
	@util/configure $(abspath $(<D)) build/$* $(SUITE_WITH) \
		--with-cc-opt="-O1 -g -DNGX_DEBUG_PALLOC=1 $(FLAGS_$*)" \
		--with-ld-opt="-Wl,-z,nodelete $(FLAGS_$*)" \
		--add-dynamic-module=$(CURDIR)

static: build/static/objs/Makefile
	@util/embed build/static/objs/ngx_cred_scripts.h $(SCRIPTS)
	@echo "building nginx with the module linked in, in build/static"
	@$(MAKE) -C build/static -f objs/Makefile --no-print-directory -j$(JOBS) \
		binary > build/static/make.log
	build/static/objs/nginx -V

build/static/objs/Makefile: $(SOURCE) config build/sources
	@util/configure $(abspath $(<D)) build/static --add-module=$(CURDIR)

# nginx as Debian patches it

$(SOURCE):
	@util/install-deps build source
	@rm -rf build/src
	@util/fetch deb-src nginx build/src
	@mv build/src/nginx-*/ build/src/nginx

# Test::Nginx, which only the newest suite has

$(PERL5):
	@rm -rf build/deb
	@util/fetch deb libtest-nginx-perl build/deb
	@mkdir -p build/perl5
	@dpkg-deb --fsys-tarfile build/deb/libtest-nginx-perl_*.deb \
	| tar -x -m -C build/perl5 --strip-components=4 ./usr/share/perl5

# the module has the name that nginx's own build has given it; a new file, not
# the old one overwritten, which a running nginx has mapped

install: all
	@[ "$(MODULES)" ] \
	|| { echo "install: no --modules-path in $(NGINX) -V;" \
	          "say MODULES=DIRECTORY" >&2; exit 1; }
	@rm -f $(DESTDIR)$(MODULES)/ngx_http_cred_module.so
	install -D -m 644 build/ngx_cred_module.so \
		$(DESTDIR)$(MODULES)/ngx_http_cred_module.so
	@$(MAKE) --no-print-directory install-files
	@echo "load it by \"load_module $(MODULES)/ngx_http_cred_module.so;\""

install-files:
	install -D -m 755 util/cred $(DESTDIR)$(PREFIX)/bin/cred
	install -D -m 644 doc/cred.1 $(DESTDIR)$(PREFIX)/share/man/man1/cred.1
	install -D -m 644 util/cred.bash-completion $(DESTDIR)$(COMPLETION)/cred
	@echo "installing $(words $(DOCS)) files in $(DESTDIR)$(DOC)"
	@for file in $(DOCS); do \
		install -D -m 644 $$file $(DESTDIR)$(DOC)/$$file || exit 1; \
	done
	@find $(DESTDIR)$(DOC)/conf-examples -type f -exec sed -i \
		-e "s,build/ngx_cred_module.so,$(MODULES)/ngx_http_cred_module.so," \
		-e "s,build/nginx.pid,/run/nginx-cred.pid," {} +

uninstall:
	rm -f $(if $(MODULES),$(DESTDIR)$(MODULES)/ngx_http_cred_module.so) \
		$(DESTDIR)$(PREFIX)/bin/cred \
		$(DESTDIR)$(PREFIX)/share/man/man1/cred.1 \
		$(DESTDIR)$(COMPLETION)/cred
	@echo "removing $(DESTDIR)$(DOC)"
	@rm -f $(addprefix $(DESTDIR)$(DOC)/,$(DOCS))
	@[ ! -d $(DESTDIR)$(DOC) ] || find $(DESTDIR)$(DOC) -type d -empty -delete

# Debian's package of it, for the nginx of this machine

deb:
	@util/install-deps build deb
	@head -n 3 CHANGES | grep -q " $$(dpkg-parsechangelog -S Version)$$" \
	|| { echo "deb: debian/changelog has not the version of CHANGES" >&2; exit 1; }
	@rm -rf build/package
	@mkdir -p build/package/$(PACKAGE)
	@tar -c --exclude=./build --exclude-vcs . | tar -x -C build/package/$(PACKAGE)
	@echo "building $(PACKAGE) in build/package"
	@cd build/package/$(PACKAGE) \
	&& { dpkg-buildpackage -us -uc -j$(JOBS) > ../build.log 2>&1 \
	     || { tail -n 20 ../build.log >&2; exit 1; }; }
	@rm -r build/package/$(PACKAGE)
	@ls build/package/*.deb

test-package:
	@util/install-deps package
	@for suite in $(SUITES); do util/test-package $$suite || exit 1; done

clean:
	rm -rf build

help:
	@echo "make             build/ngx_cred_module.so for this machine's nginx"
	@echo "make demo        delete one credential of each API, end to end, and"
	@echo "                 one that gateways are called with"
	@echo "make test        all tests; SUITE=t/FILE.t for one file and no units;"
	@echo "                 CRED_KEEP=1 keeps the logs"
	@echo "make test-asan   the same with nginx and module under sanitizers"
	@echo "make test-valgrind a few of them with nginx and module in valgrind"
	@echo "make test-m32    the tests with nginx and module of 32 bits"
	@echo "make test-chaos  nothing may be lost while processes are killed"
	@echo "make test-matrix demo and test on Debian 12, 13 and the newest suite,"
	@echo "                 with Valkey, poll, clang, valgrind and 32 bits"
	@echo "make connectors  what the tests of connectors reach, as far as it can be"
	@echo "                 had: Caddy, etcd, Express Gateway, a webhook's verifier"
	@echo "make unit        the pure parts, outside of nginx"
	@echo "make fuzz        libFuzzer for TIME=60 seconds for each of"
	@echo "                 TARGETS=\"api auth codec replies routes template url"
	@echo "                          uuid web\""
	@echo "make static      nginx with the module linked in"
	@echo "make install     as root, for this machine's nginx; PREFIX=$(PREFIX),"
	@echo "                 MODULES=DIRECTORY, DOC=DIRECTORY, DESTDIR="
	@echo "make uninstall   removes that"
	@echo "make deb         Debian's package of it, in build/package"
	@echo "make test-package installs, uses and removes it, in fresh folders;"
	@echo "                 SUITES=\"bookworm trixie sid\" for other Debians"
	@echo "make bench       figures"
	@echo "make screenshots doc/images, of a real system in a real browser"
	@echo "make clean       removes build/"
	@echo
	@echo "After make test, one file is quickest by"
	@echo "                 prove -It/lib -Ibuild/perl5 t/FILE.t"

FORCE:

.PHONY: FORCE all demo test unit fuzz test-asan test-valgrind test-m32 \
	test-chaos test-matrix test-deps connectors screenshots bench asan valgrind \
	m32 static install install-files uninstall deb test-package clean help
