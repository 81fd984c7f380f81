# Every target does its own set-up: on a machine with Rust here, on one with only Docker in a container.
# `make help` lists the targets; what a target does beyond a line is in .ci/.

SHELL := /bin/bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
MAKEFLAGS += --no-print-directory

# How long `make soak` looks for differences.
SECONDS ?= 600
CARGO ?= cargo

# Where there is no Rust, the same target runs in a container that has it.
ifeq ($(shell command -v $(CARGO) 2>/dev/null),)
here = @docker/in-container make $@ SECONDS='$(SECONDS)' TESTS='$(TESTS)'
else
here = @.ci/$(1)
endif

.PHONY: help run run-sqlserver test check fmt bench soak containers image test-images clean

help: ## This list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-16s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

run: ## Show it: a private MySQL, a sample shop, its buckets, schema changes, and the proof that all is equal
	$(call here,demo)

run-sqlserver: ## The same on a simulated SQL Server: a column is added under load, and its values arrive
	$(call here,demo sqlserver)

test: ## Every test, on real servers that it starts itself (TESTS='...' for some, by name)
	$(call here,test $(TESTS))

check: ## Formatting and lints, warnings being errors
	$(call here,check)

fmt: ## Format the code
	$(call here,with-tools cargo fmt --all)

bench: ## The figures, as ratios to the raw tools on this machine
	$(call here,bench)

soak: ## Random changes, stops and kills against the oracle, for SECONDS=600
	$(call here,soak $(SECONDS))

containers: ## The connectors' suites on servers in containers (TESTS='...' for some; MILLSTREAM_MYSQL_IMAGE=..., for other images)
	$(call here,containers $(TESTS))

image: ## Build the image that runs Millstream
	@docker/build

test-images: ## Build images of MySQL, MariaDB and the simulated SQL Server, for where none can be pulled
	@docker/test-servers/build

clean: ## Remove what was built; the downloaded servers stay in ~/.cache/millstream
	rm -rf target
