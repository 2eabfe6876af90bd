// Package webui holds the dashboard as it was built from ui/, and serves it. It
// knows nothing of the server: what the pages show, they ask its API for.
package webui

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/base64"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strconv"
	"strings"
	"sync"
)

//go:embed all:dist
var embedded embed.FS

// Policy lets the pages run and show what comes from this server and nothing else,
// and lets no text become markup or script.
const Policy = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'self'; form-action 'none'; frame-ancestors 'none'; " +
	"require-trusted-types-for 'script'; trusted-types 'none'"

// file is a built file, ready to be sent.
type file struct {
	kind, tag    string
	plain, small []byte // small is compressed; nil when that gains nothing
}

// Files are the built files by name, such as "index.html" and
// "assets/index-Dk3x.js".
type Files map[string]*file

// Load reads the built files and compresses them: once, a fraction of a second.
var Load = sync.OnceValue(func() Files {
	files := Files{}
	err := fs.WalkDir(embedded, "dist", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := embedded.ReadFile(name)
		if err != nil {
			return err
		}
		files[strings.TrimPrefix(name, "dist/")] = newFile(name, b)
		return nil
	})
	if err != nil {
		panic("webui: the embedded files cannot be read: " + err.Error())
	}
	return files
})

// kinds are the media types, whatever the machine's own tables say.
var kinds = map[string]string{
	".html": "text/html; charset=utf-8", ".js": "text/javascript; charset=utf-8", ".css": "text/css; charset=utf-8",
	".svg": "image/svg+xml", ".woff2": "font/woff2", ".json": "application/json", ".txt": "text/plain; charset=utf-8",
}

func newFile(name string, b []byte) *file {
	sum := sha256.Sum256(b)
	f := &file{kind: kinds[path.Ext(name)], plain: b, tag: `"` + base64.RawURLEncoding.EncodeToString(sum[:12]) + `"`}
	if f.kind == "" {
		f.kind = mime.TypeByExtension(path.Ext(name))
	}
	if path.Ext(name) == ".woff2" { // is compressed
		return f
	}
	var small bytes.Buffer
	z, err := gzip.NewWriterLevel(&small, gzip.BestCompression)
	if err != nil {
		panic("webui: " + err.Error()) // the level is a good one
	}
	_, _ = z.Write(b) // a buffer takes all
	_ = z.Close()
	if small.Len() < len(b) {
		f.small = small.Bytes()
	}
	return f
}

// Serve sends the file of that name, and reports false when there is none.
func (fs Files) Serve(w http.ResponseWriter, r *http.Request, name string) bool {
	f := fs[name]
	if f == nil {
		return false
	}
	h := w.Header()
	h.Set("Content-Type", f.kind)
	h.Set("ETag", f.tag)
	h.Set("Vary", "Accept-Encoding")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Security-Policy", Policy)
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
	if strings.HasPrefix(name, "assets/") { // its name changes with it
		h.Set("Cache-Control", "public, max-age=31536000, immutable")
	} else {
		h.Set("Cache-Control", "no-cache")
	}
	if r.Header.Get("If-None-Match") == f.tag {
		w.WriteHeader(http.StatusNotModified)
		return true
	}
	body := f.plain
	if f.small != nil && acceptsGzip(r) {
		h.Set("Content-Encoding", "gzip")
		body = f.small
	}
	h.Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(http.StatusOK)
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // nobody is left to tell
	}
	return true
}

func acceptsGzip(r *http.Request) bool {
	for part := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, q, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.EqualFold(name, "gzip") {
			return strings.ReplaceAll(strings.TrimSpace(q), " ", "") != "q=0"
		}
	}
	return false
}
