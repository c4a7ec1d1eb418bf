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
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ringport/ringport"
	"github.com/ringport/ringport/internal/patience"
)

// handlerFuncs are a Handler. What is nil does nothing.
type handlerFuncs struct {
	open  func(c *LoopConn)
	data  func(c *LoopConn, data []byte)
	close func(c *LoopConn, err error)
}

func (h *handlerFuncs) OnOpen(c *LoopConn) {
	if h.open != nil {
		h.open(c)
	}
}

func (h *handlerFuncs) OnData(c *LoopConn, data []byte) {
	if h.data != nil {
		h.data(c, data)
	}
}

func (h *handlerFuncs) OnClose(c *LoopConn, err error) {
	if h.close != nil {
		h.close(c, err)
	}
}

func echo(c *LoopConn, data []byte) { c.Write(data) }

// forLoops runs f with each backend, network and number of loops.
func forLoops(t *testing.T, f func(t *testing.T, serve func(h Handler, config LoopConfig) *Loops)) {
	for _, backend := range backendsHere(t) {
		for _, network := range networks {
			for _, n := range []int{1, 3} {
				t.Run(fmt.Sprintf("%s/%s/%d", backend, network, n), func(t *testing.T) {
					f(t, func(h Handler, config LoopConfig) *Loops {
						address := "127.0.0.1:0"
						if network == "unix" {
							dir, err := os.MkdirTemp("", "rp")
							if err != nil {
								t.Fatal(err)
							}
							t.Cleanup(func() { os.RemoveAll(dir) })
							address = filepath.Join(dir, "s")
						}
						config.Loops, config.Backend = n, backend
						ls, err := ServeLoops(t.Context(), network, address, h, config)
						if err != nil {
							t.Fatal(err)
						}
						t.Cleanup(func() {
							ls.Close()
							if _, err := os.Stat(address); err == nil {
								t.Error("the socket's file is left")
							}
						})
						return ls
					})
				})
			}
		}
	}
}

// dial connects to ls, past ringport.
func dial(t *testing.T, ls *Loops) net.Conn {
	t.Helper()
	c, err := net.Dial(ls.Addr().Network(), ls.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(time.Minute))
	return c
}

// TestLoops_Echo: many connections, each with its own bytes, in order, and an end for each.
func TestLoops_Echo(t *testing.T) {
	forLoops(t, func(t *testing.T, serve func(Handler, LoopConfig) *Loops) {
		var opened, closed atomic.Int64
		closedConns := make(chan *LoopConn, 100)
		ls := serve(&handlerFuncs{
			open: func(c *LoopConn) {
				opened.Add(1)
				if c.RemoteAddr() == nil || c.LocalAddr() == nil {
					t.Error("no address")
				}
			},
			data: echo,
			close: func(c *LoopConn, err error) {
				if closed.Add(1); err != io.EOF {
					t.Errorf("closed: %v", err)
				}
				if c.RemoteAddr() == nil {
					t.Error("no address in OnClose")
				}
				closedConns <- c
			},
		}, LoopConfig{Buffers: 16, BufferBytes: 512})
		const conns = 50
		var all sync.WaitGroup
		for i := range conns {
			all.Go(func() {
				c, err := net.Dial(ls.Addr().Network(), ls.Addr().String())
				if err != nil {
					t.Error(err)
					return
				}
				defer c.Close()
				for k := range 20 {
					out := []byte(strings.Repeat(fmt.Sprintf("%d.%d;", i, k), 1+k*k))
					if _, err := c.Write(out); err != nil {
						t.Error(err)
					}
					in := make([]byte, len(out))
					if _, err := io.ReadFull(c, in); err != nil || !bytes.Equal(in, out) {
						t.Errorf("%d.%d: %v", i, k, err)
						return
					}
				}
				closeWrite(c)
				if rest, err := io.ReadAll(c); len(rest) != 0 || err != nil {
					t.Errorf("%q, %v", rest, err)
				}
			})
		}
		all.Wait()
		if err := ls.Close(); err != nil {
			t.Error(err)
		}
		for range conns {
			if c := <-closedConns; c.RemoteAddr() != nil || c.LocalAddr() != nil {
				t.Error("an address that may be somebody else's")
			}
		}
		if opened.Load() != conns || closed.Load() != conns {
			t.Errorf("%d opened, %d closed", opened.Load(), closed.Load())
		}
		if err := ls.Wait(); !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		ls.Close() // a second one does nothing
	})
}

