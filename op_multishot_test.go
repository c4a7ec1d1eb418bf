package ringport

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/ringport/ringport/internal/patience"
)

type shotResult struct {
	n    int
	data string
	err  error
	more bool
}

func startMany(t testing.TB, m *Manager, op *Op) <-chan shotResult {
	t.Helper()
	ch := make(chan shotResult, 1<<16)
	if err := m.Start(op, func(op *Op) {
		n, err := op.Result()
		ch <- shotResult{n, string(op.Data()), err, op.More()}
	}); err != nil {
		t.Fatal(err)
	}
	return ch
}

// TestAcceptMany: every connection once, until it is cancelled; the last call says so.
func TestAcceptMany(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		l, at := listener(t, m, 64)
		op := AcceptMany(l)
		for round := range 3 { // it can be started again
			ch := startMany(t, m, &op)
			seen := map[int]bool{}
			for range 20 {
				client := newSocket(t, m, syscall.AF_INET, syscall.SOCK_STREAM)
				do(t, m, ptr(func(op *Op) { *op = Connect(client, at) }))
				got := receive(t, m, ch)
				if got.err != nil || !got.more || seen[got.n] {
					t.Fatalf("round %d: %+v", round, got)
				}
				seen[got.n] = true
				own(t, Handle(got.n))
				put(t, client, "x")
				if n := do(t, m, readOp(Handle(got.n), 8, CurrentOffset)); n != 1 {
					t.Errorf("%d", n)
				}
			}
			if n := m.Stats().InFlight; n != 1 {
				t.Errorf("%d in flight", n)
			}
			m.Cancel(&op)
			if got := receive(t, m, ch); !errors.Is(got.err, context.Canceled) || got.more || got.n != 0 {
				t.Errorf("%+v", got)
			}
			if n := m.Stats().InFlight; n != 0 || len(ch) != 0 {
				t.Errorf("%d in flight, %d more", n, len(ch))
			}
		}
	})
}

// TestRecvMany: all that was sent arrives in order, in the buffers, and then the end.
func TestRecvMany(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		bufs, err := m.NewBuffers(4, 1000)
		if err != nil {
			t.Fatal(err)
		}
		client, server := connection(t, m)
		op := RecvMany(server, bufs, 0)
		ch := startMany(t, m, &op)
		if op.Data() != nil && m.shared {
			t.Error("data outside of the function")
		}
		var sent, received strings.Builder
		for i := range 300 {
			s := strings.Repeat(string(rune('a'+i%26)), 1+i*7%1500)
			sent.WriteString(s)
			do(t, m, ptr(func(op *Op) { *op = Send(client, []byte(s), 0) }))
			for received.Len() < sent.Len() {
				got := receive(t, m, ch)
				if got.err != nil || !got.more || got.n != len(got.data) || got.n > 1000 {
					t.Fatalf("%+v", got)
				}
				received.WriteString(got.data)
			}
		}
		if sent.String() != received.String() {
			t.Error("something else arrived")
		}
		do(t, m, ptr(func(op *Op) { *op = Shutdown(client, ShutdownWrite) }))
		if got := receive(t, m, ch); got.err != io.EOF || got.more {
			t.Errorf("%+v", got)
		}
		if err := bufs.Close(); err != nil {
			t.Error(err)
		}
	})
}

// TestRecvMany_Datagrams: each comes by itself, in the order in which they were sent, cut if it is too long for a buffer.
func TestRecvMany_Datagrams(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		bufs, err := m.NewBuffers(4, 8)
		if err != nil {
			t.Fatal(err)
		}
		at, err := IPAddress(netip.MustParseAddrPort("127.0.0.1:0"))
		if err != nil {
			t.Fatal(err)
		}
		in, out := newSocket(t, m, syscall.AF_INET, syscall.SOCK_DGRAM), newSocket(t, m, syscall.AF_INET, syscall.SOCK_DGRAM)
		do(t, m, ptr(func(op *Op) { *op = Bind(in, at) }))
		to, err := LocalAddress(in)
		if err != nil {
			t.Fatal(err)
		}
		op := RecvMany(in, bufs, 0)
		ch := startMany(t, m, &op)
		for range 3 {
			for _, s := range []string{"a", "bcd", "longer than a buffer", "efgh"} {
				do(t, m, ptr(func(op *Op) { *op = SendTo(out, []byte(s), to, 0) }))
			}
			for _, want := range []string{"a", "bcd", "longer t", "efgh"} {
				if got := receive(t, m, ch); got.data != want || got.err != nil || !got.more {
					t.Fatalf("%+v, want %q", got, want)
				}
			}
		}
		m.Cancel(&op)
		if got := receive(t, m, ch); !errors.Is(got.err, context.Canceled) || got.more {
			t.Errorf("%+v", got)
		}
	})
}

