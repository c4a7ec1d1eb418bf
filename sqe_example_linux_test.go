package ringport_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	"github.com/ringport/ringport"
)

// An operation that ringport has no constructor for: symlinkat(2). Where the manager runs on its pool, there is no such escape.
func ExampleSQE() {
	const opSymlinkat = 38 // IORING_OP_SYMLINKAT
	m, err := ringport.Default()
	if err != nil {
		log.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "ringport")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	link := filepath.Join(dir, "link")

	target, name := []byte("the target\x00"), []byte(link+"\x00")
	op := ringport.SQE("symlinkat", func(e *ringport.RawSQE) {
		e.SetBuffer(name)
		e.Off = e.Addr // addr2: the name of the link
		e.SetBuffer(target)
		e.Opcode, e.FD, e.Len = opSymlinkat, -100, 0 // AT_FDCWD
	}, target, name)
	_, err = m.Do(context.Background(), &op)
	if errors.Is(err, ringport.ErrUnsupported) {
		err = os.Symlink("the target", link)
	}
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(os.Readlink(link))

	// Output: the target <nil>
}
