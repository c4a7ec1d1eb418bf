package winetest

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/terminaltest"
)

// TestConsole does what the library's test of the same name does, with a Windows program whose console is a terminal: 1000 reads are given up,
// half of them in raw mode, and what is typed next is read; typed Ctrl-C reaches the handler.
func TestConsole(t *testing.T) {
	if out, err := exec.Command("./setup").CombinedOutput(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%v: %s", err, out)
		}
		t.Skipf("there is no Wine: %v: %s", err, out)
	}
	exe := filepath.Join(t.TempDir(), "ringport.test.exe")
	build := exec.Command("go", "test", "-c", "-vet=off", "-o", exe, "github.com/ringport/ringport")
	build.Env = append(os.Environ(), "GOOS=windows", "GOARCH=amd64", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	cmd := exec.CommandContext(t.Context(), "./exec", exe)
	cmd.Env = append(os.Environ(), "RINGPORT_WINE_STDIN=1", "RINGPORT_TEST_CHILD=terminal")
	report, err := terminaltest.Talk(cmd, func(mode *unix.Termios) bool { return mode.Lflag&unix.ICANON == 0 }) // which Wine sees to, when it begins to read
	t.Log(report)
	if err != nil || !strings.Contains(report, "raw: ") {
		t.Error(err)
	}
}
