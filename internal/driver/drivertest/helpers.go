package drivertest

import (
	"strings"

	"github.com/ringport/ringport/internal/driver"
)

// put writes to a pipe or file past the driver.
func (f *fixture) put(h driver.Handle, content string) {
	f.Helper()
	if err := put(h, content); err != nil {
		f.Fatalf("write: %v", err)
	}
}

// rest is what a pipe still holds: it closes w and reads r to the end, past the driver.
func (f *fixture) rest(r, w driver.Handle) string {
	f.Helper()
	f.closeHandle(w)
	var all strings.Builder
	for {
		s, err := take(r, 4096)
		if err != nil {
			f.Fatalf("read: %v", err)
		}
		if s == "" {
			return all.String()
		}
		all.WriteString(s)
	}
}
