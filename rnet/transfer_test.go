package rnet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/ringport/ringport"
	"github.com/ringport/ringport/internal/conntest"
)

// TestConn_ReadFrom: what a reader has arrives in full, whatever the reader is, and no more is taken from it than is sent.
func TestConn_ReadFrom(t *testing.T) {
	data := conntest.Pattern(3 << 20)
	name := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(name, data, 0o600); err != nil {
		t.Fatal(err)
	}
	forEach(t, func(t *testing.T, s stack) {
		osFile := func(t *testing.T) *os.File {
			f, err := os.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { f.Close() })
			return f
		}
		ours := func(t *testing.T) *ringport.File {
			f, err := s.m.Open(t.Context(), name)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { f.Close() })
			return f
		}
		conn := func(network string) func(t *testing.T) io.Reader {
			return func(t *testing.T) io.Reader {
				a, b := pair(t, s, network)
				go func() {
					a.Write(data)
					a.(*Conn).CloseWrite()
				}()
				return b
			}
		}
		for what, c := range map[string]struct {
			reader func(t *testing.T) io.Reader
			want   []byte
			rest   int64 // what the reader has left, -1: can't be told
		}{
			"os.File": {func(t *testing.T) io.Reader { return osFile(t) }, data, 0},
			"the rest of an os.File": {func(t *testing.T) io.Reader {
				f := osFile(t)
				f.Seek(1<<20, io.SeekStart)
				return f
			}, data[1<<20:], 0},
			"part of an os.File":   {func(t *testing.T) io.Reader { return io.LimitReader(osFile(t), 1<<20) }, data[:1<<20], 2 << 20},
			"File":                 {func(t *testing.T) io.Reader { return ours(t) }, data, 0},
			"part of a File":       {func(t *testing.T) io.Reader { return io.LimitReader(ours(t), 100) }, data[:100], 3<<20 - 100},
			"nothing of a File":    {func(t *testing.T) io.Reader { return io.LimitReader(ours(t), 0) }, nil, 3 << 20},
			"a TCP connection":     {conn("tcp"), data, 0},
			"a Unix connection":    {conn(networks[len(networks)-1]), data, 0},
			"part of a connection": {func(t *testing.T) io.Reader { return io.LimitReader(conn("tcp")(t), 2<<20) }, data[:2<<20], 1 << 20},
			"a reader":             {func(t *testing.T) io.Reader { return strings.NewReader(string(data)) }, data, 0},
			"a pipe": {func(t *testing.T) io.Reader {
				r, w, err := os.Pipe()
				if err != nil {
					t.Fatal(err)
				}
				t.Cleanup(func() { r.Close() })
				go func() {
					w.Write(data)
					w.Close()
				}()
				return r
			}, data, 0},
		} {
			for _, network := range networks {
				t.Run(network+" from "+what, func(t *testing.T) {
					to, peer := pair(t, s, network)
					r := c.reader(t)
					conntest.Together(t, func() error {
						n, err := io.Copy(to, r)
						if n != int64(len(c.want)) || err != nil {
							return fmt.Errorf("%d bytes, %v", n, err)
						}
						return to.(*Conn).CloseWrite()
					}, func() error {
						if err := conntest.Expect(peer, c.want); err != nil {
							return err
						}
						if n, err := peer.Read(make([]byte, 1)); n != 0 || err != io.EOF {
							return fmt.Errorf("and then %d, %v", n, err)
						}
						return nil
					})
					if l, ok := r.(*io.LimitedReader); ok {
						r = l.R
						if l.N != 0 {
							t.Errorf("the limit is %d still", l.N)
						}
					}
					if n, err := io.Copy(io.Discard, r); n != c.rest || err != nil {
						t.Errorf("the reader has %d bytes left, want %d; %v", n, c.rest, err)
					}
				})
			}
		}
	})
}

// TestConn_WriteTo: io.Copy from a connection to what is none.
func TestConn_WriteTo(t *testing.T) {
	forEach(t, func(t *testing.T, s stack) {
		for _, network := range networks {
			from, peer := pair(t, s, network)
			data := conntest.Pattern(30 << 10)
			peer.Write(data)
			peer.(*Conn).CloseWrite()
			var b bytes.Buffer
			if n, err := io.Copy(&b, from); n != int64(len(data)) || err != nil || !bytes.Equal(b.Bytes(), data) {
				t.Errorf("%s: %d bytes, %v", network, n, err)
			}
		}
	})
}

// TestConn_TransferEnds: what moves between files and connections without the program ends with deadlines, contexts and Close, of
// either side, as reads and writes do.
func TestConn_TransferEnds(t *testing.T) {
	name := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(name, make([]byte, 64<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	forEach(t, func(t *testing.T, s stack) {
		file := func(t *testing.T) io.Reader {
			f, err := os.Open(name)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { f.Close() })
			return f
		}
		silent := func(t *testing.T) io.Reader {
			_, c := pair(t, s, "tcp")
			return c
		}
		moved := "readfrom"
		if runtime.GOOS != "linux" { // a copy: its read fails
			moved = "read"
		}
		for what, c := range map[string]struct {
			from func(t *testing.T) io.Reader
			end  func(from io.Reader, to net.Conn)
			want error
			op   string
		}{
			"a file, deadline":           {file, func(_ io.Reader, to net.Conn) { to.SetWriteDeadline(time.Unix(1, 0)) }, os.ErrDeadlineExceeded, "readfrom"},
			"a file, Close":              {file, func(_ io.Reader, to net.Conn) { to.Close() }, net.ErrClosed, "readfrom"},
			"a connection, its deadline": {silent, func(from io.Reader, _ net.Conn) { from.(*Conn).SetReadDeadline(time.Unix(1, 0)) }, os.ErrDeadlineExceeded, moved},
			"a connection, its Close":    {silent, func(from io.Reader, _ net.Conn) { from.(*Conn).Close() }, net.ErrClosed, moved},
		} {
			t.Run(what, func(t *testing.T) {
				to, _ := pair(t, s, "tcp")
				from := c.from(t)
				moving := conntest.Async(func() (int64, error) { return to.(*Conn).ReadFrom(from) })
				conntest.InFlight(t, s.m, 1)
				c.end(from, to)
				n, err := moving()
				var e *net.OpError
				if !errors.Is(err, c.want) || !errors.As(err, &e) || e.Op != c.op || n == 64<<20 {
					t.Errorf("%d, %v", n, err)
				}
			})
		}
		t.Run("a file, context", func(t *testing.T) {
			to, _ := pair(t, s, "tcp")
			ctx, cancel := context.WithCancel(context.Background())
			from := file(t)
			moving := conntest.Async(func() (int64, error) { return io.Copy(to.(*Conn).WithContext(ctx), from) })
			conntest.InFlight(t, s.m, 1)
			cancel()
			if n, err := moving(); !errors.Is(err, context.Canceled) || n == 64<<20 {
				t.Errorf("%d, %v", n, err)
			}
		})
		t.Run("the peer leaves", func(t *testing.T) {
			to, peer := pair(t, s, "tcp")
			peer.(*Conn).SetLinger(0)
			from := file(t)
			moving := conntest.Async(func() (int64, error) { return io.Copy(to, from) })
			conntest.InFlight(t, s.m, 1)
			peer.Close()
			if _, err := moving(); err == nil {
				t.Error("no error")
			}
		})
	})
}