func closeWrite(c net.Conn) { c.(interface{ CloseWrite() error }).CloseWrite() }

// TestLoops_FewBuffers: a loop that has less buffers than there is to receive at once, since its handler takes its time, loses nothing, mixes up nothing and
// forgets nobody.
func TestLoops_FewBuffers(t *testing.T) {
	forLoops(t, func(t *testing.T, serve func(Handler, LoopConfig) *Loops) {
		const (
			conns = 12
			size  = 24 << 10 // which a socket holds that nobody reads
		)
		at := func(conn, i int) byte { return byte(conn + i ^ i>>8) }
		sent := make(chan struct{}) // by all
		ls := serve(&handlerFuncs{data: func(c *LoopConn, data []byte) {
			<-sent
			got, _ := c.Data.([]byte)
			got = append(got, data...)
			if c.Data = got; len(got) == size {
				c.Write(got)
			}
		}}, LoopConfig{Buffers: 2, BufferBytes: 256})
		clients := make([]net.Conn, conns)
		for k := range clients {
			clients[k] = dial(t, ls)
			data := make([]byte, size)
			for i := range data {
				data[i] = at(k, i)
			}
			if _, err := clients[k].Write(data); err != nil {
				t.Fatal(err)
			}
		}
		close(sent)
		for k, c := range clients {
			data := make([]byte, size)
			if n, err := io.ReadFull(c, data); err != nil {
				t.Fatalf("connection %d: %d bytes, %v", k, n, err)
			}
			for i := range data {
				if data[i] != at(k, i) {
					t.Fatalf("connection %d: another byte at %d", k, i)
				}
			}
		}
	})
}

