# The dashboard. Nobody needs Node to build or run Pawl: the build is committed.

# ui builds it anew into internal/webui/dist, to be committed with its sources.
.PHONY: ui
ui:
	go test ./server -run OpenAPIIsFresh -update
	cd ui && npm ci && npm run build

# ui-dev serves it with hot reload on port 5173, in front of a server at PAWL_URL.
.PHONY: ui-dev
ui-dev:
	cd ui && npm ci && npm run types && npm run dev

# ui-check is what CI asks of it: style, types, unit tests, and that the committed
# build is that of the sources, byte by byte.
.PHONY: ui-check
ui-check:
	scripts/ui-check

# ui-e2e looks at every page of the built binary in Debian's chromium.
.PHONY: ui-e2e
ui-e2e:
	scripts/ui-e2e
