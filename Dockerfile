# One node of Engram replication.
#
#   docker build -t engram .
#   docker run --rm -v n1:/data -e ENGRAM_ID=n1 -e ENGRAM_NATS_URL=nats://nats:4222 engram
#
# compose.yaml runs three nodes with three clustered NATS servers. Settings come from the
# environment (list: `docker run --rm engram node --help-config`) or from flags after the image's
# name. Passwords come from the environment or from files, never from flags.

FROM node:20-bookworm-slim AS build
WORKDIR /build
COPY package.json package-lock.json ./
RUN npm ci --no-audit --no-fund
COPY tsconfig.json ./
COPY scripts/build.mjs scripts/build.mjs
COPY machines machines
COPY actors actors
COPY runtime runtime
COPY test test
COPY bench bench
RUN npm run build && npm prune --omit=dev --no-audit --no-fund

FROM node:20-bookworm-slim
LABEL org.opencontainers.image.title="Engram replication" \
      org.opencontainers.image.licenses="Apache-2.0"
WORKDIR /opt/engram
COPY package.json nats.conf LICENSE ./
COPY scripts/engram.mjs scripts/engram.mjs
COPY --from=build /build/node_modules node_modules
COPY --from=build /build/dist/machines dist/machines
COPY --from=build /build/dist/actors dist/actors
COPY --from=build /build/dist/runtime dist/runtime
COPY --from=build /build/dist/page dist/page
RUN ln -s /opt/engram/scripts/engram.mjs /usr/local/bin/engram \
 && mkdir /data && chown node:node /data

# The address is 0.0.0.0, since a published port leads to the container's own address. Anyone who
# reaches the container gets /healthz, /readyz and /metrics. Everything else needs the token that
# the node prints. Publish the port on 127.0.0.1 (-p 127.0.0.1:7432:7432), or set
# ENGRAM_HTTP=127.0.0.1:7432.
ENV NODE_ENV=production \
    ENGRAM_DATA=/data \
    ENGRAM_HTTP=0.0.0.0:7432
USER node
VOLUME /data
EXPOSE 7432
# The process is the first one of the container and handles signals. On SIGTERM from `docker stop`
# it hands its primaries over (10 s at most, so stop with --time 15) and ends.
# /healthz says whether the process works. A node that waits for NATS is healthy. /readyz says
# whether it takes part, and is no reason for a restart.
HEALTHCHECK --interval=5s --timeout=3s --start-period=60s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:7432/healthz').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "/opt/engram/scripts/engram.mjs"]
CMD ["node"]