// TestRecvMany_AnswersLeave: what the calls of a long batch start is on its way before the last of them.
func TestRecvMany_AnswersLeave(t *testing.T) {
	forCallerDriven(t, func(t *testing.T, c Config) {
		m, peers := open(t, c), open(t, Config{Backend: c.Backend})
		const many = 2 * submitEveryShots
		bufs, err := m.NewBuffers(many, 8)
		if err != nil {
			t.Fatal(err)
		}
		at, err := IPAddress(netip.MustParseAddrPort("127.0.0.1:0"))
		if err != nil {
			t.Fatal(err)
		}
		in, out := newSocket(t, m, syscall.AF_INET, syscall.SOCK_DGRAM), newSocket(t, peers, syscall.AF_INET, syscall.SOCK_DGRAM)
		do(t, m, ptr(func(op *Op) { *op = Bind(in, at) }))
		do(t, peers, ptr(func(op *Op) { *op = Bind(out, at) }))
		to, err := LocalAddress(in)
		if err != nil {
			t.Fatal(err)
		}
		back, err := LocalAddress(out)
		if err != nil {
			t.Fatal(err)
		}
		for range many {
			do(t, peers, ptr(func(op *Op) { *op = SendTo(out, []byte("ask"), to, 0) }))
		}
		answers := make([]Op, many)
		got, sent := 0, 0
		receiving := RecvMany(in, bufs, 0)
		if err := m.Start(&receiving, func(op *Op) {
			if got == many || op.Data() == nil {
				return
			}
			answers[got] = SendTo(in, []byte("answer"), back, 0)
			if err := m.Start(&answers[got], func(op *Op) { sent++ }); err != nil {
				t.Error(err)
			}
			if got++; got == many { // the loop is in this call until the first answer is there
				ctx, cancel := context.WithTimeout(t.Context(), patience.Limit)
				defer cancel()
				first := Recv(out, make([]byte, 8), 0)
				if _, err := peers.Do(ctx, &first); err != nil {
					t.Error("the first answer: ", err)
				}
			}
		}); err != nil {
			t.Fatal(err)
		}
		for got < many || sent < many {
			if _, err := m.Step(-1); err != nil {
				t.Fatal(err)
			}
		}
	})
}

// TestRecvMany_Starving: with more connections that have something than there are buffers, callbacks that keep theirs for long, and
// cancels in between, no byte is lost and nobody waits for ever.
func TestRecvMany_Starving(t *testing.T) {
	forThreaded(t, func(t *testing.T, c Config) {
		c.MinWorkers, c.MaxWorkers = 8, 8
		m := open(t, c)
		bufs, err := m.NewBuffers(2, 64)
		if err != nil {
			t.Fatal(err)
		}
		const connections, each = 16, 200
		var received [connections]atomic.Int64
		var ended sync.WaitGroup
		var clients [connections]Handle
		ops := make([]Op, connections)
		for i := range connections {
			client, server := connection(t, m)
			clients[i] = client
			ops[i] = RecvMany(server, bufs, 0)
			ended.Add(1)
			var canceled int
			var onPart func(op *Op)
			onPart = func(op *Op) {
				_, err := op.Result()
				for range 20 {
					runtime.Gosched()
				}
				received[i].Add(int64(len(op.Data())))
				switch {
				case op.More():
				case errors.Is(err, context.Canceled):
					canceled++
					if err := m.Start(op, onPart); err != nil {
						t.Error(err)
						ended.Done()
					}
				case err == io.EOF:
					ended.Done()
				default:
					t.Error(err)
					ended.Done()
				}
			}
			if err := m.Start(&ops[i], onPart); err != nil {
				t.Fatal(err)
			}
		}
		part := bytes.Repeat([]byte("x"), 100)
		var senders sync.WaitGroup
		for i := range clients {
			senders.Go(func() {
				for k := range each {
					if _, err := m.Do(context.Background(), ptr(func(op *Op) { *op = Send(clients[i], part, 0) })); err != nil {
						t.Error(err)
					}
					if k%50 == 7 {
						m.Cancel(&ops[i])
					}
				}
				m.Do(context.Background(), ptr(func(op *Op) { *op = Shutdown(clients[i], ShutdownWrite) }))
			})
		}
		senders.Wait()
		ended.Wait()
		for i := range received {
			if n := received[i].Load(); n != each*int64(len(part)) {
				t.Errorf("connection %d: %d bytes of %d", i, n, each*len(part))
			}
		}
	})
}

