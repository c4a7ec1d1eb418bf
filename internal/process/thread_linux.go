package process

import (
	"runtime"
	"strings"
	"sync"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
)

// thread is a thread that is blocked in waitid(2) and closes a pipe when the child is over: what stands in for a pidfd.
//
// A signal is to end the wait sooner. Go installs its handlers with SA_RESTART, so that the kernel would start the call again, and
// waitid takes its arguments by value, so that nothing could be changed for it to see (as internal/driver/pool does with open). So the
// handler of one signal that is nobody's loses that flag; the handler itself stays Go's, which takes strays. Only this thread is sent the
// signal. SIGCHLD is left alone: it is the program's, it is not sent for every child, and many make one.
type thread struct {
	mu       sync.Mutex
	id       int // the thread's number while it waits, else 0
	stopping bool
	ended    chan struct{}
}

// interruptSignal is the last real-time signal, SIGRTMAX. C libraries use the first ones.
const interruptSignal = unix.Signal(64)

// openThread is Open where pidfds can't be had.
func openThread(pid int) (*Exit, error) {
	x := &Exit{idType: unix.P_PID, id: pid, owned: true}
	if _, err := x.wait(unix.WEXITED | unix.WNOWAIT | unix.WNOHANG); err != nil {
		if err == unix.ECHILD && unix.Kill(pid, 0) != unix.ESRCH {
			err = driver.ErrUnsupported
		} else if err == unix.ECHILD {
			err = unix.ESRCH
		}
		return nil, err
	}
	if !interruptible() {
		return nil, driver.ErrUnsupported
	}
	var p [2]int
	if err := unix.Pipe2(p[:], unix.O_CLOEXEC); err != nil {
		return nil, err
	}
	x.Handle, x.thread = Handle(p[0]), &thread{ended: make(chan struct{})}
	go x.thread.run(pid, p[1])
	return x, nil
}

// run waits for the child, and closes w. The status is left to be taken.
func (t *thread) run(pid, w int) {
	defer close(t.ended)
	defer unix.Close(w)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for t.enter() {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		t.leave()
		if err != unix.EINTR {
			return
		}
	}
}

// enter reports whether the thread is to wait, and lets it be interrupted until leave.
func (t *thread) enter() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	if !t.stopping {
		t.id = unix.Gettid()
	}
	return !t.stopping
}

func (t *thread) leave() {
	t.mu.Lock()
	t.id = 0
	t.mu.Unlock()
}

// stop ends the wait and the thread. It asks again and again: a signal that comes before the call is no interruption. If the program has
// taken the signal for itself meanwhile and ignores it, the thread stays until the child is over.
func (t *thread) stop() {
	const longest = 10 * time.Millisecond
	again := time.NewTimer(0)
	defer again.Stop()
	for pause := 50 * time.Microsecond; ; pause = min(2*pause, longest) {
		select {
		case <-t.ended:
			return
		case <-again.C:
		}
		t.mu.Lock()
		t.stopping = true
		if t.id != 0 {
			if !interruptible() {
				t.mu.Unlock()
				return
			}
			unix.Tgkill(unix.Getpid(), t.id, interruptSignal)
		}
		t.mu.Unlock()
		again.Reset(pause)
	}
}

// interruptible makes interruptSignal end system calls for good, and reports whether it does. It does not where it has no handler: in
// a C program's library, or when the program ignores it.
func interruptible() bool {
	if strings.HasPrefix(runtime.GOARCH, "mips") { // another layout
		return false
	}
	// struct sigaction of the kernel: handler, flags, on some architectures restorer, and a mask of 64 bits. Rule: the pointers are
	// converted in the calls' own argument lists.
	const restart, maskBytes = 0x10000000, 8
	var action [8]uintptr
	if _, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(interruptSignal), 0, uintptr(unsafe.Pointer(&action)), maskBytes,
		0, 0); errno != 0 || action[0] <= 1 { // SIG_DFL, SIG_IGN
		return false
	}
	if action[1]&restart == 0 {
		return true
	}
	action[1] &^= restart
	_, _, errno := unix.RawSyscall6(unix.SYS_RT_SIGACTION, uintptr(interruptSignal), uintptr(unsafe.Pointer(&action)), 0, maskBytes, 0, 0)
	return errno == 0
}
