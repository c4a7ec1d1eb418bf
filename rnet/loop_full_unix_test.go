//go:build unix

package rnet

import (
	"errors"
	"fmt"
	"net"
	"syscall"
	"testing"

	"github.com/ringport/ringport/internal/conntest"
	"github.com/ringport/ringport/internal/patience"
)

// TestLoops_FullTable: with the descriptor table full, loops accept nothing and end nothing; when there is room again, the connection that
// waited is accepted, and others are.
func TestLoops_FullTable(t *testing.T) {
	fewDescriptors(t)
	for _, backend := range backendsHere(t) {
		for _, n := range []int{1, 3} {
			t.Run(fmt.Sprintf("%s/%d", backend, n), func(t *testing.T) {
				ls, err := ServeLoops(t.Context(), "tcp", "127.0.0.1:0", &handlerFuncs{data: echo}, LoopConfig{Loops: n, Backend: backend})
				if err != nil {
					t.Fatal(err)
				}
				defer ls.Close()
				before := dial(t, ls)
				echoes(t, before)
				waits, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, 0) // as long as there is room
				if err != nil {
					t.Fatal(err)
				}
				defer syscall.Close(waits)
				makeRoom := fillTable(t)
				defer makeRoom()
				if err := syscall.Connect(waits, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}, Port: ls.Addr().(*net.TCPAddr).Port}); err != nil {
					t.Fatal(err)
				}
				if err := patience.Until(func() error {
					if failedAccepts(ls) == 0 {
						return errors.New("no accept has failed")
					}
					return nil
				}); err != nil {
					t.Fatal(err)
				}
				echoes(t, before)
				makeRoom()
				syscall.Write(waits, []byte("x"))
				if n, err := syscall.Read(waits, make([]byte, 8)); n != 1 || err != nil {
					t.Errorf("the connection that waited: %d, %v", n, err)
				}
				echoes(t, dial(t, ls))
			})
		}
	}
}

// fewDescriptors has the table end early until the test is over: io_uring's accept obeys the limit that there was when it was started.
func fewDescriptors(t *testing.T) {
	t.Helper()
	var was syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &was); err != nil {
		t.Fatal(err)
	}
	low := was
	low.Cur = 256
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &low); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Setrlimit(syscall.RLIMIT_NOFILE, &was) })
}

// echoes expects that what c says comes back.
func echoes(t *testing.T, c net.Conn) {
	t.Helper()
	if _, err := c.Write([]byte("hello")); err != nil {
		t.Error(err)
	}
	if err := conntest.Expect(c, []byte("hello")); err != nil {
		t.Error(err)
	}
}

// failedAccepts is how many operations of the loops have failed: nothing but an accept has a reason to.
func failedAccepts(ls *Loops) (n int64) {
	for _, l := range ls.loops {
		failed := make(chan int64)
		if l.post(func() { failed <- l.m.Stats().Failed }) {
			n += <-failed
		}
	}
	return n
}
