# For those who build with Docker: `make build` first, then `docker build .`; the programs are static, so nothing else is
# needed. `make image` writes the same image without Docker.
FROM scratch
ARG VERSION=devel
LABEL org.opencontainers.image.title="underlayd" \
      org.opencontainers.image.description="BGP underlay route exchange for multi-cluster Kubernetes" \
      org.opencontainers.image.source="https://github.com/underlayd/underlayd" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"
COPY bin/underlayd bin/gobgp /usr/local/bin/
COPY LICENSE /
ENTRYPOINT ["/usr/local/bin/underlayd"]
CMD ["run"]
