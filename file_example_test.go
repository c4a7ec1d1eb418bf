//go:build unix

package ringport_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport"
)

// A program reads lines from a pipe until it has had enough. The read that waits then ends, and takes nothing from whoever
// reads the pipe next.
func ExampleFile_WithContext() {
	m, err := ringport.New(ringport.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	var p [2]int
	if err := syscall.Pipe(p[:]); err != nil {
		log.Fatal(err)
	}
	r, err := m.NewFile(ringport.Handle(p[0]), "pipe")
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	w, err := m.NewFile(ringport.Handle(p[1]), "pipe")
	if err != nil {
		log.Fatal(err)
	}
	defer w.Close()

	ctx, enough := context.WithCancel(context.Background())
	defer enough()
	w.WriteString("first\nsecond\n")
	lines := bufio.NewScanner(r.WithContext(ctx))
	for lines.Scan() {
		fmt.Println(lines.Text())
		if lines.Text() == "second" {
			time.AfterFunc(10*time.Millisecond, enough) // the next Scan waits by then, or soon will
		}
	}
	fmt.Println("stopped:", errors.Is(lines.Err(), context.Canceled))

	w.WriteString("third")
	b := make([]byte, 16)
	n, err := r.Read(b)
	fmt.Printf("%s %v\n", b[:n], err)
	// Output:
	// first
	// second
	// stopped: true
	// third <nil>
}

// An os.File keeps its descriptor, and closes it. So a File gets a duplicate, and each closes its own.
func ExampleManager_NewFile() {
	m, err := ringport.New(ringport.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	r, w, err := os.Pipe()
	if err != nil {
		log.Fatal(err)
	}
	defer w.Close()
	fd, err := unix.FcntlInt(r.Fd(), unix.F_DUPFD_CLOEXEC, 0) // unix.Dup, but children don't inherit it
	if err != nil {
		log.Fatal(err)
	}
	f, err := m.NewFile(ringport.Handle(fd), r.Name())
	if err != nil {
		unix.Close(fd)
		log.Fatal(err)
	}
	fmt.Println(r.Close())

	w.WriteString("hello")
	b := make([]byte, 16)
	n, err := f.Read(b)
	fmt.Printf("%s %v\n", b[:n], err)
	fmt.Println(f.Close())
	// Output:
	// <nil>
	// hello <nil>
	// <nil>
}

// Opening a FIFO waits for somebody to open its other end. Here nobody does.
func ExampleManager_Open() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "fifo")
	if err := syscall.Mkfifo(name, 0o600); err != nil {
		log.Fatal(err)
	}
	m, err := ringport.New(ringport.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	_, err = m.Open(ctx, name)
	fmt.Println(errors.Is(err, context.DeadlineExceeded), os.IsTimeout(err))
	// Output: true true
}
