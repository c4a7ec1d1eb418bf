package conformance

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"golang.org/x/net/http2"

	"github.com/ringport/ringport/rnet"
)

// TestHTTP2: golang.org/x/net/http2's server and client, without TLS, over connections of the default manager.
func TestHTTP2(t *testing.T) {
	l, err := rnet.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Protocol", r.Proto)
		io.Copy(w, r.Body)
	})
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go new(http2.Server).ServeConn(c, &http2.ServeConnOpts{Handler: handler})
		}
	}()
	transport := &http2.Transport{AllowHTTP: true, DialTLSContext: func(ctx context.Context, network, address string, _ *tls.Config) (net.Conn, error) {
		return rnet.DialContext(ctx, network, address)
	}}
	defer transport.CloseIdleConnections()
	client := &http.Client{Transport: transport}
	body := strings.Repeat("both ways, ", 100_000)
	for range 3 {
		r, err := client.Post("http://"+l.Addr().String(), "", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(r.Body)
		r.Body.Close()
		if string(got) != body || err != nil || r.Header.Get("Protocol") != "HTTP/2.0" {
			t.Errorf("%d bytes of %d by %s, %v", len(got), len(body), r.Header.Get("Protocol"), err)
		}
	}
}
