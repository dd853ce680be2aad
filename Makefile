# make test    the tests, with the race detector; RACE=0 for without
# make check   what can be told without running anything, and the 32-bit tests
# make fuzz    every fuzz target for FUZZTIME
# make bench   the benchmarks
# make build   the program, ./gatehouse

GO       ?= go
RACE     ?= 1
FUZZTIME ?= 10s
BENCH    ?= .

raceflag    = $(if $(filter 1,$(RACE)),-race)
staticcheck = $(GO) run -modfile=tools/go.mod honnef.co/go/tools/cmd/staticcheck

.PHONY: build test check fmt vet static 386 fuzz bench packages

build:
	$(GO) build -o gatehouse ./cmd/gatehouse

# -count=1: go test cannot see that the integration tests depend on the program that they build.
test: packages
	$(GO) test $(raceflag) -count=1 -timeout 20m ./...

packages:
	@scripts/install-test-packages.sh
	@scripts/install-browser-driver.sh

check: fmt vet static 386

fmt:
	@unformatted=$$(gofmt -l .); if [ -n "$$unformatted" ]; then echo "gofmt -l lists:" $$unformatted >&2; exit 1; fi

vet:
	$(GO) vet ./...

static:
	$(staticcheck) ./...

# Lengths and offsets that only fit 64 bits show here. The machine need not have a 32-bit C library.
386:
	GOARCH=386 CGO_ENABLED=0 $(GO) vet ./...
	GOARCH=386 CGO_ENABLED=0 $(GO) test ./environ ./fastcgi ./scgi

fuzz:
	@set -e; $(GO) list -f '{{.ImportPath}} {{.Dir}}' ./... | while read -r package dir; do \
		for target in $$(grep -hos '^func Fuzz[A-Za-z0-9_]*' "$$dir"/*_test.go | sed 's/^func //'); do \
			echo "$$package $$target"; \
			$(GO) test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) "$$package"; \
		done; \
	done

bench:
	$(GO) test -run '^$$' -bench '$(BENCH)' -benchmem ./...
