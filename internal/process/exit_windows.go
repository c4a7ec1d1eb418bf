package process

import (
	"math"
	"time"

	"golang.org/x/sys/windows"
)

// Exit tells when a process is over.
type Exit struct {
	Handle Handle // it is signalled when the process is over

	pid   int
	owned bool
}

// Open finds the process with the given number. The error is ERROR_INVALID_PARAMETER if there is none, ERROR_ACCESS_DENIED if it is not
// ours to wait for.
func Open(pid int) (*Exit, error) {
	if pid <= 0 || uint64(pid) > math.MaxUint32 {
		return nil, windows.ERROR_INVALID_PARAMETER
	}
	h, err := windows.OpenProcess(windows.SYNCHRONIZE|windows.PROCESS_QUERY_LIMITED_INFORMATION, false, uint32(pid))
	if err != nil {
		return nil, err
	}
	return &Exit{Handle(h), pid, true}, nil
}

// Of is the process that h stands for. It stays the caller's, and needs SYNCHRONIZE and PROCESS_QUERY_LIMITED_INFORMATION.
func Of(h Handle) (*Exit, error) {
	pid, err := windows.GetProcessId(windows.Handle(h))
	return &Exit{h, int(pid), false}, err
}

// Over reports whether the process is over.
func (x *Exit) Over() bool {
	state, err := windows.WaitForSingleObject(windows.Handle(x.Handle), 0)
	return err == nil && state == windows.WAIT_OBJECT_0
}

// Status is how the process, which is over, ended. Whoever has a handle may ask.
func (x *Exit) Status() (Status, error) {
	s := Status{PID: x.pid}
	var code uint32
	if err := windows.GetExitCodeProcess(windows.Handle(x.Handle), &code); err != nil {
		return s, err
	}
	s.Code = int(code)
	var created, exited, system, user windows.Filetime
	err := windows.GetProcessTimes(windows.Handle(x.Handle), &created, &exited, &system, &user)
	s.UserTime, s.SystemTime = duration(user), duration(system)
	return s, err
}

// duration of what is counted in units of 100 ns.
func duration(t windows.Filetime) time.Duration {
	return time.Duration(int64(t.HighDateTime)<<32+int64(t.LowDateTime)) * 100
}

// Close gives back what Open has taken; the process lives on.
func (x *Exit) Close() {
	if x.owned {
		windows.CloseHandle(windows.Handle(x.Handle))
	}
}
