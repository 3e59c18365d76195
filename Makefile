# The commands of everyday work. `make` lists them; .ci/run runs every check there is.

.DEFAULT_GOAL := help
.PHONY: help demo picture test browser screenshots emulated template deployed invoked check bench coldstart

CARGO ?= cargo
# More arguments for the demo, such as ARGS=--once.
ARGS ?=
# The processor that `make deployed` builds functions for: this machine runs them.
ARCHITECTURE ?= $(if $(filter aarch64 arm64,$(shell uname -m)),arm64,x86_64)
# Which tests to run, as a nextest filter; everything by default.
TESTS ?= all()
# Where `make screenshots` puts pictures.
SCREENSHOTS ?= target/screenshots
# Where `sam build` has put the functions' packages.
BUNDLE_BUILD ?= .aws-sam/build

help: ## list these commands
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-11s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: ## run the bundle against stand-ins of Jira and GitLab, and show what arrives
	$(CARGO) run -p gitlab-jira -- demo $(ARGS)

picture: .venv/pictures/done ## take the pictures of README.md and docs/ (needs Chromium and its driver)
	CARGO="$(CARGO)" .ci/picture

test: ## run every test (with cargo-nextest where it is installed)
	$(CARGO) test --quiet --workspace --doc
	@if $(CARGO) nextest --version >/dev/null 2>&1; then \
		set -x; $(CARGO) nextest run --workspace -E '$(TESTS)'; \
	else \
		set -x; $(CARGO) test --workspace --lib --bins --tests; \
	fi

emulated: .venv/emulators/done ## run the tests that need an emulator of AWS (installs two, in Python, on first use)
	PATH="$(CURDIR)/.venv/emulators/bin:$$PATH" $(CARGO) test --workspace --exclude stack --lib --tests -- --ignored --skip deployed_bundle --skip a_person --skip no_other_origin

invoked: .venv/emulators/done .venv/sam/done ## invoke each function that `sam build` built, as Lambda does
	PATH="$(CURDIR)/.venv/emulators/bin:$$(dirname $(CURDIR)/.venv/sam/lib/*/site-packages/samcli/local/rapid/aws-lambda-rie-x86_64):$$PATH" \
		BUNDLE_BUILD="$(BUNDLE_BUILD)" $(CARGO) test -p stack --test invoked -- --ignored

browser: .venv/axe/done ## click through the page in Chromium (on Debian: apt-get install chromium chromium-driver)
	$(CARGO) test -p gitlab-jira --test browser -- --ignored

screenshots: .venv/axe/done ## take pictures of every state of the page, into SCREENSHOTS
	SCREENSHOTS="$(abspath $(SCREENSHOTS))" $(CARGO) test -p gitlab-jira --test browser -- --ignored

template: .venv/sam/done .venv/checkov/done ## check the SAM template (installs the SAM CLI and linters on first use)
	.ci/template

deployed: export SAM_CLI_TELEMETRY = 0
deployed: export BUNDLE_BUILD = $(CURDIR)/.aws-sam/build
deployed: .venv/sam/done .venv/cargo-lambda/done .venv/emulators/done ## deploy the bundle into an emulator of AWS, and play its story there
	PATH="$(CURDIR)/.venv/cargo-lambda/bin:$$PATH" .venv/sam/bin/sam build --parameter-overrides Architecture=$(ARCHITECTURE)
	PATH="$(CURDIR)/.venv/sam/bin:$(CURDIR)/.venv/emulators/bin:$$PATH" $(CARGO) test --workspace --test deployed -- --ignored

# What the browser stories look for barriers with; a change of the lock file brings another version.
.venv/axe/done: tests/browser/package-lock.json
	mkdir -p $(@D)
	cp tests/browser/package.json tests/browser/package-lock.json $(@D)
	npm ci --prefix $(@D) --ignore-scripts --no-audit --no-fund --loglevel=error
	touch $@

# Each brings its own versions of the same libraries, so none shares a folder with another.
.venv/%/done: .ci/requirements-%.txt
	python3 -m venv .venv/$*
	.venv/$*/bin/python -m pip install --quiet --disable-pip-version-check -r $<
	touch $@

check: ## formatting, clippy and documentation, as strictly as .ci/run
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --workspace --no-deps

bench: ## measure what docs/BENCHMARKS.md shows
	$(CARGO) bench --workspace --exclude stack

# What is measured is built with the release profile; what measures need not be.
coldstart: ## measure how functions start, compared with Node
	$(CARGO) bench --profile dev -p stack --bench coldstart
