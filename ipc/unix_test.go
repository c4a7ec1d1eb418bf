//go:build unix

package ipc

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/ringport/ringport"
	"github.com/ringport/ringport/internal/conntest"
)

// unused is the path of a socket that there isn't, in a folder of its own.
func unused(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "ipc") // t.TempDir may be too long for a Unix socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, "socket")
}

// stranger is a user who runs no test.
const stranger = "12345"

// notUsers are no numbers of users.
var notUsers = []string{"S-1-5-19", "4294967296", " 0", "00"}

func userID(testing.TB) string { return strconv.Itoa(os.Geteuid()) }

// findsRoom connects without waiting, and reports whether the backlog had room.
func findsRoom(t *testing.T, l *Listener) bool {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err = syscall.SetNonblock(fd, true); err == nil {
		err = syscall.Connect(fd, &syscall.SockaddrUnix{Name: l.Addr().String()})
	}
	if err != nil && err != syscall.EAGAIN {
		t.Fatal(err)
	}
	return err == nil
}

// filesIn are the names in the folder of a socket.
func filesIn(t *testing.T, path string) string {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return strings.Join(names, " ")
}

// leaveBehind makes a socket's file on which nobody listens.
func leaveBehind(t *testing.T, path string) {
	t.Helper()
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
}

// TestListen_Stale: what a listener leaves behind that is killed is no obstacle to the next; nobody is there to be dialed meanwhile.
func TestListen_Stale(t *testing.T) {
	forEach(t, func(t *testing.T, m *ringport.Manager) {
		for name, prepare := range map[string]func(path string){
			"the socket": func(path string) { leaveBehind(t, path) },
			"socket and lock": func(path string) {
				_, wait := child(t, "abandon", path)
				if err := wait(); err != nil {
					t.Fatal(err)
				}
				if got := filesIn(t, path); got != "socket socket.lock" {
					t.Fatalf("it was to leave its files behind, not %q", got)
				}
			},
			"the lock": func(path string) { os.WriteFile(path+".lock", nil, 0o600) },
		} {
			path := unused(t)
			prepare(path)
			d := Dialer{Manager: m}
			if c, err := d.Dial(context.Background(), path); c != nil || !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("%s: dialed: %v, %v", name, c, err)
			}
			lc := ListenConfig{Manager: m}
			l, err := lc.Listen(path)
			if err != nil {
				t.Errorf("%s: %v", name, err)
				continue
			}
			dial(t, m, l)
			accept(t, l)
			if err := l.Close(); err != nil {
				t.Error(err)
			}
			if got := filesIn(t, path); got != "" {
				t.Errorf("%s: left: %s", name, got)
			}
		}
	})
}

// TestListen_Foreign: what is no socket of a listener of ours stays as it is: another's socket, a file, a link.
func TestListen_Foreign(t *testing.T) {
	for name, prepare := range map[string]func(path string) error{
		"a listener of package net's": func(path string) error {
			l, err := net.Listen("unix", path)
			if err == nil {
				t.Cleanup(func() { l.Close() })
			}
			return err
		},
		"a socket of packets": func(path string) error {
			c, err := net.ListenPacket("unixgram", path)
			if err == nil {
				t.Cleanup(func() { c.Close() })
			}
			return err
		},
		"a file":            func(path string) error { return os.WriteFile(path, []byte("precious"), 0o600) },
		"a folder":          func(path string) error { return os.Mkdir(path, 0o700) },
		"a link":            func(path string) error { return os.Symlink("nowhere", path) },
		"a link for a lock": func(path string) error { return os.Symlink("nowhere", path+".lock") },
	} {
		path := unused(t)
		if err := prepare(path); err != nil {
			t.Fatal(err)
		}
		before := filesIn(t, path)
		l, err := Listen(path)
		if l != nil || !errors.Is(err, ErrInUse) && !errors.Is(err, syscall.ELOOP) {
			t.Errorf("%s: %v, %v", name, l, err)
		}
		if after := filesIn(t, path); after != before {
			t.Errorf("%s: the folder had %q and has %q", name, before, after)
		}
	}
}