// TestLoops_Close: what was written before Close arrives, nothing is received after it, and OnClose is the last word.
func TestLoops_Close(t *testing.T) {
	forLoops(t, func(t *testing.T, serve func(Handler, LoopConfig) *Loops) {
		closed := make(chan error, 1)
		answer := bytes.Repeat([]byte("answer"), 1<<16)
		ls := serve(&handlerFuncs{
			data: func(c *LoopConn, data []byte) {
				if c.Data != nil {
					t.Error("data after Close")
				}
				c.Data = true
				c.Write(answer)
				c.Close()
				c.Close()
				if n, err := c.Write([]byte("more")); n != 0 || !errors.Is(err, net.ErrClosed) {
					t.Errorf("%d, %v", n, err)
				}
			},
			close: func(c *LoopConn, err error) { closed <- err },
		}, LoopConfig{})
		c := dial(t, ls)
		c.Write([]byte("question"))
		if got, err := io.ReadAll(c); !bytes.Equal(got, answer) || err != nil {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		if err := <-closed; !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
	})
}

// TestLoops_CloseInOnOpen and by Post, from another goroutine.
func TestLoops_CloseElsewhere(t *testing.T) {
	forLoops(t, func(t *testing.T, serve func(Handler, LoopConfig) *Loops) {
		closed := make(chan error, 1)
		conns := make(chan *LoopConn, 1)
		var turn atomic.Int32
		ls := serve(&handlerFuncs{
			open: func(c *LoopConn) {
				if turn.Add(1) == 1 {
					c.Close()
				} else {
					conns <- c
				}
			},
			data:  func(*LoopConn, []byte) { t.Error("data") },
			close: func(c *LoopConn, err error) { closed <- err },
		}, LoopConfig{})
		io.ReadAll(dial(t, ls))
		if err := <-closed; !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		client := dial(t, ls)
		c := <-conns
		if !c.Post(func() { c.Pause(); c.Write([]byte("bye")); c.Close() }) {
			t.Error("not posted")
		}
		if got, err := io.ReadAll(client); string(got) != "bye" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
		if err := <-closed; !errors.Is(err, net.ErrClosed) {
			t.Error(err)
		}
		ls.Close()
		if c.Post(func() { t.Error("run") }) {
			t.Error("posted to a loop that has ended")
		}
	})
}

// TestLoops_BackPressure: of a peer that sends and does not read no more is received than fits into the queue; and nothing is lost of it.
func TestLoops_BackPressure(t *testing.T) {
	forLoops(t, func(t *testing.T, serve func(Handler, LoopConfig) *Loops) {
		const limit = 64 << 10
		var most atomic.Int64
		ls := serve(&handlerFuncs{data: func(c *LoopConn, data []byte) {
			c.Write(data)
			most.Store(max(most.Load(), int64(c.Pending())))
		}}, LoopConfig{MaxPendingBytes: limit, Buffers: 16, BufferBytes: 4096})
		c := dial(t, ls)
		total := 0
		chunk := bytes.Repeat([]byte("0123456789abcdef"), 1<<12)
		for end := time.Now().Add(patience.Limit); ; {
			c.SetWriteDeadline(time.Now().Add(300 * time.Millisecond))
			n, err := c.Write(chunk[total%16:])
			if total += n; err != nil && (most.Load() >= limit || time.Now().After(end)) { // it has filled up: nothing moves, and not since the machine is busy
				break
			}
			if total > 1<<28 {
				t.Fatal("it never fills up")
			}
		}
		if n := most.Load(); n < limit || n > limit+17*4096 {
			t.Errorf("%d bytes waited", n)
		}
		closeWrite(c)
		got, err := io.ReadAll(c)
		if len(got) != total || err != nil {
			t.Errorf("%d bytes of %d, %v", len(got), total, err)
		}
		for i := range got {
			if got[i] != chunk[i%len(chunk)] {
				t.Fatalf("byte %d is another", i)
			}
		}
	})
}

// TestLoops_Timeout: a silent connection ends; one that says something in time does not.
func TestLoops_Timeout(t *testing.T) {
	forLoops(t, func(t *testing.T, serve func(Handler, LoopConfig) *Loops) {
		closed := make(chan error, 2)
		ls := serve(&handlerFuncs{
			open: func(c *LoopConn) { c.SetTimeout(time.Millisecond) },
			data: func(c *LoopConn, data []byte) {
				c.SetTimeout(0)
				echo(c, data)
			},
			close: func(c *LoopConn, err error) { closed <- err },
		}, LoopConfig{})
		if got, err := io.ReadAll(dial(t, ls)); len(got) != 0 || err != nil {
			t.Errorf("%q, %v", got, err)
		}
		if err := <-closed; !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error(err)
		}
	})
}

// TestLoops_Reset: an end that was not said properly is an error.
func TestLoops_Reset(t *testing.T) {
	for _, backend := range backendsHere(t) {
		opened, closed := make(chan bool, 1), make(chan error, 1)
		ls, err := ServeLoops(t.Context(), "tcp", "127.0.0.1:0", &handlerFuncs{
			open:  func(*LoopConn) { opened <- true },
			close: func(c *LoopConn, err error) { closed <- err },
		}, LoopConfig{Loops: 1, Backend: backend})
		if err != nil {
			t.Fatal(err)
		}
		c := dial(t, ls)
		<-opened
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
		if err := <-closed; !errors.Is(err, errReset) {
			t.Errorf("%s: %v", backend, err)
		}
		ls.Close()
	}
}

// TestLoops_PauseResume: nothing is delivered in between, and nothing is lost.
func TestLoops_PauseResume(t *testing.T) {
	forLoops(t, func(t *testing.T, serve func(Handler, LoopConfig) *Loops) {
		ls := serve(&handlerFuncs{data: func(c *LoopConn, data []byte) {
			c.Write(data)
			c.Pause()
			go c.Post(c.Resume)
		}}, LoopConfig{BufferBytes: 16})
		c := dial(t, ls)
		out := bytes.Repeat([]byte("0123456789"), 100)
		go c.Write(out)
		in := make([]byte, len(out))
		if _, err := io.ReadFull(c, in); err != nil || !bytes.Equal(in, out) {
			t.Errorf("%q, %v", in, err)
		}
	})
}

// laterHandler answers when the peer has ended its stream, from another goroutine.
type laterHandler struct {
	handlerFuncs
	eofs atomic.Int64
}

