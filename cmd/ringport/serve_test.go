package main

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// serving is "ringport serve" in this process.
type serving struct {
	base string
	log  *lockedBuffer
	stop func() error // ends it as Ctrl-C does, and returns what the command did
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func startServing(t *testing.T, dir string, o serveOptions) *serving {
	t.Helper()
	o.address = "127.0.0.1:0"
	if o.grace == 0 {
		o.grace = time.Minute
	}
	ctx, cancel := context.WithCancelCause(context.Background())
	says, stdout := io.Pipe()
	s := &serving{log: &lockedBuffer{}}
	ended := make(chan error, 1)
	go func() {
		err := runServe(ctx, dir, o, stdout, s.log)
		stdout.CloseWithError(io.EOF)
		ended <- err
	}()
	line, err := bufio.NewReader(says).ReadString('\n')
	if err != nil {
		t.Fatalf("it ended: %v", <-ended)
	}
	_, s.base, _ = strings.Cut(strings.TrimSpace(line), " on ")
	stop := sync.OnceValue(func() error {
		cancel(context.Canceled)
		return <-ended
	})
	s.stop = stop
	t.Cleanup(func() { stop() })
	return s
}

// siteFolder is a folder to be served, with a file beside it that is not to be.
func siteFolder(t *testing.T) (dir string, big []byte) {
	t.Helper()
	outside := t.TempDir()
	dir = filepath.Join(outside, "site")
	big = make([]byte, 3<<20)
	rand.Read(big)
	for name, content := range map[string][]byte{
		"../secret.txt": []byte("secret"), "hello.txt": []byte("hello, world\n"), "big.bin": big, "empty": {}, ".hidden": []byte("hidden"),
		"sub/index.html": []byte("<h1>index</h1>"), "list/a b&c.txt": []byte("odd"), "list/ü.txt": []byte("ü"), "list/deep/x": []byte("x"),
		"text.txt": bytes.Repeat([]byte("the same again and again\n"), 1000),
	} {
		full := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(full), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(full, content, 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir, big
}

// asIs asks for things as they are.
var asIs = &http.Client{Transport: &http.Transport{DisableCompression: true, DisableKeepAlives: true},
	CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}

func get(t *testing.T, method, url string, header ...string) (*http.Response, []byte) {
	t.Helper()
	r, err := http.NewRequest(method, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := asIs.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Errorf("%s %s: %v", method, url, err)
	}
	return resp, body
}

func TestServe_Files(t *testing.T) {
	dir, big := siteFolder(t)
	s := startServing(t, dir, serveOptions{})
	for _, c := range []struct {
		method, path string
		status       int
		body         string
		header       []string
	}{
		{"GET", "hello.txt", 200, "hello, world\n", nil},
		{"HEAD", "hello.txt", 200, "", nil},
		{"GET", "empty", 200, "", nil},
		{"GET", "big.bin", 200, string(big), nil},
		{"GET", "hello.txt", 206, "world", []string{"Range", "bytes=7-11"}},
		{"GET", "hello.txt", 206, "ld\n", []string{"Range", "bytes=-3"}},
		{"GET", "hello.txt", 416, "invalid range: failed to overlap\n", []string{"Range", "bytes=100-"}},
		{"GET", "big.bin", 206, string(big[1<<20:]), []string{"Range", "bytes=1048576-"}},
		{"GET", "none", 404, "404 not found\n", nil},
		{"GET", "hello.txt/more", 404, "404 not found\n", nil},
		{"POST", "hello.txt", 405, "405 method not allowed\n", nil},
		{"GET", "sub/", 200, "<h1>index</h1>", nil},
		{"GET", ".hidden", 404, "404 not found\n", nil},
		{"GET", "list/.hidden/x", 404, "404 not found\n", nil},
		{"GET", "list/%C3%BC.txt", 200, "ü", nil},
		{"GET", "list/a%20b&c.txt?x=1", 200, "odd", nil},
		{"GET", "he%00llo.txt", 404, "404 not found\n", nil},
		{"GET", strings.Repeat("x", 5000), 404, "404 not found\n", nil},
	} {
		resp, body := get(t, c.method, s.base+c.path, c.header...)
		if resp.StatusCode != c.status || string(body) != c.body || resp.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s %s %v: %d, %d bytes %.40q", c.method, c.path, c.header, resp.StatusCode, len(body), body)
		}
	}
	resp, _ := get(t, "HEAD", s.base+"big.bin")
	if resp.ContentLength != int64(len(big)) {
		t.Errorf("%d", resp.ContentLength)
	}
}

// TestServe_StaysInside: no path, however it is spelled, and no link leads out of the folder.
func TestServe_StaysInside(t *testing.T) {
	dir, _ := siteFolder(t)
	links := true
	for name, to := range map[string]string{"link.txt": filepath.Join(dir, "..", "secret.txt"), "inside.txt": "hello.txt"} {
		err := os.Symlink(to, filepath.Join(dir, name))
		if err == nil {
			_, err = os.Readlink(filepath.Join(dir, name)) // Wine says that it has made one, and has not
		}
		if err != nil {
			t.Logf("without links: %v", err)
			links = false
		}
	}
	s := startServing(t, dir, serveOptions{hidden: true})
	host := strings.TrimSuffix(strings.TrimPrefix(s.base, "http://"), "/")
	for _, path := range []string{
		"/../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt", "/sub/../../secret.txt", "/..\\secret.txt", "/%5c..%5csecret.txt",
		"//../secret.txt", "/link.txt", "/sub/..%2f..%2fsecret.txt", "/./../secret.txt", "/C:/secret.txt", "/list/..;/../secret.txt",
		"/NUL", "/CON", "/COM1.txt", "/hello.txt::$DATA", "/hello.txt:stream", "/aux.h",
	} {
		c, err := net.Dial("tcp", host)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", path) // as it stands: no client tidies it up
		answer, err := io.ReadAll(c)
		c.Close()
		if err != nil || bytes.Contains(answer, []byte("secret")) && !bytes.Contains(answer, []byte("Location")) || bytes.Contains(answer, []byte(" 200 OK")) {
			t.Errorf("%s: %q, %v", path, answer, err)
		}
	}
	if resp, body := get(t, "GET", s.base+"inside.txt"); links && (resp.StatusCode != 200 || string(body) != "hello, world\n") {
		t.Errorf("a link within: %d %q", resp.StatusCode, body)
	}
	_, page := get(t, "GET", s.base)
	if bytes.Contains(page, []byte("link.txt")) {
		t.Error("the page lists a link that leads out")
	}
	if resp, _ := get(t, "GET", s.base+".hidden"); resp.StatusCode != 200 {
		t.Errorf("hidden: %d", resp.StatusCode)
	}
}

// TestServe_LinksToNothing: nothing tells a link that leads out, or nowhere, from a missing file.
func TestServe_LinksToNothing(t *testing.T) {
	dir, _ := siteFolder(t)
	links := map[string]string{"out": "../secret.txt", "absolute": filepath.Join(dir, "..", "secret.txt"), "folder": "..", "dangling": "none",
		"danglingOut": "../none", "itself": "itself", "deep/out": "../../secret.txt"}
	if err := os.Mkdir(filepath.Join(dir, "deep"), 0o777); err != nil {
		t.Fatal(err)
	}
	for name, to := range links {
		full := filepath.Join(dir, filepath.FromSlash(name))
		err := os.Symlink(filepath.FromSlash(to), full)
		if err == nil {
			_, err = os.Readlink(full) // Wine says that it has made one, and has not
		}
		if err != nil {
			t.Skipf("without links: %v", err)
		}
	}
	s := startServing(t, dir, serveOptions{})
	missing, missingBody := get(t, "GET", s.base+"missing")
	missing.Header.Del("Date")
	for _, path := range []string{"out", "absolute", "folder", "folder/", "folder/secret.txt", "dangling", "danglingOut", "itself", "itself/x", "deep/out"} {
		resp, body := get(t, "GET", s.base+path)
		resp.Header.Del("Date")
		if resp.StatusCode != 404 || !bytes.Equal(body, missingBody) || !reflect.DeepEqual(resp.Header, missing.Header) {
			t.Errorf("%s: %d %v %q, a missing file: %v %q", path, resp.StatusCode, resp.Header, body, missing.Header, missingBody)
		}
	}
}

func TestServe_Folders(t *testing.T) {
	dir, _ := siteFolder(t)
	s := startServing(t, dir, serveOptions{})
	for path, want := range map[string]string{"list": "./list/", "list/deep": "./deep/", "hello.txt/": "../hello.txt", "sub?x=1": "./sub/?x=1"} {
		resp, _ := get(t, "GET", s.base+path)
		from, _ := url.Parse(s.base + path)
		to, err := from.Parse(resp.Header.Get("Location"))
		wantURL, _ := from.Parse(want)
		if err != nil || resp.StatusCode != 301 || to.String() != wantURL.String() {
			t.Errorf("%s: %d to %v, want %v", path, resp.StatusCode, to, wantURL)
		}
	}
	resp, page := get(t, "GET", s.base+"list/")
	if resp.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%v", resp.Header)
	}
	for _, want := range []string{`<a href="./a%20b&amp;c.txt">a b&amp;c.txt</a>`, `<a href="./deep/">deep/</a>`, `<a href="./%C3%BC.txt">ü.txt</a>`, `<a href="../">`} {
		if !bytes.Contains(page, []byte(want)) {
			t.Errorf("no %s in %s", want, page)
		}
	}
	if _, page := get(t, "GET", s.base); bytes.Contains(page, []byte("hidden")) {
		t.Errorf("%s", page)
	}
	if resp, body := get(t, "HEAD", s.base+"list/"); resp.StatusCode != 200 || len(body) != 0 {
		t.Errorf("%d, %d bytes", resp.StatusCode, len(body))
	}
	s = startServing(t, dir, serveOptions{noList: true})
	if resp, body := get(t, "GET", s.base+"list/"); resp.StatusCode != 404 || string(body) != "404 not found\n" {
		t.Errorf("%d", resp.StatusCode)
	}
	if resp, _ := get(t, "GET", s.base+"sub/"); resp.StatusCode != 200 {
		t.Errorf("%d", resp.StatusCode)
	}
}

// TestServe_Compressed: for those who ask, and with another entity tag, which is known again.
func TestServe_Compressed(t *testing.T) {
	dir, _ := siteFolder(t)
	s := startServing(t, dir, serveOptions{})
	want, _ := os.ReadFile(filepath.Join(dir, "text.txt"))
	resp, body := get(t, "GET", s.base+"text.txt")
	if resp.Header.Get("Content-Encoding") != "" || !bytes.Equal(body, want) {
		t.Errorf("%v", resp.Header)
	}
	tag := resp.Header.Get("Etag")
	resp, body = get(t, "GET", s.base+"text.txt", "Accept-Encoding", "gzip")
	unzip, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		t.Fatalf("%v: %v", resp.Header, err)
	}
	if got, err := io.ReadAll(unzip); !bytes.Equal(got, want) || err != nil || len(body) > len(want)/10 {
		t.Errorf("%d bytes, %v", len(body), err)
	}
	other := resp.Header.Get("Etag")
	if tag == "" || other == tag {
		t.Errorf("%q and %q", tag, other)
	}
	unknown := `"0-0"`
	for _, c := range []struct {
		known, accept string
		status        int
		tag           string
	}{
		{tag, "", 304, tag},
		{tag, "gzip", 304, tag}, // what it has is good, though it would get another
		{other, "gzip", 304, other},
		{"W/" + other, "gzip", 304, other},
		{unknown + ", " + other, "zstd;q=0, gzip; q=0.5", 304, other},
		{tag + ", " + other, "gzip", 304, other},
		{tag + ", " + other, "", 304, tag},
		{other, "", 200, tag},
		{other, "gzip;q=0", 200, tag},
		{unknown, "gzip", 200, other},
		{"*", "", 304, tag},
	} {
		for _, method := range []string{"GET", "HEAD"} {
			resp, body := get(t, method, s.base+"text.txt", "If-None-Match", c.known, "Accept-Encoding", c.accept)
			if resp.StatusCode != c.status || resp.Header.Get("Etag") != c.tag || resp.Header.Get("Vary") != "Accept-Encoding" || c.status == 304 && len(body) != 0 {
				t.Errorf("%s of %s by who accepts %q: %d %v", method, c.known, c.accept, resp.StatusCode, resp.Header)
			}
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "text.txt"), []byte("another"), 0o666); err != nil {
		t.Fatal(err)
	}
	if resp, body := get(t, "GET", s.base+"text.txt", "If-None-Match", tag); resp.StatusCode != 200 || string(body) != "another" {
		t.Errorf("%d %q", resp.StatusCode, body)
	}
}