// TestListen_InUseText: who has the name is said in words.
func TestListen_InUseText(t *testing.T) {
	for want, prepare := range map[string]func(t *testing.T, path string) error{
		"another listener has it, and the lock PATH.lock": func(t *testing.T, path string) error {
			l, err := Listen(path)
			if err == nil {
				t.Cleanup(func() { l.Close() })
			}
			return err
		},
		"a socket that somebody uses is there": func(t *testing.T, path string) error {
			l, err := net.Listen("unix", path)
			if err == nil {
				t.Cleanup(func() { l.Close() })
			}
			return err
		},
		"something that is no socket is there": func(_ *testing.T, path string) error { return os.WriteFile(path, nil, 0o600) },
	} {
		path := unused(t)
		if err := prepare(t, path); err != nil {
			t.Fatal(err)
		}
		want = strings.ReplaceAll("listen unix PATH: name is in use: "+want+": bind: "+syscall.EADDRINUSE.Error(), "PATH", path)
		l, err := Listen(path)
		if l != nil || !errors.Is(err, ErrInUse) || !errors.Is(err, syscall.EADDRINUSE) || err.Error() != want {
			t.Errorf("%v, %v; want %s", l, err, want)
		}
	}
}

// TestErrors_Path: errors of Dial and Listen show where they looked for a plain name, which depends on the environment.
func TestErrors_Path(t *testing.T) {
	dir := filepath.Dir(unused(t))
	t.Setenv("XDG_RUNTIME_DIR", dir)
	dialed := func(name string) error { _, err := Dial(context.Background(), name); return err }
	listened := func(name string) error { _, err := Listen(name); return err }
	os.Mkdir(filepath.Join(dir, "folder"), 0o700)
	for _, c := range []struct {
		call       func(name string) error
		name, addr string
		want       error
	}{
		{dialed, "nobody", filepath.Join(dir, "nobody"), fs.ErrNotExist},
		{dialed, "./nobody", "./nobody", fs.ErrNotExist},
		{dialed, `a\b`, `a\b`, ringport.ErrInvalidAddress},
		{listened, "folder", filepath.Join(dir, "folder"), ErrInUse},
		{listened, `a\b`, `a\b`, ringport.ErrInvalidAddress},
	} {
		err := c.call(c.name)
		var e *net.OpError
		if !errors.Is(err, c.want) || !errors.As(err, &e) || e.Addr != Addr(c.addr) || !strings.Contains(err.Error(), " unix "+c.addr+": ") {
			t.Errorf("%s: %v; want %v at %s", c.name, err, c.want, c.addr)
		}
	}
}

