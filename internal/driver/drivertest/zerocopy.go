package drivertest

import (
	"bytes"
	"strings"
	"syscall"

	"github.com/ringport/ringport/internal/driver"
)

var zeroCopyTests = []test{
	{name: "ZeroCopySends", run: zeroCopySends},
	{name: "Law2ZeroCopyBuffers", run: zeroCopyBuffers},
	{name: "Law3CancelZeroCopy", run: cancelZeroCopy},
	{name: "Law4CloseDuringZeroCopy", run: closeDuringZeroCopy},
}

// zeroCopy makes a send one without a copy.
func zeroCopy(r *driver.Request) *driver.Request {
	r.Flags |= driver.ZeroCopy
	return r
}

// zeroCopySends: what comes out is the same as of other sends, on sockets that have no such sends too.
func zeroCopySends(f *fixture) {
	content := bytes.Repeat([]byte("0123456789abcdef"), 1<<16) // 1 MiB
	for name, at := range streamAddresses(f) {
		client, server := f.connection(at)
		parts := message(driver.SendMsg, client, driver.Message{})
		parts.Ext.Vec = [][]byte{content[:len(content)/3], {}, content[len(content)/3:]}
		sends := []*driver.Request{send(client, ""), send(client, "x"), send(client, string(content)), parts}
		for _, nonblocking := range []bool{false, true} {
			setNonblock(f, client, nonblocking)
			for i, out := range sends {
				again(out)
				f.start(zeroCopy(out))
				var all []byte
				for len(all) < out.Wanted() {
					in := recv(server, 1<<16)
					if n, err := f.do(in); n == 0 || err != nil {
						f.Fatalf("%s: %d, %v after %d bytes", name, n, err, len(all))
					}
					all = append(all, got(in)...)
				}
				f.await(out)
				want := string(out.Buf)
				if out.Kind == driver.SendMsg {
					want = string(content)
				}
				if out.N != len(want) || out.Err != nil || string(all) != want {
					f.Errorf("%s, send %d: %d, %v, the peer got %d bytes", name, i, out.N, out.Err, len(all))
				}
			}
		}
		f.closeHandle(client)
		f.closeHandle(server)
		r := zeroCopy(send(f.socket(at.Family(), syscall.SOCK_STREAM), "x"))
		if n, err := f.do(r); n != 0 || err == nil || r.ZeroCopied {
			f.Errorf("%s: %d, %v, %v without a peer", name, n, err, r.ZeroCopied)
		}
	}
	f.fails(zeroCopy(send(^driver.Handle(0), "x")), errBadSocket)

	at := ipAddress("127.0.0.1:0")
	a, b := f.socket(at.Family(), syscall.SOCK_DGRAM), f.socket(at.Family(), syscall.SOCK_DGRAM)
	f.must(&driver.Request{Kind: driver.Bind, FD: b, Ext: &driver.Ext{Address: &at}}, 0)
	to := localAddress(f, b)
	for _, bytes := range []int{0, 1, 32 << 10} {
		f.must(zeroCopy(message(driver.SendMsg, a, driver.Message{Address: &to}, bytes)), bytes)
		f.must(recv(b, 64<<10), bytes)
	}
}

// stuckBytes are more than a peer that does not read has room for, and not more than a sender may queue.
const stuckBytes = 512 << 10

// zeroCopyBuffers: who is told that his send is over may use the buffer for something else, and the peer still gets what was sent.
func zeroCopyBuffers(f *fixture) {
	for name, at := range streamAddresses(f) {
		client, server := f.connection(at)
		want := strings.Repeat("sent", stuckBytes/4)
		out := zeroCopy(send(client, want))
		f.start(out)
		f.stay()
		reuse := func() {
			if f.isBack(out) {
				copy(out.Buf, strings.Repeat("late", stuckBytes/4))
			}
		}
		reuse()
		var all []byte
		for len(all) < len(want) {
			in := recv(server, 1<<14)
			if n, err := f.do(in); n == 0 || err != nil {
				f.Fatalf("%s: %d, %v after %d bytes", name, n, err, len(all))
			}
			all = append(all, got(in)...)
			reuse()
		}
		f.await(out)
		if string(all) != want {
			f.Errorf("%s: the peer has got what came later", name)
		}
	}
}

// cancelZeroCopy: a cancel brings the request back though its peer does not read, whether all was queued or there was no room. Either the connection
// goes on, and the peer gets what was reported, or the cancel has ended it.
func cancelZeroCopy(f *fixture) {
	for name := range streamAddresses(f) {
		for _, bytes := range []int{stuckBytes, 16 << 20} {
			client, server := f.connection(streamAddresses(f)[name])
			out := zeroCopy(send(client, strings.Repeat("x", bytes)))
			f.start(out)
			f.stay()
			f.cancel(out)
			f.await(out)
			cut := out.Err == driver.ErrCanceled && out.N > 0
			if out.Err != nil && out.Err != driver.ErrCanceled {
				f.Fatalf("%s: %v", name, out.Err)
			}
			f.closeHandle(client)
			all, err := 0, error(nil)
			for n := 1; n > 0 && err == nil; {
				n, err = f.do(recv(server, 1<<20))
				all += n
			}
			if cut && (err != errReset || all > out.N) || !cut && (err != nil || all != out.N) {
				f.Errorf("%s: %d, %v: the peer has got %d, %v", name, out.N, out.Err, all, err)
			}
		}
		// Before it begins, and when it is over: nothing happens to the connection.
		client, server := f.connection(streamAddresses(f)[name])
		r := zeroCopy(send(client, "x"))
		r.Asked.Store(true)
		f.start(r)
		f.await(r)
		if r.Err != nil && r.N > 0 { // the cancel found it on the way
			continue
		}
		n := r.N
		again(r)
		f.must(r, 1)
		f.cancel(r)
		f.must(recv(server, 8), n+1)
		f.must(zeroCopy(send(client, "again")), 5)
		f.must(recv(server, 8), 5)
	}
}

// closeDuringZeroCopy: what the peer does not take is no reason to wait.
func closeDuringZeroCopy(f *fixture) {
	client, _ := f.connection(ipAddress("127.0.0.1:0"))
	for range 3 {
		f.start(zeroCopy(send(client, strings.Repeat("x", stuckBytes))))
	}
	f.stay()
	f.d.CancelAll()
	f.drain()
}
