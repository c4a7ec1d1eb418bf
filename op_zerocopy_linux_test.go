package ringport

import (
	"bytes"
	"errors"
	"testing"
)

// TestZeroCopy_InPlace: io_uring sends from the buffer itself, which shows where nothing makes the kernel copy: behind what the peer does not read.
func TestZeroCopy_InPlace(t *testing.T) {
	forEach(t, func(t *testing.T, c Config) {
		m := open(t, c)
		client, server := connection(t, m)
		do(t, m, ptr(func(op *Op) { *op = Send(client, bytes.Repeat([]byte("x"), 256<<10), 0) }))
		op := new(Op)
		*op = SendZeroCopy(client, make([]byte, 64<<10), 0)
		ch := start(t, m, op)
		do(t, m, ptr(func(op *Op) { *op = Nop() })) // it has been begun
		m.Cancel(op)
		got := receive(t, m, ch)
		lent := got.n == 64<<10 && errors.Is(got.err, ErrCanceled) && op.ZeroCopied()
		copied := got.n == 64<<10 && got.err == nil && !op.ZeroCopied()
		if wanted := c.Backend == BackendIOUring; wanted && !lent || !wanted && !copied {
			t.Errorf("%+v, in place: %v", got, op.ZeroCopied())
		}
		if n := do(t, m, ptr(func(op *Op) { *op = Nop() })); n != 0 {
			t.Error(n)
		}
		if !copied {
			client, server = connection(t, m)
		}
		*op = SendZeroCopy(client, []byte("copied"), 0) // as all that stays on one machine is
		do(t, m, op)
		if op.ZeroCopied() {
			t.Error("the loopback interface does not copy?")
		}
		do(t, m, ptr(func(op *Op) { *op = Recv(server, make([]byte, 6), 0) }))
	})
}