// TestMultishot_Serial: the function is called with one result at a time, and Close ends it.
func TestMultishot_Serial(t *testing.T) {
	forThreaded(t, func(t *testing.T, c Config) {
		m := open(t, c)
		bufs, err := m.NewBuffers(64, 16)
		if err != nil {
			t.Fatal(err)
		}
		client, server := connection(t, m)
		var inside atomic.Int32
		var bytes atomic.Int64
		last := make(chan error, 1)
		op := RecvMany(server, bufs, 0)
		if err := m.Start(&op, func(op *Op) {
			if inside.Add(1) != 1 {
				t.Error("two calls at once")
			}
			runtime.Gosched()
			bytes.Add(int64(len(op.Data())))
			_, err := op.Result()
			more := op.More()
			inside.Add(-1)
			if !more {
				last <- err
			}
		}); err != nil {
			t.Fatal(err)
		}
		for range 1000 {
			do(t, m, ptr(func(op *Op) { *op = Send(client, make([]byte, 10), 0) }))
		}
		for bytes.Load() < 10000 {
			runtime.Gosched()
		}
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		if err := <-last; !errors.Is(err, ErrManagerClosed) {
			t.Error(err)
		}
	})
}

// TestMultishot_Nested: a callback of a caller-driven manager that steps is called again inside, in order, and has its own result afterwards.
func TestMultishot_Nested(t *testing.T) {
	forCallerDriven(t, func(t *testing.T, c Config) {
		m := open(t, c)
		bufs, err := m.NewBuffers(8, 1)
		if err != nil {
			t.Fatal(err)
		}
		client, server := connection(t, m)
		var order []byte
		op := RecvMany(server, bufs, 0)
		if err := m.Start(&op, func(op *Op) {
			if !op.More() {
				return
			}
			before := op.Data()[0]
			order = append(order, before)
			if before == 'b' {
				if _, err := m.Step(0); err != nil {
					t.Error(err)
				}
			}
			if after := op.Data()[0]; after != before {
				t.Errorf("%c became %c", before, after)
			}
		}); err != nil {
			t.Fatal(err)
		}
		do(t, m, ptr(func(op *Op) { *op = Send(client, []byte("abcdef"), 0) }))
		for len(order) < 6 {
			if _, err := m.Step(patience.Limit); err != nil {
				t.Fatal(err)
			}
		}
		if string(order) != "abcdef" {
			t.Errorf("%s", order)
		}
	})
}

// TestMultishot_FunctionDoesNotReturn: a function that calls runtime.Goexit, or panics out of Step, has had its result, and the next ones come.
func TestMultishot_FunctionDoesNotReturn(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		bufs, err := m.NewBuffers(2, 1)
		if err != nil {
			t.Fatal(err)
		}
		client, server := connection(t, m)
		op := RecvMany(server, bufs, 0)
		parts := make(chan string, 16)
		if err := m.Start(&op, func(op *Op) {
			if parts <- string(op.Data()); op.More() && m.shared {
				runtime.Goexit()
			} else if op.More() {
				panic("a function")
			}
		}); err != nil {
			t.Fatal(err)
		}
		put(t, client, "abcdef")
		if err := m.Start(ptr(func(op *Op) { *op = Shutdown(client, ShutdownWrite) }), func(*Op) {}); err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"a", "b", "c", "d", "e", "f", ""} {
			for end := time.Now().Add(patience.Limit); !m.shared && len(parts) == 0 && time.Now().Before(end); {
				func() {
					defer func() { recover() }()
					m.Step(patience.Limit)
				}()
			}
			select {
			case got := <-parts:
				if got != want {
					t.Fatalf("%q, want %q", got, want)
				}
			case <-time.After(patience.Limit):
				t.Fatalf("%q does not come: %+v", want, m.Stats())
			}
		}
	})
}

