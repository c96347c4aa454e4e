# syntax=docker/dockerfile:1
# One image for every role: the binary with the page inside, and nothing else but the C library. No shell, no root; everything but /data
# may be read-only.

FROM node:22-bookworm-slim AS page
WORKDIR /src/web
COPY web/package.json web/package-lock.json ./
RUN --mount=type=cache,target=/root/.npm npm ci --no-audit --no-fund
COPY web ./
RUN npm run build

FROM rust:1.95-bookworm AS build
WORKDIR /src
COPY . .
COPY --from=page /src/web/dist web/dist
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/src/target \
    cargo build --release --locked --bin pipecast && cp target/release/pipecast /pipecast && mkdir /data

FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /pipecast /usr/local/bin/pipecast
# A named volume that is mounted here takes over the owner.
COPY --from=build --chown=65532:65532 /data /data
ENV PIPECAST_DATA_DIR=/data
USER 65532:65532
EXPOSE 8080 8000 8001 8002
# For the process with every role; who runs another set names it, as docker-compose.yml does.
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s CMD ["/usr/local/bin/pipecast", "health"]
ENTRYPOINT ["/usr/local/bin/pipecast"]
CMD ["serve"]
