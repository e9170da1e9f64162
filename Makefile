# The phone book. `make` lists what there is.
.DEFAULT_GOAL := help
FUZZTIME ?= 30s
SOAKTIME ?= 10m

.PHONY: help
help: ## List the targets
	@grep -E '^[a-z-]+:.*## ' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

.PHONY: check
check: lint test ## Everything that must hold before a change lands

.PHONY: test
test: ## Run every test of every module; says loudly what it skipped
	@scripts/test

.PHONY: test-race
test-race: ## The product's tests with the race detector, each five times
	CGO_ENABLED=1 go test -race -count=5 ./...

.PHONY: lint
lint: ## Static analysis with golangci-lint (built from tools/lint on first use)
	go tool -modfile=tools/lint/go.mod golangci-lint run ./...

.PHONY: fuzz
fuzz: ## Run every fuzz target for FUZZTIME (30s)
	@scripts/fuzz $(FUZZTIME)

.PHONY: bench
bench: ## Run the benchmarks; compare ratios within one run, not between machines
	go test -run '^$$' -bench . -benchmem ./...

.PHONY: golden
golden: ## Rewrite the golden files; read the diff before you commit it
	@scripts/golden

.PHONY: dev
dev: ## The demo with its sandbox, open until interrupted
	go run ./cmd/crossaccount demo

.PHONY: build
build: ## Build bin/crossaccount
	CGO_ENABLED=0 go build -trimpath -o bin/crossaccount ./cmd/crossaccount

.PHONY: repro
repro: ## Build twice from different folders and compare
	@scripts/repro

.PHONY: soak
soak: ## For SOAKTIME (10m) each: customers under load in the sandbox, and the broker with 10,000 customers and a faulty STS
	cd bench && CROSSACCOUNT_SOAK=$(SOAKTIME) go test -count=1 -run '^TestSoak$$' -timeout 0 -v ./broker
	CROSSACCOUNT_SOAK=$(SOAKTIME) go test -race -count=1 -run '^TestSoak$$' -timeout 0 -v ./sandbox/sandboxtest

.PHONY: tools
tools: ## Install the optional tools that tests use, as CI does
	@bash -euc '. scripts/install-tools'
