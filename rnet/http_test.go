package rnet

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptrace"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ringport/ringport/internal/conntest"
	"github.com/ringport/ringport/internal/patience"
)

// exchange is one case of TestHTTP: what a client does, and what it saw, as text to be compared.
type exchange struct {
	name string
	do   func(t *testing.T, c *http.Client, url string) string
}

var exchanges = []exchange{
	{"get", func(t *testing.T, c *http.Client, url string) string { return seen(c.Get(url + "/hello")) }},
	{"head", func(t *testing.T, c *http.Client, url string) string { return seen(c.Head(url + "/hello")) }},
	{"not found", func(t *testing.T, c *http.Client, url string) string { return seen(c.Get(url + "/none")) }},
	{"keep-alive", func(t *testing.T, c *http.Client, url string) (all string) {
		reused := false // by one of them: the client gives up a connection whose goroutine is late by 50 ms to say that all was sent
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{GotConn: func(i httptrace.GotConnInfo) { reused = reused || i.Reused }})
		for range 5 {
			r, _ := http.NewRequestWithContext(ctx, "GET", url+"/hello", nil)
			all += seen(c.Do(r)) + "\n"
		}
		return all + fmt.Sprint("reused ", reused)
	}},
	{"chunked response", func(t *testing.T, c *http.Client, url string) string { return seen(c.Get(url + "/chunked")) }},
	{"chunked request", func(t *testing.T, c *http.Client, url string) string {
		return seen(c.Post(url+"/sum", "text/plain", io.MultiReader(strings.NewReader("one"), strings.NewReader("two"))))
	}},
	{"100-continue", func(t *testing.T, c *http.Client, url string) string {
		continued := false
		ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{Got100Continue: func() { continued = true }})
		r, _ := http.NewRequestWithContext(ctx, "POST", url+"/sum", strings.NewReader("body"))
		r.Header.Set("Expect", "100-continue")
		return fmt.Sprint(seen(c.Do(r)), " continued ", continued)
	}},
	{"100-continue refused", func(t *testing.T, c *http.Client, url string) string {
		r, _ := http.NewRequestWithContext(t.Context(), "POST", url+"/refuse", bytes.NewReader(conntest.Pattern(1<<20)))
		r.Header.Set("Expect", "100-continue")
		return seen(c.Do(r))
	}},
	{"large body there", func(t *testing.T, c *http.Client, url string) string {
		return seen(c.Post(url+"/sum", "", bytes.NewReader(conntest.Pattern(8<<20))))
	}},
	{"large body back", func(t *testing.T, c *http.Client, url string) string { return seen(c.Get(url + "/large")) }},
	{"large bodies both ways at once", func(t *testing.T, c *http.Client, url string) string {
		return seen(c.Post(url+"/echo", "", bytes.NewReader(conntest.Pattern(8<<20))))
	}},
	{"a file", func(t *testing.T, c *http.Client, url string) string { return seen(c.Get(url + "/file")) }},
	{"part of a file", func(t *testing.T, c *http.Client, url string) string {
		r, _ := http.NewRequest("GET", url+"/file", nil)
		r.Header.Set("Range", "bytes=1000000-2000000")
		return seen(c.Do(r))
	}},
	{"a response that breaks off", func(t *testing.T, c *http.Client, url string) string { return seen(c.Get(url + "/abort")) }},
	{"cancelled while it waits", func(t *testing.T, c *http.Client, url string) string {
		ctx, cancel := context.WithCancel(t.Context())
		r, _ := http.NewRequestWithContext(ctx, "GET", url+"/hang", nil)
		r.Header.Set("X-Hang", "before the header")
		go func() {
			<-hanging
			cancel()
		}()
		out := seen(c.Do(r))
		<-hangOver // the server's handler has been told
		return out + "\n" + seen(c.Get(url+"/hello"))
	}},
	{"cancelled in the body", func(t *testing.T, c *http.Client, url string) string {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		r, _ := http.NewRequestWithContext(ctx, "GET", url+"/hang", nil)
		response, err := c.Do(r)
		if err != nil {
			return err.Error()
		}
		<-hanging
		part := make([]byte, 4)
		if _, err := io.ReadFull(response.Body, part); err != nil {
			return err.Error()
		}
		cancel()
		out := seen(response, err)
		<-hangOver
		return string(part) + out
	}},
}

// hanging and hangOver: a handler that hangs does so, and does no more.
var hanging, hangOver = make(chan struct{}), make(chan struct{})

// seen is what can be seen of an answer.
func seen(r *http.Response, err error) string {
	if err != nil {
		return fmt.Sprintf("error: cancelled %v, timeout %v, EOF %v", errors.Is(err, context.Canceled), os.IsTimeout(err), errors.Is(err, io.EOF))
	}
	defer r.Body.Close()
	sum := sha256.New()
	n, err := io.Copy(sum, r.Body)
	if errors.Is(err, context.Canceled) {
		err = context.Canceled
	}
	length := fmt.Sprint(r.ContentLength)
	return fmt.Sprintf("%s %s, length %s, encoding %v, %d bytes %x, %v", r.Proto, r.Status, length, r.TransferEncoding, n, sum.Sum(nil)[:4], err)
}

