# Portcullis in a container. Two targets:
#
#   docker build -t portcullis .                     the gateway: `portcullis serve`; your vendor's PKCS#11 module is mounted
#   docker build -t portcullis-dev --target dev .    a throw-away gateway on SoftHSM: `portcullis dev --tour`
#
# Both run as an ordinary user on a read-only root:
#
#   docker run --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges \
#     -v portcullis-state:/var/lib/portcullis -v /opt/vendor:/opt/vendor:ro -p 8420:8420 portcullis
#   docker run --read-only --tmpfs /tmp --cap-drop ALL --network host portcullis-dev
#
# State, first of all portcullis.yaml, is in /var/lib/portcullis: make it with `portcullis init --dir /var/lib/portcullis
# --listen 0.0.0.0:8420 …` in the same image. `dev` listens on loopback only, hence the host's network.
#
# As an ordinary user edge and vault share that user, and /readyz says `isolation: none`. To keep them apart start the
# container as root, on state that root made, with nothing but what it takes to become somebody else; the edge then runs
# as `portcullis-edge`:
#
#   docker run --user 0 --cap-drop ALL --cap-add SETUID --cap-add SETGID --cap-add CHOWN --cap-add KILL …
#
# The base has glibc, not musl: vendors' PKCS#11 modules are linked against it.

ARG BASE=node:20-bookworm-slim

# --- build: compilers and packages for development stay behind in this stage
FROM ${BASE} AS build
WORKDIR /portcullis
COPY package.json package-lock.json ./
COPY scripts/setup.mjs scripts/
COPY scripts/set-up scripts/set-up
# Before the sources come in, so that a change of theirs does not install and compile everything again.
RUN node scripts/setup.mjs --for check
COPY tsconfig.json tsconfig.build.json ./
COPY src src
# The set-up opens each native addon; then only what runs is kept, without the compilers' leavings.
RUN node scripts/setup.mjs --for build \
 && npm prune --omit=dev --no-audit --no-fund --loglevel=error \
 && rm -rf node_modules/*/build/Release/obj node_modules/*/build/Release/obj.target node_modules/better-sqlite3/deps

# --- what both targets share
FROM ${BASE} AS base
ENV NODE_ENV=production
RUN useradd --uid 10001 --user-group --no-create-home --home-dir /var/lib/portcullis --shell /usr/sbin/nologin portcullis \
 && useradd --uid 10002 --user-group --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin portcullis-edge \
 && install -d -o portcullis -g portcullis -m 0711 /var/lib/portcullis \
 && install -d -o portcullis -g portcullis-edge -m 0750 /run/portcullis
WORKDIR /portcullis
COPY package.json LICENSE ./
COPY bin bin
COPY softhsm softhsm
COPY policies policies
COPY scripts/healthcheck.mjs scripts/
COPY --from=build /portcullis/node_modules node_modules
COPY --from=build /portcullis/dist dist
VOLUME ["/var/lib/portcullis", "/run/portcullis"]
EXPOSE 8420
# /livez says that the edge answers; another address: -e PORTCULLIS_HEALTH_URL=https://127.0.0.1:8443/livez
HEALTHCHECK --interval=15s --timeout=5s --start-period=30s --retries=3 CMD ["node", "/portcullis/scripts/healthcheck.mjs"]
ENTRYPOINT ["node", "/portcullis/bin/portcullis.js"]

# --- dev: with SoftHSM
FROM base AS dev
RUN apt-get update \
 && apt-get install -y --no-install-recommends softhsm2 \
 && rm -rf /var/lib/apt/lists/*
USER portcullis
CMD ["dev", "--tour"]

# --- runtime: the default target
FROM base AS runtime
USER portcullis
CMD ["serve", "--config", "/var/lib/portcullis/portcullis.yaml"]
