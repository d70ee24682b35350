# syntax=docker/dockerfile:1
# The one program, `dovetail`, without a shell, a root user or anything else. Name both images by digest in production:
#   docker build --build-arg BUILD_IMAGE=docker.io/library/rust@sha256:… --build-arg RUN_IMAGE=docker.io/library/debian@sha256:… -t dovetail .
ARG BUILD_IMAGE=docker.io/library/rust:1-bookworm
ARG RUN_IMAGE=docker.io/library/debian:bookworm-slim

FROM ${BUILD_IMAGE} AS build
WORKDIR /dovetail
COPY . .
RUN scripts/setup && . "$HOME/.cache/dovetail/env" && cargo build --release --locked -p dovetail \
    && cp "$CARGO_TARGET_DIR/release/dovetail" /usr/local/bin/dovetail

FROM ${RUN_IMAGE}
COPY --from=build /usr/local/bin/dovetail /usr/local/bin/dovetail
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/dovetail"]