// TestServe_HeadIsLikeGet: whatever is asked for, HEAD has the header of GET; it may lack the length of what has to be made first.
func TestServe_HeadIsLikeGet(t *testing.T) {
	dir, _ := siteFolder(t)
	s := startServing(t, dir, serveOptions{})
	for _, path := range []string{"text.txt", "hello.txt", "empty", "big.bin", "list/", "sub/", "sub", "missing", ".hidden"} {
		for _, ask := range [][]string{nil, {"Accept-Encoding", "gzip"}, {"Accept-Encoding", "gzip, zstd"}, {"Accept-Encoding", "gzip", "Range", "bytes=1-2"}} {
			want, _ := get(t, "GET", s.base+path, ask...)
			got, body := get(t, "HEAD", s.base+path, ask...)
			if got.Header.Get("Content-Length") == "" {
				want.Header.Del("Content-Length")
			}
			want.Header.Del("Date")
			got.Header.Del("Date")
			if got.StatusCode != want.StatusCode || !reflect.DeepEqual(got.Header, want.Header) || len(body) != 0 {
				t.Errorf("%s %v: HEAD %d %v, GET %d %v", path, ask, got.StatusCode, got.Header, want.StatusCode, want.Header)
			}
		}
	}
	s.stop()
	if log := s.log.String(); strings.Contains(log, "status=0 ") {
		t.Errorf("the log lacks a status: %s", log)
	}
}

