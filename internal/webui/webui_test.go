package webui

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/stretchr/testify/require"
)

const sources = "../../ui"

// The build that is committed is that of the sources that are committed.
func TestBuildIsFresh(t *testing.T) {
	t.Parallel()
	files := []string{"index.html", "scripts/first.mjs", "package.json", "package-lock.json", "vite.config.ts", "tsconfig.json", "../docs/openapi.json"}
	require.NoError(t, filepath.WalkDir(filepath.Join(sources, "src"), func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(sources, path)
			files = append(files, filepath.ToSlash(rel))
		}
		return err
	}))
	slices.Sort(files)
	h := sha256.New()
	for _, name := range files {
		b, err := os.ReadFile(filepath.Join(sources, name))
		require.NoError(t, err)
		fmt.Fprintf(h, "%s\x00%x\n", name, sha256.Sum256(b))
	}
	var built struct{ SHA256 string }
	require.NoError(t, json.Unmarshal(Load()["inputs.json"].plain, &built, json.MatchCaseInsensitiveNames(true)))
	require.Equal(t, hex.EncodeToString(h.Sum(nil)), built.SHA256, "the dashboard has changed: make ui")
}

// What a browser loads at first, and the whole, stay small.
func TestBuildIsSmall(t *testing.T) {
	t.Parallel()
	const firstLoad, whole = 200_000, 3_000_000
	all := 0
	for _, f := range Load() {
		all += len(f.plain)
	}
	require.Less(t, all, whole)
	// The page, what it imports at once, and what the overview imports.
	seen := map[string]bool{}
	var add func(name string)
	imports := regexp.MustCompile(`(?:import|from)\s*"\./([\w.-]+\.js)"`)
	add = func(name string) {
		if f := Load()["assets/"+name]; f != nil && !seen[name] {
			seen[name] = true
			for _, m := range imports.FindAllStringSubmatch(string(f.plain), -1) {
				add(m[1])
			}
		}
	}
	html := regexp.MustCompile(`<link data-next="runs/"[^>]*>`).ReplaceAllString(string(Load()["index.html"].plain), "") // of the page of a run alone
	for _, m := range regexp.MustCompile(`assets/([\w.-]+\.js)`).FindAllStringSubmatch(html, -1) {
		add(m[1])
	}
	require.NotEmpty(t, seen)
	for name := range Load() {
		for _, page := range []string{"assets/Overview-", "assets/Runs-"} {
			if strings.HasPrefix(name, page) && strings.HasSuffix(name, ".js") {
				add(strings.TrimPrefix(name, "assets/"))
			}
		}
	}
	first := 0
	for name := range seen {
		first += len(Load()["assets/"+name].small)
		require.NotContains(t, name, "EditJson", "the editor is loaded when it is needed")
	}
	t.Logf("first load: %d bytes of JavaScript in %d files, compressed; all: %d bytes", first, len(seen), all)
	require.Less(t, first, firstLoad)
}

// Nothing in the build names another host to load something from, or needs what the
// policy forbids.
func TestBuildNeedsNobody(t *testing.T) {
	t.Parallel()
	html := string(Load()["index.html"].plain)
	require.NotRegexp(t, `<script(?:\s[^>]*)?>[^<]`, html, "a script in the page")
	require.NotContains(t, html, "style=")
	require.NotContains(t, html, "http")
	for name, f := range Load() {
		if strings.HasSuffix(name, ".css") {
			require.NotContains(t, string(f.plain), "url(http", name)
			require.NotContains(t, string(f.plain), "url(data:", name)
		}
	}
	require.Contains(t, Policy, "default-src 'self'")
	require.NotContains(t, Policy, "unsafe")
}

func TestServe(t *testing.T) {
	t.Parallel()
	get := func(name string, header ...string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, "/", nil)
		for i := 0; i < len(header); i += 2 {
			r.Header.Set(header[i], header[i+1])
		}
		w := httptest.NewRecorder()
		require.True(t, Load().Serve(w, r, name))
		return w
	}
	page := get("index.html")
	require.Equal(t, "no-cache", page.Header().Get("Cache-Control"))
	require.Equal(t, Policy, page.Header().Get("Content-Security-Policy"))
	require.Empty(t, page.Header().Get("Content-Encoding"))
	require.Equal(t, http.StatusNotModified, get("index.html", "If-None-Match", page.Header().Get("ETag")).Code)
	var script string
	for name := range Load() {
		if strings.HasPrefix(name, "assets/main-") && strings.HasSuffix(name, ".js") {
			script = name
		}
	}
	js := get(script, "Accept-Encoding", "br, gzip")
	require.Equal(t, "public, max-age=31536000, immutable", js.Header().Get("Cache-Control"))
	require.Equal(t, "gzip", js.Header().Get("Content-Encoding"))
	z, err := gzip.NewReader(bytes.NewReader(js.Body.Bytes()))
	require.NoError(t, err)
	plain, err := io.ReadAll(z)
	require.NoError(t, err)
	require.Equal(t, get(script, "Accept-Encoding", "gzip;q=0").Body.Bytes(), plain)
	require.False(t, Load().Serve(httptest.NewRecorder(), httptest.NewRequest(http.MethodGet, "/", nil), "none"))
}
