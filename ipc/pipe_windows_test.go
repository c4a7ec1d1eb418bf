package ipc

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport"
	"github.com/ringport/ringport/internal/conntest"
	"github.com/ringport/ringport/internal/patience"
)

var pipeNumber atomic.Int64

// unused is a name that no pipe has had.
func unused(testing.TB) string {
	return fmt.Sprintf(`\\.\pipe\ringport-ipc-%d-%d`, os.Getpid(), pipeNumber.Add(1))
}

// stranger is a user who runs no test: LOCAL SERVICE.
const stranger = "S-1-5-19"

// notUsers are no SIDs as package os/user writes them.
var notUsers = []string{"0", "BA", "s-1-5-19", "S-1-5", "S-1-5-19 "}

func userID(t testing.TB) string {
	t.Helper()
	user, err := windows.GetCurrentProcessToken().GetTokenUser()
	if err != nil {
		t.Fatal(err)
	}
	return user.User.Sid.String()
}

// findsRoom connects without waiting, and reports whether an instance was left.
func findsRoom(t *testing.T, l *Listener) bool {
	t.Helper()
	name, err := windows.UTF16PtrFromString(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	h, err := windows.CreateFile(name, clientAccess, 0, nil, windows.OPEN_EXISTING, windows.FILE_FLAG_OVERLAPPED, 0)
	if err == windows.ERROR_PIPE_BUSY {
		return false
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { windows.CloseHandle(h) })
	return true
}

// modes are the values of MessageMode that there are here.
var modes = []bool{false, true}

// TestConn_Messages: each Write is a message, each Read has bytes of one, nothing of a long one is lost, and an empty one is the end.
func TestConn_Messages(t *testing.T) {
	forEach(t, func(t *testing.T, m *ringport.Manager) {
		for _, toClient := range []bool{false, true} {
			from, to := pair(t, ListenConfig{Manager: m, MessageMode: true})
			if toClient {
				from, to = to, from
			}
			put := func(text string) {
				t.Helper()
				if n, err := from.Write([]byte(text)); n != len(text) || err != nil {
					t.Fatalf("%d, %v", n, err)
				}
			}
			buf := make([]byte, 4)
			got := func(n int, more bool, err error) string {
				return fmt.Sprintf("%q %v %v", buf[:n], more, err)
			}
			put("one")
			put("")
			put("0123456789")
			put("last")
			for _, want := range []string{`"one" false <nil>`, `"0123" true <nil>`, `"4567" true <nil>`, `"89" false <nil>`, `"last" false <nil>`} {
				if g := got(to.ReadMessage(buf)); g != want {
					t.Errorf("%s, want %s", g, want)
				}
			}
			put("0123456789")
			if all, err := io.ReadAll(io.LimitReader(to, 10)); string(all) != "0123456789" || err != nil {
				t.Errorf("%q, %v", all, err)
			}
			put("before the end")
			for range 2 {
				if err := from.CloseWrite(); err != nil {
					t.Error(err)
				}
			}
			if _, err := from.Write([]byte("x")); !errors.Is(err, syscall.EPIPE) {
				t.Errorf("a write after CloseWrite: %v", err)
			}
			if err := expectEnd(to, []byte("before the end")); err != nil {
				t.Error(err)
			}
			to.Write([]byte("the other way"))
			to.Close()
			if err := expectEnd(from, []byte("the other way")); err != nil {
				t.Error(err)
			}
		}
	})
}

// TestConn_Bytes: a connection of bytes has no messages and no half.
func TestConn_Bytes(t *testing.T) {
	client, server := pair(t, ListenConfig{})
	if err := client.CloseWrite(); !errors.Is(err, errors.ErrUnsupported) {
		t.Error(err)
	}
	if _, _, err := client.ReadMessage(make([]byte, 8)); !errors.Is(err, errors.ErrUnsupported) {
		t.Error(err)
	}
	client.Write(nil)
	client.Write([]byte("a"))
	client.Write([]byte("b"))
	if err := conntest.Expect(server, []byte("ab")); err != nil {
		t.Error(err)
	}
}

// TestHazard24Flush: it waits until everything was read, and ends with the context.
func TestHazard24Flush(t *testing.T) {
	forEach(t, func(t *testing.T, m *ringport.Manager) {
		client, server := pair(t, ListenConfig{Manager: m})
		server.Write([]byte("unread"))
		ctx, cancel := context.WithCancel(context.Background())
		flushing := conntest.Async(func() (int, error) { return 0, server.WithContext(ctx).Flush() })
		conntest.InFlight(t, m, 1)
		cancel()
		if _, err := flushing(); !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
		flushing = conntest.Async(func() (int, error) { return 0, server.Flush() })
		conntest.InFlight(t, m, 1)
		if err := conntest.Expect(client, []byte("unread")); err != nil {
			t.Error(err)
		}
		if _, err := flushing(); err != nil {
			t.Error(err)
		}
		server.Write([]byte("lost"))
		if err := server.Disconnect(); err != nil {
			t.Error(err)
		}
		if n, err := client.Read(make([]byte, 8)); n != 0 || err != io.EOF {
			t.Errorf("after Disconnect: %d, %v", n, err)
		}
	})
}

func init() {
	// squat makes a pipe of which there can be more instances, and keeps it until standard input ends.
	children["squat"] = func(path string) error {
		name, err := windows.UTF16PtrFromString(path)
		if err != nil {
			return err
		}
		h, err := windows.CreateNamedPipe(name, windows.PIPE_ACCESS_DUPLEX|windows.FILE_FLAG_OVERLAPPED, 0, windows.PIPE_UNLIMITED_INSTANCES, 0, 0, 0, nil)
		if err != nil {
			return err
		}
		fmt.Println("squatting")
		io.Copy(io.Discard, os.Stdin)
		return windows.CloseHandle(h)
	}
}

// TestHazard23SquattedName: a name that another process has is an error, however it was made, and who expects another owner is not taken in.
func TestHazard23SquattedName(t *testing.T) {
	path := unused(t)
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	squatter := exec.Command(self)
	squatter.Env = append(os.Environ(), childVariable+"=squat "+path)
	leave, err := squatter.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	says, err := squatter.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := squatter.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := bufio.NewReader(says).ReadString('\n'); err != nil {
		t.Fatal("no squatter: ", err, squatter.Wait())
	}
	l, err := Listen(path)
	if l != nil || !errors.Is(err, ErrInUse) || !errors.Is(err, windows.ERROR_ACCESS_DENIED) {
		t.Errorf("%v, %v", l, err)
	}
	d := Dialer{ExpectedOwner: "S-1-5-19"} // not this user, who has made it here
	if c, err := d.Dial(context.Background(), path); c != nil || !errors.Is(err, ErrOwner) {
		t.Errorf("dialed the squatter: %v, %v", c, err)
	}
	leave.Close()
	if err := squatter.Wait(); err != nil {
		t.Error(err)
	}
	if l, err = Listen(path); err != nil {
		t.Fatal(err)
	}
	l.Close()
}

// TestHazard23Security: the pipe is for its user, SYSTEM and administrators, unless it is said otherwise, and the user owns it.
func TestHazard23Security(t *testing.T) {
	user := userID(t)
	const asked = windows.OWNER_SECURITY_INFORMATION | windows.DACL_SECURITY_INFORMATION
	for given, want := range map[string]string{
		"":                            "O:" + user + "D:P(A;;GA;;;" + user + ")(A;;GA;;;SY)(A;;GA;;;BA)",
		"D:P(A;;GA;;;SY)(A;;GA;;;BA)": "D:P(A;;GA;;;SY)(A;;GA;;;BA)",
		"D:P(A;;GA;;;" + user + ")(A;;0x12019b;;;WD)": "D:P(A;;GA;;;" + user + ")(A;;0x12019b;;;WD)",
	} {
		client, _ := pair(t, ListenConfig{SecurityDescriptor: given})
		sd, err := windows.GetSecurityInfo(windows.Handle(client.f.Fd()), windows.SE_KERNEL_OBJECT, asked)
		if err != nil {
			t.Fatal(err)
		}
		wanted, err := windows.SecurityDescriptorFromString(want)
		if err != nil {
			t.Fatal(err)
		}
		owner, dacl, _ := strings.Cut(sd.String(), "D:")
		wantOwner, wantDACL, _ := strings.Cut(wanted.String(), "D:")
		// The system makes of generic rights those of a file.
		if strings.ReplaceAll(dacl, ";GA;", ";FA;") != strings.ReplaceAll(wantDACL, ";GA;", ";FA;") || !strings.HasPrefix(owner, wantOwner) {
			t.Errorf("%q: %s, want %s", given, sd, wanted)
		}
	}
	var wrong *ringport.ConfigError
	lc := ListenConfig{SecurityDescriptor: "everybody"}
	if l, err := lc.Listen(unused(t)); l != nil || !errors.As(err, &wrong) || wrong.Field != "SecurityDescriptor" {
		t.Errorf("%v, %v", l, err)
	}
}

// TestHazard23NeverWithoutAnInstance: as long as the listener listens there is an instance, so that nobody else can take the name: a client
// that dials again as soon as its connection ends never finds that nobody listens.
func TestHazard23NeverWithoutAnInstance(t *testing.T) {
	l := listen(t, ListenConfig{Backlog: 1})
	serving := conntest.Async(func() (int, error) {
		for {
			c, err := l.Accept()
			if err != nil {
				return 0, err
			}
			c.Close()
		}
	})
	for range 500 {
		c, err := Dial(context.Background(), l.Addr().String())
		if err != nil {
			if errors.Is(err, syscall.EPIPE) { // it was closed before it was ready
				continue
			}
			t.Fatal(err)
		}
		c.Close()
	}
	l.Close()
	serving()
}

// TestDial_AsksAgain: who waits for an instance tries the pipe again from time to time, and goes on waiting.
func TestDial_AsksAgain(t *testing.T) {
	forEach(t, func(t *testing.T, m *ringport.Manager) {
		l := listen(t, ListenConfig{Manager: m, Backlog: 1})
		dial(t, m, l)
		before := m.Stats().Failed
		waiting := conntest.Async(func() (*Conn, error) { return (&Dialer{Manager: m}).Dial(context.Background(), l.Addr().String()) })
		if err := patience.Until(func() error {
			if m.Stats().Failed == before {
				return errors.New("it has not tried again")
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		conntest.InFlight(t, m, 1)
		accept(t, l)
		c, err := waiting()
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
	})
}

// TestListen_AfterConnections: a name is in use as long as a connection's server has not closed it. (Wine doesn't wait for clients as well.)
func TestListen_AfterConnections(t *testing.T) {
	l := listen(t, ListenConfig{})
	client, server := dial(t, nil, l), accept(t, l)
	l.Close()
	for _, end := range []*Conn{client, server} {
		if again, err := Listen(l.Addr().String()); again != nil || !errors.Is(err, ErrInUse) {
			t.Errorf("%v, %v", again, err)
		}
		end.Close()
	}
	again, err := Listen(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}

// TestPath: which names there are.
func TestPath(t *testing.T) {
	for name, want := range map[string]string{
		"name": `\\.\pipe\name`, `\\.\pipe\name`: `\\.\pipe\name`, `\\.\PIPE\a\b`: `\\.\PIPE\a\b`, "//./pipe/a/b": `\\.\pipe\a\b`, `\\host\pipe\name`: `\\host\pipe\name`,
		"": "", `\\.\pipe\`: "", `\\.\pipe`: "", `\\.\COM1`: "", "/tmp/socket": "", `a\b`: "", "a/b": "", "a\x00b": "", `\\\pipe\name`: "",
	} {
		got, err := Path(name)
		if got != want || (err == nil) != (want != "") || err != nil && !errors.Is(err, ringport.ErrInvalidAddress) {
			t.Errorf("%q: %q, %v; want %q", name, got, err, want)
		}
	}
	if l, err := Listen(`\\host\pipe\name`); l != nil || !errors.Is(err, ringport.ErrInvalidAddress) {
		t.Errorf("on another machine: %v, %v", l, err)
	}
}