// TestServe_HeadReadsLittle: of a long file HEAD reads what the compression wants to see of it, and no more.
func TestServe_HeadReadsLittle(t *testing.T) {
	const long = 1 << 40
	for _, coding := range []string{"", "gzip", "zstd"} {
		counts := &countedReader{ReadSeeker: io.NewSectionReader(zeros{}, 0, long)}
		handler, err := serveHandler(newServeLog(io.Discard, true), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
			http.ServeContent(w, r, "", time.Time{}, counts)
		}))
		if err != nil {
			t.Fatal(err)
		}
		w, r := httptest.NewRecorder(), httptest.NewRequest("HEAD", "/", nil)
		r.Header.Set("Accept-Encoding", coding)
		handler.ServeHTTP(w, r)
		if w.Code != 200 || w.Body.Len() != 0 || w.Header().Get("Content-Encoding") != coding || counts.n > 1<<20 {
			t.Errorf("%s: %d %v, %d bytes read", coding, w.Code, w.Header(), counts.n)
		}
	}
}

type zeros struct{}

func (zeros) ReadAt(p []byte, _ int64) (int, error) {
	clear(p)
	return len(p), nil
}

type countedReader struct {
	io.ReadSeeker
	n int64
}

func (c *countedReader) Read(p []byte) (int, error) {
	n, err := c.ReadSeeker.Read(p)
	c.n += int64(n)
	return n, err
}

