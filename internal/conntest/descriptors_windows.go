package conntest

import (
	"fmt"

	"github.com/ringport/ringport/internal/win32/win32test"
)

// Descriptors are as many names as this process has pipes and sockets.
func Descriptors() (all []string) {
	for i := range win32test.Pipes() {
		all = append(all, fmt.Sprint("pipe ", i))
	}
	return all
}
