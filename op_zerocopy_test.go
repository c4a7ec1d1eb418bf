package ringport

import (
	"bytes"
	"context"
	"errors"
	"io"
	"syscall"
	"testing"
	"time"
)

// stuckBytes are more than a peer that does not read has room for, and not more than a sender may queue.
const stuckBytes = 512 << 10

// TestZeroCopy_Contexts: a peer that does not read keeps neither a send nor Close. Where that took the connection, the error has the cause, and the
// number of bytes is still told.
func TestZeroCopy_Contexts(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		content := bytes.Repeat([]byte("x"), stuckBytes)
		for name, set := range map[string]func(op *Op, client Handle){
			"send": func(op *Op, client Handle) { *op = SendZeroCopy(client, content, 0) },
			"sendmsg": func(op *Op, client Handle) {
				*op = SendMsgZeroCopy(client, [][]byte{content[:5], content[5:]}, nil, nil, 0)
			},
		} {
			client, server := connection(t, m)
			op := new(Op)
			set(op, client)
			ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
			n, err := m.Do(ctx, op)
			cancel()
			if err == nil && n != stuckBytes || err != nil && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s: %d, %v", name, n, err)
			}
			if err == nil || n == 0 {
				continue
			}
			for err == nil || errors.Is(err, context.DeadlineExceeded) {
				_, err = m.Do(t.Context(), ptr(func(op *Op) { *op = Recv(server, make([]byte, 1<<20), 0) }))
			}
			if !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("%s: the peer of a connection that a cancel has ended is told %v", name, err)
			}
		}
		client, _ := connection(t, m)
		ch := start(t, m, ptr(func(op *Op) { *op = SendZeroCopy(client, content, 0) }))
		if err := m.Close(); err != nil {
			t.Fatal(err)
		}
		if got := <-ch; got.err == nil && got.n != stuckBytes || got.err != nil && !errors.Is(got.err, ErrManagerClosed) {
			t.Errorf("%+v", got)
		}
	})
}

// TestZeroCopy_Chain: what comes after it in a chain begins when the buffer is the caller's again, and it may be anywhere in one.
func TestZeroCopy_Chain(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		c.MinWorkers, c.MaxWorkers = 1, 1 // so that who is done first is called back first
		m := open(t, c)
		client, server := connection(t, m)
		ops := []*Op{new(Op), new(Op), new(Op), new(Op)}
		*ops[0] = SendZeroCopy(client, make([]byte, stuckBytes), 0)
		*ops[1] = Nop()
		*ops[2] = SendZeroCopy(client, []byte("the rest"), 0)
		*ops[3] = Shutdown(client, ShutdownWrite)
		done := make(chan *Op, len(ops))
		if err := m.StartChain(func(op *Op) { done <- op }, ops...); err != nil {
			t.Fatal(err)
		}
		received, err := 0, error(nil)
		for n := 1; n > 0; {
			n, err = m.Do(t.Context(), ptr(func(op *Op) { *op = Recv(server, make([]byte, 1<<16), 0) }))
			received += n
		}
		if received != stuckBytes+8 || err != io.EOF {
			t.Errorf("%d, %v", received, err)
		}
		for i, op := range ops {
			if got := receive(t, m, done); got != op {
				t.Errorf("done in the place of %d: %s", i, got.what())
			}
			if _, err := op.Result(); err != nil {
				t.Error(err)
			}
		}
	})
}
