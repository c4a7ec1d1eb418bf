package rnet

import (
	"errors"
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/ringport/ringport"
)

// TestLoops_CannotAttach: a connection that the loop which is to have it can't attach is closed, the handler hears nothing of it, and it is
// the end of the loops, as of any accept that fails for good.
func TestLoops_CannotAttach(t *testing.T) {
	far, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	m, err := ringport.New(ringport.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	op := ringport.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0)
	n, err := m.Do(t.Context(), &op)
	if err != nil {
		t.Fatal(err)
	}
	h := ringport.Handle(n) // on m's port, for good
	at, err := ringport.IPAddress(netip.MustParseAddrPort(far.Addr().String()))
	if err != nil {
		t.Fatal(err)
	}
	op = ringport.Connect(h, at)
	if _, err := m.Do(t.Context(), &op); err != nil {
		t.Fatal(err)
	}
	peer, err := far.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer peer.Close()
	peer.SetDeadline(time.Now().Add(time.Minute))

	ls, err := ServeLoops(t.Context(), "tcp", "127.0.0.1:0", &handlerFuncs{
		open:  func(*LoopConn) { t.Error("opened") },
		close: func(*LoopConn, error) { t.Error("closed") },
	}, LoopConfig{Loops: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer ls.Close()
	last := ls.loops[1]
	last.post(func() { last.adopt(h) })
	var failed *net.OpError
	if err := ls.Wait(); !errors.As(err, &failed) || failed.Op != "accept" || failed.Addr == nil || !errors.Is(err, ringport.ErrOtherPort) {
		t.Errorf("%#v (%v)", err, err)
	}
	if n, err := peer.Read(make([]byte, 1)); n != 0 || err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%d, %v", n, err)
	}
}