func TestMultishot_BadInput(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		l, _ := listener(t, m, 1)
		op := AcceptMany(l)
		_, err := m.Do(t.Context(), &op)
		checkTyped(t, "Do", 0, err, ErrMultishot)
		checkTyped(t, "DoChain", 0, m.DoChain(t.Context(), nop(), &op), ErrMultishot)
		checkTyped(t, "StartChain", 0, m.StartChain(func(*Op) {}, &op, nop()), ErrMultishot)
		for _, sizes := range [][2]int{{0, 1}, {-1, 1}, {1, 0}, {1 << 20, 1}, {1, -5}} {
			_, err := m.NewBuffers(sizes[0], sizes[1])
			checkTyped(t, "NewBuffers", 0, err, os.ErrInvalid)
		}
		conn, _ := connection(t, m)
		newBuffers := func(m *Manager) *Buffers {
			b, err := m.NewBuffers(4, 8)
			if err != nil {
				t.Fatal(err)
			}
			return b
		}
		closed, other := newBuffers(m), newBuffers(open(t, c))
		if err := closed.Close(); err != nil {
			t.Error(err)
		}
		checkTyped(t, "Close", 0, closed.Close(), os.ErrClosed)
		newBuffers(m) // which have the other manager's number
		for _, bufs := range []*Buffers{nil, closed, other} {
			op := RecvMany(conn, bufs, 0)
			checkTyped(t, "RecvMany", 0, m.Start(&op, func(*Op) { t.Error("called") }), ErrInvalidOp)
		}
		bad := AcceptMany(^Handle(0))
		if got := receive(t, m, startMany(t, m, &bad)); !errors.Is(got.err, errBadHandle) || got.more {
			t.Errorf("%+v", got)
		}
		ch := startMany(t, m, &op)
		checkTyped(t, "Start", 0, m.Start(&op, func(*Op) {}), ErrInFlight)
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		if got := <-ch; !errors.Is(got.err, ErrManagerClosed) || got.more {
			t.Errorf("%+v", got)
		}
	})
}

// TestMultishot_NoAllocations: parts that come need no memory but the buffers.
func TestMultishot_NoAllocations(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector allocates")
	}
	forCallerDriven(t, func(t *testing.T, c Config) {
		m := open(t, c)
		bufs, err := m.NewBuffers(8, 64)
		if err != nil {
			t.Fatal(err)
		}
		client, server := connection(t, m)
		parts := 0
		in := RecvMany(server, bufs, 0)
		if err := m.Start(&in, func(op *Op) { parts++ }); err != nil {
			t.Fatal(err)
		}
		out := Send(client, make([]byte, 64), 0)
		if n := testing.AllocsPerRun(200, func() {
			before := parts
			if _, err := m.Do(context.Background(), &out); err != nil {
				t.Fatal(err)
			}
			for parts == before {
				if _, err := m.Step(-1); err != nil {
					t.Fatal(err)
				}
			}
		}); n != 0 {
			t.Errorf("%v allocations", n)
		}
	})
}

// TestRecvMany_Observed: one line when it starts and one when it is over, and a call of the function beside the other for each part.
func TestRecvMany_Observed(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		book := &logBook{level: LevelOperation}
		c.Logger = slog.New(book)
		m := open(t, c)
		client, server := connection(t, m)
		bufs, err := m.NewBuffers(4, 16)
		if err != nil {
			t.Fatal(err)
		}
		op := RecvMany(server, bufs, 0)
		names := regionsIn(traced(t, func() {
			ch := startMany(t, m, op.Named("parts"))
			for _, part := range []string{"one", "two"} {
				put(t, client, part)
				if got := receive(t, m, ch); got.data != part || !got.more {
					t.Fatalf("%+v", got)
				}
			}
			m.Cancel(&op)
			if got := receive(t, m, ch); got.more || !errors.Is(got.err, ErrCanceled) {
				t.Errorf("%+v", got)
			}
		}))
		if !names["recv"] || !names["callback"] {
			t.Errorf("the trace has %v", names)
		}
		lines := slices.DeleteFunc(book.story(t), func(line string) bool { return !strings.Contains(line, "parts") })
		if want := []string{
			"DEBUG-4 operation started name=parts op=recv",
			"DEBUG-4 cancel cause=operation cancelled name=parts op=recv",
			"DEBUG-4 operation done err=recv parts: operation cancelled n=0 name=parts op=recv",
		}; !slices.Equal(lines, want) {
			t.Errorf("the log says %q", lines)
		}
	})
}
