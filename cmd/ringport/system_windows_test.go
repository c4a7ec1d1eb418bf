package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport"
	"github.com/ringport/ringport/internal/patience"
	"github.com/ringport/ringport/internal/win32/consoletest"
)

// What this system says in its own way.
const (
	howKilled        = "exit status 1"
	coarseCPU        = true // processor time is counted in ticks so long that a short round may see none
	namedBackend     = ringport.BackendIOCP
	systemEngineNote = "osfile: an os.File does one ReadAt or WriteAt at a time on Windows"
)

// errNotThere is what opening a name that is not there fails with.
const errNotThere = windows.ERROR_FILE_NOT_FOUND

// signals are those that end the command in good order: Ctrl-C. What comes when a console is closed cannot be sent.
var signals = []syscall.Signal{syscall.SIGINT}

// consoleVariable gives the command a console of its own: with "keyboard" it types Ctrl-C on it when its standard input says so, with
// "screen" it does nothing but what showProgress does.
const consoleVariable = "RINGPORT_TEST_CONSOLE"

func prepareCommand() error {
	what := os.Getenv(consoleVariable)
	if what == "" {
		return nil
	}
	os.Unsetenv(consoleVariable) // not for the processes that this one starts, which are on the same console
	if err := consoletest.Alloc(); err != nil {
		return err
	}
	if what == "screen" {
		err := showProgress()
		if err == nil {
			os.Exit(0)
		}
		return err
	}
	go func() {
		if _, err := io.ReadFull(os.Stdin, make([]byte, 1)); err != nil {
			return // the test has ended
		}
		if err := consoletest.Interrupt(); err != nil {
			os.Stderr.WriteString(err.Error() + "\n")
		}
	}()
	return nil
}

// showProgress shows how far something is on the console's screen, and prints what is there to be read at each point.
func showProgress() error {
	screen, err := consoletest.Screen()
	if err != nil {
		return err
	}
	fmt.Println("terminal:", isTerminal(screen))
	p := newProgress(screen)
	p.stage("begin", 10)
	p.at(1, "much longer than half, but it still fits in")
	text := ""
	for end := time.Now().Add(patience.Limit); !strings.Contains(text, "50%") && time.Now().Before(end); { // it is not drawn each time
		p.at(5, "half")
		if text, err = consoletest.Text(screen, 3); err != nil {
			return err
		}
	}
	fmt.Printf("%q\n", text)
	p.end()
	text, err = consoletest.Text(screen, 3)
	fmt.Printf("%q\n", text)
	return err
}

// Whole disks are not used on Windows.
func TestDeviceNames(t *testing.T) {
	for _, name := range []string{`\\.\C:`, `\\.\PhysicalDrive0`, "//./pipe/x"} {
		if _, stderr, code := runCommand(t, "", nil, "bench", "--file", name); code != exitFailed || !strings.Contains(stderr, name+" is a device") {
			t.Errorf("%s: exit code %d, %s", name, code, stderr)
		}
	}
}

// A console is a terminal. There is one line with a bar that moves, and it is gone in the end.
func TestLiveProgress(t *testing.T) {
	stdout, stderr, code := runCommand(t, "", []string{consoleVariable + "=screen"})
	lines := strings.Split(stdout, "\n")
	if code != 0 || len(lines) != 4 || lines[0] != "terminal: true" {
		t.Fatalf("exit code %d, %q, %s", code, stdout, stderr)
	}
	if bar := lines[1]; !strings.HasPrefix(bar, `"half `) || !strings.Contains(bar, "50% ████") || !strings.HasSuffix(bar, `\n\n\n"`) {
		t.Errorf("in the middle the screen shows %s", bar)
	}
	if lines[2] != `"\n\n\n"` {
		t.Errorf("in the end the screen shows %s", lines[2])
	}
}

// keyboards are the standard inputs of commands that are interruptible.
var keyboards = map[*exec.Cmd]io.Writer{}

// interruptible gives a command that is not started a console of its own.
func interruptible(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	cmd.Env = append(cmd.Env, consoleVariable+"=keyboard")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	keyboards[cmd] = in
	t.Cleanup(func() { delete(keyboards, cmd) })
}

// interrupt types Ctrl-C on the command's console.
func interrupt(t *testing.T, cmd *exec.Cmd, _ syscall.Signal) {
	t.Helper()
	if _, err := keyboards[cmd].Write([]byte{3}); err != nil {
		t.Fatal(err)
	}
}

// wantEnded has nothing to check: a file that some process has open is still there, which wantEmpty sees.
func wantEnded(*testing.T, *exec.Cmd) {}

// However bench ends, its file and its engines end with it: the file is there for as long as one of them has it open.
func TestKilled(t *testing.T) {
	dir := t.TempDir()
	cmd := newCommand(t, dir, nil, "bench", "--size", "1m", "--engine", "osfile,loop", "--rounds", "2", "--duration", "1h")
	startAndWait(t, cmd, "measuring")
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Fatalf("%v: %v", entries, err)
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
	if err := patience.Until(func() error {
		entries, err := os.ReadDir(dir)
		if err != nil {
			t.Fatal(err)
		}
		if len(entries) != 0 {
			return fmt.Errorf("%s is still there", entries[0].Name())
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

// A file that is opened past the cache is as long as it should be, and takes whole sectors.
func TestUnbuffered(t *testing.T) {
	path := filepath.Join(t.TempDir(), "data")
	if err := os.WriteFile(path, make([]byte, 8192), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, isNew := range []bool{false, true} {
		f, why, err := openUnbuffered(path, os.O_RDWR, 4096, isNew)
		if err != nil || f == nil {
			t.Fatalf("%v %q", err, why)
		}
		if info, err := f.Stat(); err != nil || info.Size() != 8192 {
			t.Errorf("%v, %v", info, err)
		}
		if err := f.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, _, err := openUnbuffered(path+"x", os.O_RDWR, 4096, false); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
}

func TestWhatIsFullOrReadOnly(t *testing.T) {
	for err, want := range map[error]string{windows.ERROR_DISK_FULL: "is full", windows.ERROR_HANDLE_DISK_FULL: "is full",
		windows.ERROR_DISK_QUOTA_EXCEEDED: "is full", windows.ERROR_WRITE_PROTECT: "read-only", windows.ERROR_ACCESS_DENIED: "no permission",
		windows.ERROR_PATH_NOT_FOUND: "there is no folder"} {
		if got := cannotMake("x", &os.PathError{Op: "open", Path: `x\y`, Err: err}); !strings.Contains(got.Error(), want) {
			t.Errorf("%v: %v", err, got)
		}
	}
}