func (h *laterHandler) OnEOF(c *LoopConn) {
	h.eofs.Add(1)
	go c.Post(func() {
		c.Write([]byte(" and the answer"))
		c.Close()
	})
}

// TestLoops_EOF: a peer that has ended its stream gets what it is answered later.
func TestLoops_EOF(t *testing.T) {
	forLoops(t, func(t *testing.T, serve func(Handler, LoopConfig) *Loops) {
		closed := make(chan error, 1)
		h := &laterHandler{handlerFuncs: handlerFuncs{data: echo, close: func(c *LoopConn, err error) { closed <- err }}}
		c := dial(t, serve(h, LoopConfig{}))
		if _, err := io.WriteString(c, "question"); err != nil {
			t.Fatal(err)
		}
		closeWrite(c)
		if got, err := io.ReadAll(c); string(got) != "question and the answer" || err != nil {
			t.Errorf("%q, %v", got, err)
		}
		if err := <-closed; err != net.ErrClosed || h.eofs.Load() != 1 {
			t.Errorf("%v, %d ends", err, h.eofs.Load())
		}
	})
}

// TestLoops_EOFThenEnd: a connection whose peer has ended its stream ends with the loops, as all do.
func TestLoops_EOFThenEnd(t *testing.T) {
	forLoops(t, func(t *testing.T, serve func(Handler, LoopConfig) *Loops) {
		ended, closed := make(chan bool, 1), make(chan error, 1)
		ls := serve(eofHandler{&handlerFuncs{close: func(c *LoopConn, err error) { closed <- err }}, ended}, LoopConfig{})
		closeWrite(dial(t, ls))
		<-ended
		ls.Close()
		if err := <-closed; err != net.ErrClosed {
			t.Error(err)
		}
	})
}

// eofHandler says that a peer has ended its stream, and keeps the connection.
type eofHandler struct {
	*handlerFuncs
	ended chan bool
}

func (h eofHandler) OnEOF(*LoopConn) { h.ended <- true }

// pieceHandler sends pieces, each when the one before is sent.
type pieceHandler struct {
	handlerFuncs
	piece []byte
	n     int
	most  atomic.Int64
}

func (h *pieceHandler) OnOpen(c *LoopConn) { h.next(c) }

func (h *pieceHandler) OnDrained(c *LoopConn) { h.next(c) }

func (h *pieceHandler) next(c *LoopConn) {
	sent, _ := c.Data.(int)
	if sent == h.n {
		c.Close()
		return
	}
	c.Data = sent + 1
	c.Write(h.piece)
	h.most.Store(max(h.most.Load(), int64(c.Pending())))
}

// TestLoops_Drained: a long answer goes out piece by piece, and never more than one waits.
func TestLoops_Drained(t *testing.T) {
	forLoops(t, func(t *testing.T, serve func(Handler, LoopConfig) *Loops) {
		h := &pieceHandler{piece: bytes.Repeat([]byte("0123456789abcdef"), 1<<12), n: 50}
		got, err := io.ReadAll(dial(t, serve(h, LoopConfig{})))
		if !bytes.Equal(got, bytes.Repeat(h.piece, h.n)) || err != nil {
			t.Errorf("%d bytes, %v", len(got), err)
		}
		if most := h.most.Load(); most != int64(len(h.piece)) {
			t.Errorf("%d bytes waited", most)
		}
	})
}

// TestLoops_ContextEnds: all connections are told why, and the loops are gone.
func TestLoops_ContextEnds(t *testing.T) {
	for _, backend := range backendsHere(t) {
		why := errors.New("enough")
		ctx, cancel := context.WithCancelCause(t.Context())
		const conns = 20
		opened, closed := make(chan bool, conns), make(chan error, conns)
		ls, err := ServeLoops(ctx, "tcp", aside, &handlerFuncs{
			open:  func(*LoopConn) { opened <- true },
			close: func(c *LoopConn, err error) { closed <- err },
		}, LoopConfig{Loops: 3, Backend: backend})
		if err != nil {
			t.Fatal(err)
		}
		for range conns {
			dial(t, ls)
			<-opened
		}
		cancel(why)
		if err := ls.Wait(); !errors.Is(err, why) || !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		for range conns {
			if err := <-closed; !errors.Is(err, why) || !errors.Is(err, context.Canceled) {
				t.Error(err)
			}
		}
		if c, err := net.Dial("tcp", ls.Addr().String()); err == nil {
			c.Close()
			t.Error("somebody still listens")
		}
		if ls, err := ServeLoops(ctx, "tcp", "127.0.0.1:0", &handlerFuncs{}, LoopConfig{Backend: backend}); err == nil {
			if err := ls.Wait(); !errors.Is(err, why) {
				t.Error(err)
			}
		}
	}
}