// TestListen_OneWins: of many that find a stale socket at the same time one listens, and the others are told that it does.
func TestListen_OneWins(t *testing.T) {
	for range 100 {
		path := unused(t)
		leaveBehind(t, path)
		var won atomic.Pointer[Listener]
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				switch l, err := Listen(path); {
				case err == nil && won.Swap(l) != nil:
					t.Error("two listen")
				case err != nil && !errors.Is(err, ErrInUse):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		l := won.Load()
		if l == nil {
			t.Fatal("nobody listens")
		}
		dial(t, nil, l).Close()
		l.Close()
	}
}

// TestListen_Again: Listen and Close at the same path, by several at once, end up with nothing but errors that say so.
func TestListen_Again(t *testing.T) {
	path := unused(t)
	var listened atomic.Int64
	again := func() error {
		for range 200 {
			l, err := Listen(path)
			if err != nil {
				if !errors.Is(err, ErrInUse) {
					return err
				}
				continue
			}
			listened.Add(1)
			if c, err := Dial(context.Background(), path); err != nil {
				return err
			} else {
				c.Close()
			}
			if err := l.Close(); err != nil {
				return err
			}
		}
		return nil
	}
	conntest.Together(t, again, again, again, again)
	if listened.Load() == 0 || filesIn(t, path) != "" {
		t.Errorf("%d listened, left: %q", listened.Load(), filesIn(t, path))
	}
}

// TestLockFile: one has the lock, whoever else asks for it, removes it and makes it anew meanwhile.
func TestLockFile(t *testing.T) {
	path := unused(t)
	var holders, locked atomic.Int64
	again := func() error {
		for range 2000 {
			f, err := lockFile(path)
			if errors.Is(err, ErrInUse) {
				continue
			}
			if err != nil {
				return err
			}
			if n := holders.Add(1); n != 1 {
				return fmt.Errorf("%d have the lock", n)
			}
			locked.Add(1)
			runtime.Gosched()
			holders.Add(-1)
			unlockFile(f)
		}
		return nil
	}
	conntest.Together(t, again, again, again, again)
	if locked.Load() == 0 {
		t.Error("nobody had it")
	}
}

// TestAdopt_Closes: a handle of which no File can be made, since the manager is closed, is closed.
func TestAdopt_Closes(t *testing.T) {
	m, err := ringport.New(ringport.Config{})
	if err != nil {
		t.Fatal(err)
	}
	m.Close()
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	if f, err := adopt(m, ringport.Handle(fd), "socket"); f != nil || !errors.Is(err, ringport.ErrManagerClosed) {
		t.Errorf("%v, %v", f, err)
	}
	if err := syscall.Close(fd); err != syscall.EBADF {
		t.Errorf("it was not closed: %v", err)
	}
}

// TestListen_Mode: the file has its mode, whatever the umask is.
func TestListen_Mode(t *testing.T) {
	for _, umask := range []int{0, 0o077} {
		old := syscall.Umask(umask)
		for mode, want := range map[fs.FileMode]fs.FileMode{0: 0o600, 0o666: 0o666, 0o660: 0o660} {
			l := listen(t, ListenConfig{Mode: mode})
			if info, err := os.Lstat(l.Addr().String()); err != nil || info.Mode() != fs.ModeSocket|want {
				t.Errorf("umask %#o, mode %#o: %v, %v", umask, mode, info.Mode(), err)
			}
			if info, err := os.Lstat(l.Addr().String() + ".lock"); err != nil || info.Mode() != 0o600 {
				t.Errorf("umask %#o: the lock's %v, %v", umask, info.Mode(), err)
			}
		}
		syscall.Umask(old)
	}
}

// TestListener_RemovesItsOwn: Close removes the socket's file unless it is another by now.
func TestListener_RemovesItsOwn(t *testing.T) {
	l := listen(t, ListenConfig{})
	path := l.Addr().String()
	os.Remove(path)
	other, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	l.Close()
	if got := filesIn(t, path); got != "socket" {
		t.Errorf("left: %q", got)
	}
}

// TestPath_Folder: plain names are in the user's own folder, and nowhere else.
func TestPath_Folder(t *testing.T) {
	dir := filepath.Dir(unused(t))
	try := func() error {
		l, err := Listen("plain")
		if err != nil {
			_, dialed := Dial(context.Background(), "plain")
			if dialed == nil {
				t.Error("dialed where nobody listens")
			}
			return err
		}
		defer l.Close()
		if want, err := Path("plain"); err != nil || l.Addr().String() != want {
			t.Errorf("at %v, want %s, %v", l.Addr(), want, err)
		}
		c, err := Dial(context.Background(), "plain")
		if err == nil {
			c.Close()
		}
		return err
	}
	t.Setenv("XDG_RUNTIME_DIR", dir)
	if path, err := Path("plain"); path != filepath.Join(dir, "plain") || err != nil {
		t.Errorf("%s, %v", path, err)
	}
	if err := try(); err != nil {
		t.Error(err)
	}
	os.Chmod(dir, 0o750)
	if err := try(); !errors.Is(err, errShared) {
		t.Errorf("a folder that others may look into: %v", err)
	}
	os.Chmod(dir, 0o700)
	for _, ignored := range []string{"", "relative"} {
		t.Setenv("XDG_RUNTIME_DIR", ignored)
		t.Setenv("TMPDIR", dir)
		own := filepath.Join(dir, "ringport-"+userID(t))
		if path, err := Path("plain"); path != filepath.Join(own, "plain") || err != nil {
			t.Errorf("%s, %v", path, err)
		}
		if _, err := Dial(context.Background(), "plain"); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("dialed before anybody listened: %v", err)
		}
		if err := try(); err != nil {
			t.Error(err)
		}
		if info, err := os.Lstat(own); err != nil || info.Mode() != fs.ModeDir|0o700 {
			t.Errorf("the folder is %v, %v", info.Mode(), err)
		}
		os.Remove(own)
		os.Symlink(dir, own)
		if err := try(); !errors.Is(err, errShared) {
			t.Errorf("a link in place of the folder: %v", err)
		}
		os.Remove(own)
	}
	if os.Geteuid() != 0 {
		t.Log("without another user's folder, which only root can make")
	} else {
		os.Chown(dir, 1, 1)
		t.Setenv("XDG_RUNTIME_DIR", dir)
		if err := try(); !errors.Is(err, errShared) {
			t.Errorf("another user's folder: %v", err)
		}
	}
}

