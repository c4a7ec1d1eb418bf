package ringport_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/ringport/ringport"
)

// The whole model: an operation is a value that a manager carries out. A goroutine waits for it, or a callback is called, and
// whoever has had enough of waiting cancels it.
func Example() {
	m, err := ringport.New(ringport.Config{})
	if err != nil {
		log.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	defer w.Close()

	// Wait for one operation.
	write := ringport.Write(ringport.Handle(w.Fd()), []byte("hello"), ringport.CurrentOffset)
	n, err := m.Do(context.Background(), &write)
	fmt.Println("wrote", n, err)

	// Be called back, on a goroutine of the manager.
	buf := make([]byte, 100)
	read := ringport.Read(ringport.Handle(r.Fd()), buf, ringport.CurrentOffset)
	done := make(chan struct{})
	err = m.Start(&read, func(op *ringport.Op) {
		n, err := op.Result()
		fmt.Printf("read %q %v\n", buf[:n], err)
		close(done)
	})
	if err != nil {
		log.Fatal(err)
	}
	<-done

	// There is nothing more in the pipe: this read waits, until its context ends. The Op is used again.
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	_, err = m.Do(ctx, read.Named("the pipe"))
	fmt.Println(err)

	// Close cancels what is in flight, waits for it and ends the manager's goroutines.
	fmt.Println(m.Close())

	// Output:
	// wrote 5 <nil>
	// read "hello" <nil>
	// read the pipe: context deadline exceeded
	// <nil>
}

func ExampleManager_Do() {
	m, err := ringport.Default()
	if err != nil {
		log.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "ringport")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()

	open := ringport.OpenAt(ringport.CurrentDir, filepath.Join(dir, "greeting"), os.O_RDWR|os.O_CREATE, 0o600)
	fd, err := m.Do(ctx, &open)
	if err != nil {
		log.Fatal(err)
	}
	h := ringport.Handle(fd)
	op := ringport.Write(h, []byte("hello, file"), 0)
	n, err := m.Do(ctx, &op)
	fmt.Println(n, err)
	buf := make([]byte, 4)
	op = ringport.Read(h, buf, 7)
	n, err = m.Do(ctx, &op)
	fmt.Printf("%q %v\n", buf[:n], err)
	op = ringport.Read(h, buf, 1000)
	_, err = m.Do(ctx, &op)
	fmt.Println(err)
	op = ringport.CloseHandle(h)
	_, err = m.Do(ctx, &op)
	fmt.Println(err)

	// Output:
	// 11 <nil>
	// "file" <nil>
	// EOF
	// <nil>
}

// A read of a pipe that nobody writes to ends when its context does. The byte that comes later is not taken by it.
func ExampleManager_Do_cancel() {
	m, err := ringport.Default()
	if err != nil {
		log.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()
	defer w.Close()

	ctx, cancel := context.WithCancelCause(context.Background())
	go cancel(errors.New("the user has left"))
	buf := make([]byte, 100)
	op := ringport.Read(ringport.Handle(r.Fd()), buf, ringport.CurrentOffset)
	n, err := m.Do(ctx, op.Named("pipe"))
	fmt.Println(n, err, errors.Is(err, context.Canceled))

	if _, err := w.WriteString("late"); err != nil {
		log.Fatal(err)
	}
	n, err = m.Do(context.Background(), &op)
	fmt.Printf("%q %v\n", buf[:n], err)

	// Output:
	// 0 read pipe: the user has left true
	// "late" <nil>
}

// A caller-driven manager has no goroutines. Start queues, and Step submits, waits and calls back.
func ExampleManager_Start() {
	m, err := ringport.New(ringport.Config{CallerDriven: true})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	f, err := os.CreateTemp("", "ringport")
	if err != nil {
		log.Fatal(err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if _, err := f.WriteString("0123456789"); err != nil {
		log.Fatal(err)
	}

	const reads = 5
	var bufs [reads][2]byte
	ops := make([]ringport.Op, reads)
	left := reads
	for i := range ops {
		ops[i] = ringport.Read(ringport.Handle(f.Fd()), bufs[i][:], int64(2*i))
		err := m.Start(&ops[i], func(op *ringport.Op) {
			if _, err := op.Result(); err != nil {
				log.Print(err)
			}
			left--
		})
		if err != nil {
			log.Fatal(err)
		}
	}
	for left > 0 {
		if _, err := m.Step(-1); err != nil {
			log.Fatal(err)
		}
	}
	for _, buf := range bufs {
		fmt.Printf("%s ", buf)
	}

	// Output: 01 23 45 67 89
}

// A record is appended to a log and is on the disk, with one submission. Had the write failed or come out short, nothing would
// have been synced.
func ExampleManager_DoChain() {
	m, err := ringport.Default()
	if err != nil {
		log.Fatal(err)
	}
	f, err := os.CreateTemp("", "ringport")
	if err != nil {
		log.Fatal(err)
	}
	defer os.Remove(f.Name())
	defer f.Close()

	h := ringport.Handle(f.Fd())
	write := ringport.Write(h, []byte("record\n"), 0)
	sync := ringport.Fdatasync(h)
	fmt.Println(m.DoChain(context.Background(), &write, &sync))
	fmt.Println(write.Result())

	// Output:
	// <nil>
	// 7 <nil>
}

func ExampleManager_AfterFunc() {
	m, err := ringport.New(ringport.Config{CallerDriven: true})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()

	n := 0
	var tick *ringport.Timeout
	tick = m.AfterFunc(0, func() {
		if n++; n < 3 {
			tick.Reset(time.Millisecond)
		}
	})
	hour := m.AfterFunc(time.Hour, func() { fmt.Println("never") })
	for n < 3 {
		if _, err := m.Step(-1); err != nil {
			log.Fatal(err)
		}
	}
	fmt.Println("ticks:", n)
	fmt.Println("was pending:", tick.Stop(), hour.Stop())

	// Output:
	// ticks: 3
	// was pending: false true
}

// Direct I/O goes past the page cache, and needs aligned buffers, lengths and offsets. Not every file system has it.
func ExampleAlignedBuffer() {
	dir, err := os.MkdirTemp("", "")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	name := filepath.Join(dir, "file")
	if err := os.WriteFile(name, []byte("some data"), 0o600); err != nil {
		log.Fatal(err)
	}

	f, err := ringport.OpenFile(name, os.O_RDONLY|ringport.O_DIRECT, 0)
	if errors.Is(err, syscall.EINVAL) || errors.Is(err, ringport.ErrUnsupported) {
		f, err = ringport.Open(name)
	}
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	buf := ringport.AlignedBuffer(2 * ringport.DirectAlignment)
	n, err := f.ReadAt(buf, 0)
	fmt.Printf("%q %v\n", buf[:n], err == io.EOF)
	// Output: "some data" true
}

// Ctrl-C ends what waits, by way of a context, and the program in good order.
func ExampleManager_HandleConsole() {
	m, err := ringport.Default()
	if err != nil {
		log.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	stop := m.HandleConsole(func(e ringport.ConsoleEvent) {
		fmt.Println("ending, because of", e)
		cancel()
	})
	defer stop()

	lines := bufio.NewScanner(ringport.Stdin().WithContext(ctx))
	for lines.Scan() { // until the end of the input, or Ctrl-C
		fmt.Println("read", lines.Text())
	}
	if err := lines.Err(); err != nil && !errors.Is(err, context.Canceled) {
		log.Fatal(err)
	}
	fmt.Println("bye")
	// Output: bye
}

// A pipe is watched: the function is called whenever there is something to read, until the other end is closed, which a read finds. Error alone
// says that the pipe can't be read or waited for.
func ExampleManager_Watch() {
	m, err := ringport.New(ringport.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer m.Close()
	r, w, err := os.Pipe()
	if err != nil {
		log.Fatal(err)
	}
	defer r.Close()

	done := make(chan struct{})
	buf := make([]byte, 100)
	_, err = m.Watch(ringport.Handle(r.Fd()), ringport.Readable, ringport.Persistent, func(r *ringport.Registration, ready ringport.Event) {
		if ready&ringport.Readable == 0 {
			fmt.Println(ready, r.Err())
			close(done)
			return
		}
		read := ringport.Read(r.Handle(), buf, ringport.CurrentOffset)
		n, err := m.Do(context.Background(), &read)
		fmt.Printf("read %q %v\n", buf[:n], err)
		if err == nil {
			return // the function is called again when there is more
		}
		r.Close()
		close(done)
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Fprint(w, "hello")
	w.Close()
	<-done

	// Output:
	// read "hello" <nil>
	// read "" EOF
}