func TestLoops_BadInput(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for _, bad := range [][2]string{{"udp", "127.0.0.1:0"}, {"nonsense", "x"}, {"tcp", "127.0.0.1"}, {"tcp", l.Addr().String()}, {"tcp", "256.0.0.1:1"}} {
		ls, err := ServeLoops(t.Context(), bad[0], bad[1], &handlerFuncs{}, LoopConfig{Loops: 2})
		var op *net.OpError
		if err == nil || !errors.As(err, &op) || op.Op != "listen" {
			t.Errorf("%v: %v", bad, err)
		}
		if ls != nil {
			ls.Close()
		}
	}
	for name, config := range map[string]LoopConfig{
		"Backend": {Backend: "none"}, "Loops": {Loops: -1}, "Buffers": {Buffers: 1 << 16}, "BufferBytes": {BufferBytes: -1}, "MaxPendingBytes": {MaxPendingBytes: -4},
	} {
		_, err := ServeLoops(t.Context(), "tcp", "127.0.0.1:0", &handlerFuncs{}, config)
		var wrong *ringport.ConfigError
		var op *net.OpError
		if !errors.As(err, &wrong) || wrong.Field != name || !errors.As(err, &op) || op.Op != "listen" {
			t.Errorf("%s: %v", name, err)
		}
	}
	_, err = ServeLoops(t.Context(), "tcp", "127.0.0.1:0", nil, LoopConfig{})
	if !errors.Is(err, ringport.ErrNilCallback) || err.Error() != "listen tcp: the handler: nil callback" {
		t.Errorf("no handler: %v", err)
	}
}

// TestCallerDriven: what is used by any goroutine can't be run by a manager that is one goroutine's.
func TestCallerDriven(t *testing.T) {
	m, err := ringport.New(ringport.Config{CallerDriven: true})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	config, dialer := ListenConfig{Manager: m}, Dialer{Manager: m}
	_, listened := config.Listen(t.Context(), "tcp", "127.0.0.1:0")
	_, packets := config.ListenPacket(t.Context(), "udp", "127.0.0.1:0")
	_, dialed := dialer.Dial("tcp", "127.0.0.1:1")
	for _, err := range []error{listened, packets, dialed} {
		var op *net.OpError
		if !errors.Is(err, ErrCallerDriven) || !errors.As(err, &op) {
			t.Error(err)
		}
	}
}

// TestLoops_NoAllocations: a message, there and back, needs no memory, also one that comes in parts, of which the later wait for the first, and
// also on a connection that another loop has accepted. (What waits beyond keptBytes is let go of again.)
func TestLoops_NoAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	for _, backend := range backendsHere(t) {
		for _, loops := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s/%d", backend, loops), func(t *testing.T) {
				ls, err := ServeLoops(t.Context(), "tcp", "127.0.0.1:0", &handlerFuncs{data: echo}, LoopConfig{Loops: loops, Backend: backend, BufferBytes: 4096})
				if err != nil {
					t.Fatal(err)
				}
				defer ls.Close()
				c := dial(t, ls)
				for _, size := range []int{64, keptBytes / 4} {
					there, back := bytes.Repeat([]byte("x"), size), make([]byte, size)
					trip := func() {
						if _, err := c.Write(there); err != nil {
							t.Fatal(err)
						}
						if _, err := io.ReadFull(c, back); err != nil {
							t.Fatal(err)
						}
					}
					for range 100 {
						trip()
					}
					if n := testing.AllocsPerRun(500, trip); n != 0 {
						t.Errorf("%d bytes: %v allocations", size, n)
					}
				}
			})
		}
	}
}
