# `make` lists the targets. Everything is built by the go command, which knows what is up to date.
SHELL := bash
.SHELLFLAGS := -euo pipefail -c
.DEFAULT_GOAL := help
.DELETE_ON_ERROR:

# What a login shell of root would find, and where go.dev says to put Go.
export PATH := $(PATH):/usr/local/sbin:/usr/sbin:/sbin:/usr/local/go/bin

# The same for the product, the tests and what tests build, so that nothing is compiled twice. The version comes from
# git describe, not from the go command, which fails in a clone that belongs to another user.
export CGO_ENABLED ?= 0
export GOFLAGS := $(strip $(filter-out -trimpath -buildvcs=%,$(GOFLAGS)) -trimpath -buildvcs=false)

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
# Of everything in the image: with it, two builds of one commit are the same bytes.
SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)
IMAGE   ?= ghcr.io/underlayd/underlayd
ARCH    ?=
DOCKER  ?= docker
KEEP    ?=
# Those that take longest go first, so that none of them is waited for alone in the end.
PKG     ?= ./containerlab/scenario ./containerlab/kubernetes ./containerlab/kubescale ./bgp ./k8s ./containerlab/faults ./...
ARGS    ?=
FUZZTIME ?= 1m

# Programs besides Go; .ci/prepare knows their Debian packages.
LAB_TOOLS  := bash mount ip ping sysctl zebra bgpd vtysh
TEST_TOOLS := $(LAB_TOOLS) bird birdc gobgpd gobgp etcd nft iptables-legacy iptables-nft ip6tables-legacy ip6tables-nft ipset ss nsenter unshare setpriv promtool
# It looks at the looking glass; only the tests need it, and it is the largest of all.
BROWSER    := chromium