func httpHandler(t *testing.T) http.Handler {
	name := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(name, conntest.Pattern(5<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/hello", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") })
	mux.HandleFunc("/chunked", func(w http.ResponseWriter, r *http.Request) {
		for i := range 10 {
			fmt.Fprintf(w, "chunk %d\n", i)
			w.(http.Flusher).Flush()
		}
	})
	mux.HandleFunc("/sum", func(w http.ResponseWriter, r *http.Request) {
		sum := sha256.New()
		n, err := io.Copy(sum, r.Body)
		fmt.Fprintf(w, "%d %x %v %v", n, sum.Sum(nil), err, r.TransferEncoding)
	})
	mux.HandleFunc("/refuse", func(w http.ResponseWriter, r *http.Request) { http.Error(w, "no", http.StatusForbidden) })
	mux.HandleFunc("/large", func(w http.ResponseWriter, r *http.Request) { w.Write(conntest.Pattern(8 << 20)) })
	mux.HandleFunc("/echo", func(w http.ResponseWriter, r *http.Request) {
		http.NewResponseController(w).EnableFullDuplex()
		io.Copy(w, r.Body)
	})
	mux.HandleFunc("/file", func(w http.ResponseWriter, r *http.Request) { http.ServeFile(w, r, name) })
	mux.HandleFunc("/abort", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, "part")
		w.(http.Flusher).Flush()
		panic(http.ErrAbortHandler)
	})
	mux.HandleFunc("/hang", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("X-Hang") == "" {
			io.WriteString(w, "part")
			w.(http.Flusher).Flush()
		}
		hanging <- struct{}{}
		<-r.Context().Done()
		hangOver <- struct{}{}
	})
	return mux
}

// TestHTTP: package net/http's server and client have the same conversations over these connections as over package net's: plain, by TLS,
// and HTTP/2.
func TestHTTP(t *testing.T) {
	certificate, pool := testCertificate(t)
	transcript := func(t *testing.T, s stack, kind string) map[string]string {
		l := listen(t, s, "tcp")
		var opened, closed atomic.Int64
		server := &http.Server{Handler: httpHandler(t), ErrorLog: log.New(io.Discard, "", 0), ConnState: func(_ net.Conn, state http.ConnState) {
			switch state {
			case http.StateNew:
				opened.Add(1)
			case http.StateClosed:
				closed.Add(1)
			}
		}}
		transport := &http.Transport{DialContext: s.dial, DisableCompression: true, ExpectContinueTimeout: patience.Limit}
		url := "http://" + l.Addr().String()
		serve := server.Serve
		if kind != "plain" {
			url = "https://" + l.Addr().String()
			server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{certificate}}
			transport.TLSClientConfig = &tls.Config{RootCAs: pool}
			transport.ForceAttemptHTTP2 = kind == "HTTP/2"
			server.Protocols = new(http.Protocols)
			server.Protocols.SetHTTP1(true)
			server.Protocols.SetHTTP2(kind == "HTTP/2")
			serve = func(l net.Listener) error { return server.ServeTLS(l, "", "") }
		}
		serving := conntest.Async(func() (int, error) { return 0, serve(l) })
		seen := map[string]string{}
		for _, e := range exchanges {
			seen[e.name] = e.do(t, &http.Client{Transport: transport}, url)
		}
		transport.CloseIdleConnections()
		if err := server.Shutdown(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := serving(); err != http.ErrServerClosed {
			t.Errorf("Serve: %v", err)
		}
		if err := patience.Until(func() error {
			if o, c := opened.Load(), closed.Load(); o != c || o == 0 {
				return fmt.Errorf("%d connections, %d closed", o, c)
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
		return seen
	}
	for _, kind := range []string{"plain", "TLS", "HTTP/2"} {
		want := transcript(t, netStack, kind)
		t.Run(kind, func(t *testing.T) {
			forEach(t, func(t *testing.T, s stack) {
				got := transcript(t, s, kind)
				for _, e := range exchanges {
					if got[e.name] != want[e.name] {
						t.Errorf("%s:\ngot  %s\nwant %s", e.name, got[e.name], want[e.name])
					}
				}
			})
		})
		if kind == "HTTP/2" && !strings.HasPrefix(want["get"], "HTTP/2.0 200 OK") {
			t.Errorf("no HTTP/2: %s", want["get"])
		}
	}
}

// testCertificate is one for 127.0.0.1, and a pool that trusts it.
func testCertificate(t *testing.T) (tls.Certificate, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "rnet"}, NotAfter: time.Now().Add(24 * time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(parsed)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pool
}

// logTo is a writer for a log.
type logTo func(text string)

func (f logTo) Write(p []byte) (int, error) {
	f(string(p))
	return len(p), nil
}