// TestServe_LogHasTheReason: of a request that the server has failed to answer, even if it is quiet; the client is not told.
func TestServe_LogHasTheReason(t *testing.T) {
	for _, c := range []struct {
		err       error
		quiet     bool
		status    int
		has, lack string
	}{
		{syscall.EIO, false, 500, `level=ERROR msg=request .* path=/x .* status=500 .* error="open x: the reason`, "level=INFO"},
		{syscall.EIO, true, 500, `level=ERROR .* error="open x: the reason`, "level=INFO"},
		{os.ErrDeadlineExceeded, false, 504, `level=ERROR .* error="open x: the reason`, "level=INFO"},
		{fs.ErrNotExist, false, 404, "level=INFO msg=request .* status=404", "error="},
		{fs.ErrNotExist, true, 404, "^$", "level"},
	} {
		var log bytes.Buffer
		handler, err := serveHandler(newServeLog(&log, c.quiet), http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fail(w, r, &fs.PathError{Op: "open", Path: "x", Err: fmt.Errorf("the reason: %w", c.err)})
		}))
		if err != nil {
			t.Fatal(err)
		}
		for _, coding := range []string{"identity", "gzip"} {
			log.Reset()
			w, r := httptest.NewRecorder(), httptest.NewRequest("GET", "/x", nil)
			r.Header.Set("Accept-Encoding", coding)
			handler.ServeHTTP(w, r)
			if w.Code != c.status || strings.Contains(w.Body.String(), "reason") {
				t.Errorf("%v, %s: %d %q", c.err, coding, w.Code, w.Body)
			}
			if !regexp.MustCompile(c.has).Match(log.Bytes()) || strings.Contains(log.String(), c.lack) {
				t.Errorf("%v, quiet %v, %s: %q", c.err, c.quiet, coding, &log)
			}
		}
	}
}

// TestServe_ShrinkingFile: a file that gets shorter while it is sent ends the connection; the client is not told that this was all.
func TestServe_ShrinkingFile(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "big")
	const size = 64 << 20
	if err := os.WriteFile(name, make([]byte, size), 0o666); err != nil {
		t.Fatal(err)
	}
	s := startServing(t, dir, serveOptions{})
	resp, err := asIs.Get(s.base + "big")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if _, err := io.ReadFull(resp.Body, make([]byte, 1<<20)); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(name, 2<<20); err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, resp.Body); err == nil {
		t.Errorf("%d bytes more, and no error", n)
	}
	if resp, _ := get(t, "GET", s.base+"big"); resp.StatusCode != 200 || resp.ContentLength != 2<<20 {
		t.Errorf("afterwards: %d, %d", resp.StatusCode, resp.ContentLength)
	}
}

