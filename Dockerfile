# syntax=docker/dockerfile:1

# Builds with BuildKit: docker build --build-arg REVISION=$(git rev-parse --short=12 HEAD) -t scoring-api .
#
# REVISION is the commit that `--version`, readiness and metrics show: the build has no .git to ask.
# Dependencies are compiled into cache mounts, so a change of the sources compiles only the sources. Pin the two base images by
# digest if builds must be reproducible byte for byte.
ARG RUST_VERSION=1.90

FROM rust:${RUST_VERSION}-slim-bookworm AS build
ARG REVISION=unknown
ENV SCORING_REVISION=${REVISION}
WORKDIR /src
COPY . .
# The binary is copied out because a cache mount is not part of the image. The empty folder becomes the data directory: the
# final image has no shell to create one.
RUN --mount=type=cache,target=/usr/local/cargo/registry,sharing=locked \
    --mount=type=cache,target=/src/target,sharing=locked \
    cargo build --locked --release --bin scoring-api \
    && install -D -m 0755 target/release/scoring-api /out/scoring-api \
    && install -d -m 0700 /out/data

# No shell, no package manager; glibc, libgcc and CA certificates only. Its user nonroot is 65532.
FROM gcr.io/distroless/cc-debian12:nonroot
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="scoring-api" \
      org.opencontainers.image.description="A scoring API for partners that stays right while its store falls apart" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /out/scoring-api /usr/local/bin/scoring-api
# The default store.url, embedded:data/scoring.redb, is relative to this folder; everything else works on a read-only root.
COPY --from=build --chown=65532:65532 /out/data /var/lib/scoring-api
WORKDIR /var/lib/scoring-api
VOLUME ["/var/lib/scoring-api"]
# Reachable from outside the container, so the service refuses to start without salts: set SCORING_AUTH__SALT_FILE and
# SCORING_AUTH__ADMIN_SALT_FILE. 8081 is for operators and has no log-in: publish it on loopback at most.
ENV SCORING_HTTP__BIND=0.0.0.0:8080 \
    SCORING_ADMIN__BIND=0.0.0.0:8081
EXPOSE 8080 8081
USER 65532:65532
STOPSIGNAL SIGTERM
# The binary probes itself because the image has no other program. Orchestrators should probe from outside: /readyz on 8081.
HEALTHCHECK --interval=10s --timeout=4s --start-period=30s --retries=3 CMD ["/usr/local/bin/scoring-api", "probe"]
ENTRYPOINT ["/usr/local/bin/scoring-api"]
CMD ["serve"]