.PHONY: help
help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-15s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)
	@for f in containerlab/*.clab.yml; do printf "  make clab-%s  this topology in real containerlab, or what is missing for that (root)\n" $$(basename $$f .clab.yml); done

.PHONY: demo
demo: ## two clusters in network namespaces, step by step, in a minute; KEEP=1 leaves them up (root)
	@.ci/prepare $(LAB_TOOLS)
	@$(MAKE) --no-print-directory build bin/netlab
	@go run ./containerlab/demo $(if $(filter-out 0 no false,$(KEEP)),-keep)

.PHONY: demo-kubernetes
demo-kubernetes: ## two clusters with real API servers: install, look, ping, remove, in half a minute; the first time it compiles them (root)
	@.ci/prepare $(LAB_TOOLS) etcd nft setpriv
	@$(MAKE) --no-print-directory build
	@echo "kube-apiserver, kube-controller-manager and kubectl; the first time this takes some minutes"
	@go run ./k8s/apitest/cmd/kubeapi -build >/dev/null
	@go run ./containerlab/tour

.PHONY: test
test: ## everything against real daemons, kernel and API server; PKG=./ipam and ARGS='-run Judge' narrow it (root)
	@.ci/prepare $(TEST_TOOLS) $(BROWSER)
	@$(MAKE) --no-print-directory build
	@echo "kube-apiserver, kube-controller-manager and kubectl for the tests; the first time this takes some minutes"
	@go run ./k8s/apitest/cmd/kubeapi -build
	@echo "helm and kustomize for the tests; likewise"
	@go tool -modfile=.ci/deploy/go.mod helm version >/dev/null
	@go tool -modfile=.ci/deploy/go.mod kustomize version >/dev/null
	@# Six packages and five tests of each at a time, on two processors too: most of what they do is wait.
	@CI=true go test -json -count=1 -p 6 -parallel 5 -timeout=15m $(ARGS) $(PKG) | go run .ci/summary/main.go

.PHONY: fuzz
fuzz: ## every fuzz target, FUZZTIME=1m each; PKG=./ipam narrows it (root)
	@.ci/prepare ip
	@go list $(PKG) | while read -r package; do \
	  for target in $$(go test -list '^Fuzz' $$package | grep '^Fuzz' || true); do \
	    echo "$$package $$target"; \
	    go test -run '^$$' -fuzz "^$$target\$$" -fuzztime $(FUZZTIME) $$package; \
	  done; \
	done

.PHONY: lint
lint: ## golangci-lint with the import rules, and a tidy go.mod
	@go tool -modfile=.ci/lint/go.mod golangci-lint run ./...
	@go tool -modfile=.ci/lint/go.mod golangci-lint run .ci/summary/main.go
	@go tool -modfile=.ci/lint/go.mod golangci-lint run .ci/image/main.go .ci/image/sbom.go
	@lint=$$(go tool -modfile=.ci/lint/go.mod -n golangci-lint) && cd .ci/deploy && $$lint run main.go
	@go mod tidy -diff

.PHONY: build
build: bin/underlayd bin/gobgp ## bin/underlayd, and bin/gobgp: the stock command to look at it with

.PHONY: bench
bench: ## against BIRD and FRR, in one run; ROUTES=1000000, ARGS='-quick' or '-workloads spread,packed' (root)
	@.ci/prepare $(TEST_TOOLS)
	@$(MAKE) --no-print-directory build
	@go run ./containerlab/bench $(ARGS)

.PHONY: faults
faults: ## every fault of the catalogue in a running mesh with traffic, one table; ARGS='-run process', '-list' (root)
	@.ci/prepare $(TEST_TOOLS)
	@$(MAKE) --no-print-directory build
	@go run ./containerlab/faults $(ARGS)

.PHONY: interop
interop: ## every speaker × transport × relation × feature, one matrix; ARGS='-run frr', '-list' (root)
	@.ci/prepare $(TEST_TOOLS)
	@$(MAKE) --no-print-directory build
	@go run ./containerlab/interop $(ARGS)

.PHONY: pictures
pictures: ## draw topology.svg beside each topology again, and the drawings that tests compare with
	@go test ./config/picture -count=1 -update

.PHONY: screenshots
screenshots: ## docs/images again: what the looking glass looks like, in Chromium (root)
	@.ci/prepare mount $(BROWSER)
	@go test ./status -count=1 -run Screenshots -screenshots

.PHONY: mesh
mesh: ## a full mesh of 50 by 50 nodes: routes, changes, memory and CPU; ARGS='-reflectors 2 -nodes 100', '-nodes 20 -bfd 300ms' (root, 6 GB)
	@.ci/prepare ip
	@$(MAKE) --no-print-directory build
	@go run ./containerlab/mesh $(ARGS)

.PHONY: kubescale
kubescale: ## what a hundred daemons cost an API server with 100, 300 and 1,000 Nodes; ARGS='-agents 10 -nodes 10,1000', '-blocks 3' (root, 7 GB)
	@.ci/prepare ip etcd
	@$(MAKE) --no-print-directory build
	@go run ./k8s/apitest/cmd/kubeapi -build
	@go run ./containerlab/kubescale $(ARGS)

.PHONY: image
image: ## bin/underlayd-image.tar: two programs and what is in them, for docker load, podman load, ctr images import; ARCH=arm64 for another
	@arch=$(or $(ARCH),$$(go env GOARCH)); folder=bin/linux-$$arch; mkdir -p $$folder; \
	GOOS=linux GOARCH=$$arch go build -ldflags '-s -w -X main.version=$(VERSION)' -o $$folder/underlayd ./cmd/underlayd; \
	GOOS=linux GOARCH=$$arch go build -ldflags '-s -w' -o $$folder/gobgp github.com/osrg/gobgp/v4/cmd/gobgp; \
	GOOS= GOARCH= go run .ci/image/main.go .ci/image/sbom.go -name $(IMAGE):$(VERSION) -version $(VERSION) -arch $$arch -programs $$folder \
	  -created $(SOURCE_DATE_EPOCH) -o bin/underlayd-image$(if $(ARCH),-$(ARCH)).tar

.PHONY: chart
chart: ## bin/underlayd-0.1.0.tgz: the Helm chart, with helm as .ci/deploy/go.mod pins it; appVersion is the tag of make image
	@go tool -modfile=.ci/deploy/go.mod helm package k8s/deploy/chart --destination bin --app-version $(VERSION)

.PHONY: image-load
image-load: image ## the image, loaded into Docker; DOCKER=podman works too
	@command -v $(DOCKER) >/dev/null || { echo "$(DOCKER) is not installed" >&2; exit 1; }
	@$(DOCKER) load --input bin/underlayd-image$(if $(ARCH),-$(ARCH)).tar

.PHONY: image-check
image-check: ## run the image as the DaemonSet does, in a Docker engine of its own in a lab; Docker must be installed (root)
	@.ci/prepare $(TEST_TOOLS) docker dockerd containerd runc
	@go test -tags image -count=1 -timeout=5m -run TestTheImage $(ARGS) ./containerlab/scenario

# make clab-two-clusters and so on: a topology in real containerlab, or what is missing for that (root)
clab-%: force
	@.ci/clab $*

.PHONY: clean
clean: ## remove what the other targets leave in this folder
	@rm -rf bin bench.json

.PHONY: force
bin/underlayd: force
	@go build -ldflags '-s -w -X main.version=$(VERSION)' -o $@ ./cmd/underlayd
bin/gobgp: force
	@go build -ldflags '-s -w' -o $@ github.com/osrg/gobgp/v4/cmd/gobgp
bin/netlab: force
	@go build -ldflags '-s -w' -o $@ ./containerlab/netlab
