# Two commands: `make demo` shows the whole line, `make test` checks everything.
# `make fuzz` looks for what neither has seen: SECONDS for each target, or for TARGET alone.
# Each line is a command you could type yourself; set-up runs first and installs what is missing.

SDK = obol-credential obol-tap obol-trust obol-fare obol-verifier-sdk obol-pos-sdk
PYTHON = .venv/bin/python

.PHONY: demo test bench fuzz setup-demo setup-test check unit e2e interop package

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

unit: .venv
	cargo build --locked --workspace --bins
	cargo nextest run --locked --workspace --no-fail-fast
	cargo test --locked --workspace --doc --quiet

interop: .venv
	cargo build --locked --workspace --bins
	$(PYTHON) -m pytest -q tests/interop

package:
	cargo package --locked --allow-dirty --quiet $(addprefix -p ,$(SDK))

bench: setup-demo
	cargo bench --locked -p obol-bench --bench verify
	cargo bench --locked -p obol-kms --bench sign

SECONDS ?= 60
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
