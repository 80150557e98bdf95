# Targets for people and for CI; `make` lists them.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help

# Modules of their own, so that their dependencies never reach a user's build.
MODULES := $(patsubst %/go.mod,%,$(wildcard examples/go.mod bench/go.mod))

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z]+:.*## ' $(MAKEFILE_LIST) | sort | sed -E 's/^([a-z]+):.*## /\1\t/' | expand -t 10

.PHONY: setup
setup: ## install what the tests need and this machine lacks
	scripts/setup

.PHONY: build
build: ## build bin/lastcall
	go build -o bin/lastcall ./cmd/lastcall

.PHONY: demo
demo: build ## the siege demo: load, two rolling restarts, a stop; needs nothing but Go
	cd examples && go build -o ../bin/siege ./siege
	bin/siege demo

.PHONY: test
test: setup lint cross race node python ## everything that must hold: lint, cross-compile, all tests with the race detector

.PHONY: lint
lint: ## gofmt, go vet and the house rules
	@echo '== gofmt'
	@files=$$(gofmt -l .); if [ -n "$$files" ]; then echo "gofmt would change:"; echo "$$files"; exit 1; fi
	@echo '== go vet (. $(MODULES))'
	@for m in . $(MODULES); do (cd $$m && go vet ./...); done
	@echo '== house rules'
	@go test ./internal/house

.PHONY: cross
cross: ## compile for darwin/arm64
	@echo '== darwin/arm64: build and vet'
	@for m in . $(MODULES); do (cd $$m && GOOS=darwin GOARCH=arm64 CGO_ENABLED=0 go vet ./...); done
	@GOOS=darwin GOARCH=arm64 CGO_ENABLED=0 go build ./...

.PHONY: race
race: ## all tests, with the race detector
	@echo '== go test -race (.)'
	@go test -race -timeout 4m $$(go list ./... | grep -v /cmd/lastcall)
	@# Thousands of short processes, which the detector makes three times as slow:
	@# what they run is under it in the packages above. `make racecommand` has both.
	@go test -timeout 12m ./cmd/lastcall
	@# -count=1: they build and run what is not in their module, so a result that go has
	@# kept may be that of another lastcall, or of another client for Python.
	@if [ -f examples/go.mod ]; then echo '== go test -race (examples)'; cd examples && go test -count=1 -race -timeout 8m ./...; fi
	@# A stop around the fork, at all its moments: the detector leaves time for few.
	@if [ -f examples/go.mod ]; then cd examples && go test -count=1 -timeout 4m -run '^TestS9' ./siege; fi

.PHONY: node
node: ## the tests of the client for Node
	@echo '== node --test (clients/node)'
	@cd clients/node && node --test

.PHONY: python
python: ## the tests of the client for Python
	@echo '== unittest (clients/python)'
	@cd clients/python && PYTHONDONTWRITEBYTECODE=1 /usr/bin/python3 -m unittest -q

# How long make sim plays, make fuzz tries each target, and make hammer rolls.
SIMTIME ?= 10m
FUZZTIME ?= 30s
HAMMER ?= 30s

.PHONY: sim
sim: ## random schedules against the core, and against the whole supervisor, for SIMTIME (10m) at once
	@go test -count=1 -timeout 0 -run '^TestSimulation$$' ./internal/pool ./internal/supervisor -for $(SIMTIME) -seed $$(date +%s)00000 -v

# How long make storm rages.
STORMTIME ?= 60s

.PHONY: storm
storm: ## kills, stops and signals at random, on real processes, for STORMTIME (60s)
	@go test -count=1 -timeout 0 -run '^TestStorm$$' ./cmd/lastcall -storm $(STORMTIME) -v

.PHONY: mutate
mutate: ## plant faults in the core, one at a time; fails if the tests miss one; minutes
	@go test -count=1 -timeout 30m -run '^TestMutations$$' ./internal/pool -mutate -v

.PHONY: fuzz
fuzz: ## every fuzz target, one after the other, for FUZZTIME (30s) each
	@scripts/fuzz $(FUZZTIME)

.PHONY: racecommand
racecommand: ## the command's tests with the race detector; some five minutes
	@go test -race -timeout 15m ./cmd/lastcall

.PHONY: hammer
hammer: ## rolls as fast as can be under clients that cut what they send at random, for HAMMER (30s), with the race detector
	@go test -race -count=1 -v -run '^TestMoveHammer$$' -hammer $(HAMMER) .

.PHONY: compat
compat: ## other people's servers under lastcall, and docs/compatibility.md; COMPAT='-only NAME' for one; some five minutes
	@scripts/setup compat
	@cd compat && go vet ./... && go test ./... && go run . $(COMPAT)

.PHONY: bench
bench: ## the figures of bench/README.md; slow, and only worth reading on a quiet machine
	@go test -run '^$$' -bench . -benchmem -count 3 .
	@cd bench && go run . $(BENCH)

.PHONY: clean
clean: ## remove what was built
	rm -rf bin
