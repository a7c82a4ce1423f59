# Two commands: `make demo` shows the whole line, `make test` checks everything.
# `make test-long` and `make soak` (SECONDS of load) are for the night before a release; `make fuzz`
# looks for what neither has seen: SECONDS for each target, or for TARGET alone.
# Each line is a command you could type yourself; set-up runs first and installs what is missing.

SDK = obol-credential obol-tap obol-trust obol-fare obol-verifier-sdk obol-pos-sdk
SERVED = obol-kms-cli obol-issuer obol-platform obol-softhsm-setup obol-load
PYTHON = .venv/bin/python
KRYOPTIC = $(CURDIR)/target/kryoptic/release/libkryoptic_pkcs11.so

.PHONY: install dist demo test test-long bench soak fuzz setup-demo setup-test check unit e2e interop package kryoptic tough modules

demo: setup-demo
	cargo build --locked --workspace --bins
	target/debug/obol-demo $(ARGS)

test: setup-test check unit interop package
	@echo "make test: everything passed"

check:
	cargo fmt --all --check
	cargo clippy --locked --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --no-deps --quiet
	cargo build --locked --quiet --manifest-path tests/no-std/Cargo.toml --target-dir target/no-std
	cargo deny --offline check bans licenses sources

unit: .venv kryoptic tough
	cargo build --locked --workspace --bins
	cargo nextest run --locked --workspace --no-fail-fast
	OBOL_TEST_MODULE=$(KRYOPTIC) cargo nextest run --locked --workspace --no-fail-fast \
		-E 'package(obol-kms) & binary(kms)'
	cargo test --locked --workspace --doc --quiet

# A second PKCS#11 module, from the crates' registry and outside the workspace.
kryoptic:
	cargo build --locked --release --quiet --manifest-path tests/kryoptic/Cargo.toml --target-dir target/kryoptic

# The TUF client of another house, to follow our repositories; outside the workspace.
tough:
	cargo build --locked --quiet --manifest-path tests/tough/Cargo.toml --target-dir target/tough

# Runs the key management's tests on each module and writes what came of it into README.md.
modules: setup-test kryoptic
	tests/modules.sh

test-long: test
	cargo nextest run --locked -p obol-verifier-sdk --run-ignored only
	cargo nextest run --locked -p obol-pos-sdk --run-ignored only --no-capture
	OBOL_TEST_KEYS=10000 cargo nextest run --locked -p obol-kms --no-capture how_many_keys_a_token_has

interop: .venv
	cargo build --locked --workspace --bins
	$(PYTHON) -m pytest -q tests/interop

# In a folder of a new name each time: cargo keeps what it unpacked from the same folder before, and
# builds that instead of what is packed now.
package:
	rm -rf target/packages-*
	cargo package --locked --allow-dirty --quiet --target-dir target/packages-$(shell date +%s) \
		$(addprefix -p ,$(SDK))
	rm -rf target/packages-*

bench: setup-demo
	cargo bench --locked -p obol-bench --bench verify
	cargo bench --locked -p obol-bench --bench scan
	cargo bench --locked -p obol-bench --bench tap
	cargo bench --locked -p obol-bench --bench size
	cargo bench --locked -p obol-kms --bench kms
	cargo build --locked --release -p obol-kms --example bare
	cargo build --locked --release --bins $(addprefix -p ,$(SERVED))
	cargo bench --locked -p obol-load --bench issuer

# Load at 80 % of what the issuer can do here, judged by what its processes hold (tests/load).
soak: SECONDS ?= 600
soak: setup-demo
	cargo build --locked --release --bins $(addprefix -p ,$(SERVED))
	rm -rf target/soak
	target/release/obol-soak target/soak $(SECONDS)

# The C libraries of verifier and terminal: make install PREFIX=/usr DESTDIR=/some/image
PREFIX ?= /usr/local
install:
	cargo build --locked --release -p obol-verifier-ffi -p obol-pos-ffi --target-dir target/ffi
	deploy/install-c-library.sh verifier-sdk/ffi obol-verifier target/ffi/release "$(PREFIX)" "$(DESTDIR)"
	deploy/install-c-library.sh pos-sdk/ffi obol-pos target/ffi/release "$(PREFIX)" "$(DESTDIR)"

# The release: target/dist/obol-VERSION-TARGET.tar.gz; docs/runbooks/issuer.md deploys it.
dist:
	cargo build --locked --release -p obol-issuer -p obol-kms-cli -p obol-platform -p obol-pos-cli
	deploy/dist.sh target/release target/dist

fuzz: SECONDS ?= 60
fuzz:
	cp Cargo.lock fuzz/libfuzzer/Cargo.lock
	fuzz/run.sh $(SECONDS) $(TARGET)

.venv: tests/interop/requirements.txt
	python3 -m venv .venv
	.venv/bin/pip install --quiet --requirement tests/interop/requirements.txt
	touch .venv

setup-demo:
	./setup.sh demo

setup-test:
	./setup.sh test