// TestServe_Shutdown: what is being sent is sent, nobody new is let in, and the line of the log is written.
func TestServe_Shutdown(t *testing.T) {
	dir := t.TempDir()
	big := make([]byte, 32<<20)
	rand.Read(big)
	if err := os.WriteFile(filepath.Join(dir, "big"), big, 0o666); err != nil {
		t.Fatal(err)
	}
	s := startServing(t, dir, serveOptions{})
	resp, err := asIs.Get(s.base + "big")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	stopped := make(chan error, 1)
	go func() { stopped <- s.stop() }()
	for {
		c, err := net.Dial("tcp", strings.TrimSuffix(strings.TrimPrefix(s.base, "http://"), "/"))
		if err != nil {
			break
		}
		c.Close()
	}
	if got, err := io.ReadAll(resp.Body); !bytes.Equal(got, big) || err != nil {
		t.Errorf("%d bytes, %v", len(got), err)
	}
	if err := <-stopped; err != context.Canceled {
		t.Errorf("%v", err)
	}
	if log := s.log.String(); !strings.Contains(log, "path=/big") || !strings.Contains(log, fmt.Sprint("bytes=", len(big))) || !strings.Contains(log, "status=200") {
		t.Errorf("%s", log)
	}
}

// TestServe_GraceEnds: a client that does not take what it asked for is cut off.
func TestServe_GraceEnds(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "big"), make([]byte, 64<<20), 0o666); err != nil {
		t.Fatal(err)
	}
	s := startServing(t, dir, serveOptions{grace: time.Millisecond, quiet: true})
	resp, err := asIs.Get(s.base + "big")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := s.stop(); err != context.Canceled {
		t.Errorf("%v", err)
	}
	if _, err := io.Copy(io.Discard, resp.Body); err == nil {
		t.Error("all of it came")
	}
	if log := s.log.String(); !strings.Contains(log, "cut off") || strings.Contains(log, "path=") {
		t.Errorf("%s", log)
	}
}

func TestServe_TLS(t *testing.T) {
	dir, _ := siteFolder(t)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour),
		NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	cert := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	files := map[string][]byte{"cert.pem": cert, "key.pem": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})}
	secrets := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(secrets, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	s := startServing(t, dir, serveOptions{cert: filepath.Join(secrets, "cert.pem"), key: filepath.Join(secrets, "key.pem")})
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(cert)
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}}
	defer client.CloseIdleConnections()
	resp, err := client.Get(s.base + "hello.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, err := io.ReadAll(resp.Body); string(body) != "hello, world\n" || err != nil || resp.ProtoMajor != 2 {
		t.Errorf("%s: %q, %v", resp.Proto, body, err)
	}
}

// TestServe_LoopbackByDefault: who names no address is asked by this machine alone.
func TestServe_LoopbackByDefault(t *testing.T) {
	flag := newServeCommand().Flag("address")
	host, _, err := net.SplitHostPort(flag.Value.String())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(flag.Usage, "127.0.0.1 alone") {
		t.Errorf("the help does not say that it is IPv4 alone: %s", flag.Usage)
	}
	addresses, err := net.LookupIP(host)
	if err != nil || len(addresses) == 0 {
		t.Fatal(addresses, err)
	}
	for _, a := range addresses {
		if !a.IsLoopback() {
			t.Errorf("%s is %v", host, a)
		}
	}
}

func TestServe_WrongUsage(t *testing.T) {
	dir := t.TempDir()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{}, exitUsage, "accepts 1 arg"},
		{[]string{dir, dir}, exitUsage, "accepts 1 arg"},
		{[]string{filepath.Join(dir, "none")}, exitFailed, "none"},
		{[]string{"--address", "nonsense", dir}, exitUsage, "--address"},
		{[]string{"--address", taken.Addr().String(), dir}, exitFailed, "listen tcp"},
		{[]string{"--cert", "x", dir}, exitUsage, "--key"},
		{[]string{"--cert", "x", "--key", "y", dir}, exitFailed, "x"},
		{[]string{"--grace", "-1s", dir}, exitUsage, "--grace"},
	} {
		var stdout, stderr bytes.Buffer
		code := run(append([]string{"serve"}, c.args...), strings.NewReader(""), &stdout, &stderr)
		if code != c.code || !strings.Contains(stderr.String(), c.says) {
			t.Errorf("%v: %d, %s", c.args, code, stderr.String())
		}
	}
}
