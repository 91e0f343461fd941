# For those who build with Docker: `docker build .`, or for several architectures `docker buildx build --platform
# linux/amd64,linux/arm64 .`; nothing is emulated, the Go compiler crosses. `make image` writes the same files without Docker.
#
# --build-arg VERSION=$(git describe --tags --always) is what `underlayd version` says.
ARG GO_VERSION=1.26

FROM --platform=$BUILDPLATFORM golang:${GO_VERSION} AS build
WORKDIR /src
ENV CGO_ENABLED=0 GOFLAGS="-trimpath -buildvcs=false" GOTOOLCHAIN=local
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG TARGETOS TARGETARCH
ARG VERSION=devel
RUN mkdir -p out/bin && \
    GOOS=$TARGETOS GOARCH=$TARGETARCH go build -ldflags "-s -w -X main.version=$VERSION" -o out/bin/underlayd ./cmd/underlayd && \
    GOOS=$TARGETOS GOARCH=$TARGETARCH go build -ldflags "-s -w" -o out/bin/gobgp github.com/osrg/gobgp/v4/cmd/gobgp
RUN go run .ci/image/main.go .ci/image/sbom.go -sbom -programs out/bin -version "$VERSION" -arch "$TARGETARCH" -o out/sbom.spdx.json

FROM scratch
ARG VERSION=devel
LABEL org.opencontainers.image.title="underlayd" \
      org.opencontainers.image.description="BGP underlay route exchange for multi-cluster Kubernetes" \
      org.opencontainers.image.source="https://github.com/underlayd/underlayd" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
COPY --from=build --chmod=0555 /src/out/bin/ /usr/local/bin/
COPY --from=build --chmod=0444 /src/out/sbom.spdx.json /usr/share/underlayd/sbom.spdx.json
COPY --chmod=0444 LICENSE /
# Kubernetes does not look at it: the DaemonSet has probes.
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s --retries=4 CMD ["/usr/local/bin/underlayd", "health"]
ENTRYPOINT ["/usr/local/bin/underlayd"]
CMD ["run"]
