package main

import (
	"io"
	"os"

	"github.com/ringport/ringport/internal/win32/consoletest"
)

// interruptible gives the program a console of its own, on which Ctrl-C is typed when its standard input says so.
func interruptible() {
	if err := consoletest.Alloc(); err != nil {
		panic(err)
	}
	go func() {
		if _, err := io.ReadFull(os.Stdin, make([]byte, 1)); err != nil {
			return // the test has ended
		}
		if err := consoletest.Interrupt(); err != nil {
			panic(err)
		}
	}()
}

// interrupt types Ctrl-C on the program's console.
func (p *program) interrupt() error {
	_, err := p.in.Write([]byte{3})
	return err
}