// TestPath: which names there are.
func TestPath(t *testing.T) {
	t.Setenv("XDG_RUNTIME_DIR", "/run/user/7")
	for name, want := range map[string]string{
		"name": "/run/user/7/name", "a.b@c": "/run/user/7/a.b@c", "@name": "/run/user/7/@name",
		"/a/b": "/a/b", "./b": "./b", "@a/b": "./@a/b",
		"": "", ".": "", "..": "", "a\x00b": "", "/a\x00b": "", `\\.\pipe\name`: "", `a\b`: "",
	} {
		got, err := Path(name)
		if got != want || (err == nil) != (want != "") || err != nil && !errors.Is(err, ringport.ErrInvalidAddress) {
			t.Errorf("%q: %q, %v; want %q", name, got, err, want)
		}
	}
	long := "/" + strings.Repeat("x", 200)
	if _, err := Listen(long); !errors.Is(err, ringport.ErrInvalidAddress) {
		t.Errorf("too long: %v", err)
	}
	if _, err := Dial(context.Background(), long); !errors.Is(err, ringport.ErrInvalidAddress) {
		t.Errorf("too long: %v", err)
	}
}

// TestListen_MessageMode: there is none here.
func TestListen_MessageMode(t *testing.T) {
	lc := ListenConfig{MessageMode: true}
	path := unused(t)
	if l, err := lc.Listen(path); l != nil || !errors.Is(err, errors.ErrUnsupported) || filesIn(t, path) != "" {
		t.Errorf("%v, %v", l, err)
	}
}

// TestConn_HalfClose: one side ends its sending and goes on receiving.
func TestConn_HalfClose(t *testing.T) {
	forEach(t, func(t *testing.T, m *ringport.Manager) {
		client, server := pair(t, ListenConfig{Manager: m})
		client.Write([]byte("question"))
		for range 2 {
			if err := client.CloseWrite(); err != nil {
				t.Error(err)
			}
		}
		if err := expectEnd(server, []byte("question")); err != nil {
			t.Error(err)
		}
		server.Write([]byte("answer"))
		server.Close()
		if err := expectEnd(client, []byte("answer")); err != nil {
			t.Error(err)
		}
		if _, err := client.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
			t.Errorf("a write after CloseWrite: %v", err)
		}
	})
}

// TestListenConfig_Buffers: they reach the connection.
func TestListenConfig_Buffers(t *testing.T) {
	_, server := pair(t, ListenConfig{InputBufferBytes: 40 << 10, OutputBufferBytes: 50 << 10})
	raw, err := server.f.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	raw.Control(func(fd uintptr) {
		for option, want := range map[int]int{syscall.SO_RCVBUF: 40 << 10, syscall.SO_SNDBUF: 50 << 10} {
			if got, err := syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, option); err != nil || got != want && got != 2*want {
				t.Errorf("%d, %v, want %d", got, err, want)
			}
		}
	})
}

// modes are the values of MessageMode that there are here.
var modes = []bool{false}
