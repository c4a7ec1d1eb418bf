package ring_test

import (
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"github.com/ringport/ringport/internal/ring"
)

// Reads the beginning of a file: one submission, one completion.
func Example() {
	f, err := os.Open("example_linux_test.go")
	if err != nil {
		panic(err)
	}
	defer f.Close()
	r, err := ring.Open(ring.Options{Entries: 8})
	if err != nil {
		panic(err)
	}
	defer r.Close()

	buf := make([]byte, len("package ring_test"))
	sqe := r.NextSQE()
	sqe.Opcode, sqe.FD, sqe.UserData = ring.OpRead, int32(f.Fd()), 1
	sqe.Addr, sqe.Len = uint64(uintptr(unsafe.Pointer(&buf[0]))), uint32(len(buf))
	r.Publish()
	if _, errno := r.SubmitAndWait(1, 1, nil); errno != 0 {
		panic(errno)
	}
	cqe := r.Peek()
	fmt.Printf("submission %d read %d bytes: %s\n", cqe.UserData, cqe.Res, buf)
	r.Next()
	r.Release()
	runtime.KeepAlive(buf)
	// Output: submission 1 read 17 bytes: package ring_test
}
