package main

import (
	"bytes"
	"errors"
	"os"
	"strings"
	"syscall"

	"github.com/ringport/ringport/internal/driver"
	"github.com/ringport/ringport/internal/ring"
)

// setupFlag is a flag of io_uring_setup(2) that the driver likes to have.
type setupFlag struct {
	name     string
	bit      uint32
	since    string // the Linux release that brought it
	threaded bool   // wanted for a threaded manager
	driven   bool   // wanted for a caller-driven one
}

var setupFlags = []setupFlag{
	{"SUBMIT_ALL", ring.SetupSubmitAll, "5.18", true, true},
	{"COOP_TASKRUN", ring.SetupCoopTaskrun, "5.19", true, false},
	{"SINGLE_ISSUER", ring.SetupSingleIssuer, "6.0", false, true},
	{"DEFER_TASKRUN", ring.SetupDeferTaskrun, "6.1", false, true},
	{"NO_SQARRAY", ring.SetupNoSQArray, "6.6", true, true},
}

var ringFeatures = map[string]uint32{
	"NODROP": ring.FeatNoDrop, "EXT_ARG": ring.FeatExtArg, "RW_CUR_POS": ring.FeatRWCurPos, "FAST_POLL": ring.FeatFastPoll,
	"NATIVE_WORKERS": ring.FeatNativeWorkers, "CQE_SKIP": ring.FeatCQESkip,
}

// ringOperation is an opcode that a kind of operation is done with.
var ringOperations = map[string]uint8{
	driver.Nop.String(): ring.OpNop, driver.Read.String(): ring.OpRead, driver.Write.String(): ring.OpWrite,
	driver.Readv.String(): ring.OpReadv, driver.Writev.String(): ring.OpWritev, driver.Splice.String(): ring.OpSplice,
	driver.Fsync.String(): ring.OpFsync, driver.Fdatasync.String(): ring.OpFsync, driver.Fallocate.String(): ring.OpFallocate,
	driver.Truncate.String(): ring.OpFtruncate, driver.Fadvise.String(): ring.OpFadvise, driver.Open.String(): ring.OpOpenat,
	driver.Close.String(): ring.OpClose, driver.Stat.String(): ring.OpStatx, driver.Unlink.String(): ring.OpUnlinkat,
	driver.Rename.String(): ring.OpRenameat, driver.Mkdir.String(): ring.OpMkdirat, driver.Link.String(): ring.OpLinkat,
	driver.Recv.String(): ring.OpRecv, driver.Send.String(): ring.OpSend, driver.RecvMsg.String(): ring.OpRecvMsg,
	driver.SendMsg.String(): ring.OpSendMsg, driver.Socket.String(): ring.OpSocket, driver.Bind.String(): ring.OpBind,
	driver.Listen.String(): ring.OpListen, driver.Accept.String(): ring.OpAccept, driver.Connect.String(): ring.OpConnect,
	driver.Shutdown.String():         ring.OpShutdown,
	driver.Poll.String():             ring.OpPollAdd,
	"read into a registered buffer":  ring.OpReadFixed,
	"write from a registered buffer": ring.OpWriteFixed,
	"cancel":                         ring.OpAsyncCancel,
}

// probeRing opens rings of both sorts and asks what they can do.
func probeRing() *ringFindings {
	f := &ringFindings{Disabled: sysctlDisabled(), Seccomp: statusField("Seccomp")}
	threaded, err := ring.Open(ring.Options{Entries: 8})
	if err != nil {
		return f.refused(err)
	}
	defer threaded.Close()
	driven, err := ring.Open(ring.Options{Entries: 8, Owned: true})
	if err != nil {
		return f.refused(err)
	}
	defer driven.Close()
	codes, err := threaded.Probe()
	if err != nil {
		return f.refused(err)
	}
	f.Usable = true
	f.Threaded, f.Driven, f.Features, f.Operations = map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, s := range setupFlags {
		if s.threaded {
			f.Threaded[s.name] = threaded.Flags&s.bit != 0
		}
		if s.driven {
			f.Driven[s.name] = driven.Flags&s.bit != 0
		}
	}
	for name, bit := range ringFeatures {
		f.Features[name] = threaded.Features&bit != 0
	}
	for name, code := range ringOperations {
		f.Operations[name] = codes.Has(code)
	}
	f.Operations["send without a copy"] = ring.HasZeroCopy(threaded.Features, codes)
	return f
}

func (f *ringFindings) refused(err error) *ringFindings {
	f.Reason = "io_uring_setup: " + err.Error()
	var errno syscall.Errno
	if errors.As(err, &errno) {
		f.Errno = int(errno)
	}
	return f
}

// deadProbe is what the end of the probe says about io_uring: nil if nothing.
func deadProbe(s *os.ProcessState) *ringFindings {
	status, ok := s.Sys().(syscall.WaitStatus)
	if !ok || !status.Signaled() {
		return nil
	}
	return &ringFindings{Killed: true, Disabled: sysctlDisabled(), Seccomp: statusField("Seccomp"),
		Reason: "the system ends a process that asks for io_uring (signal: " + status.Signal().String() + ")"}
}

// sysctlDisabled is kernel.io_uring_disabled: 0, 1 or 2, empty before Linux 6.6.
func sysctlDisabled() string {
	data, _ := os.ReadFile("/proc/sys/kernel/io_uring_disabled")
	return strings.TrimSpace(string(data))
}

// statusField is a field of /proc/self/status.
func statusField(name string) string {
	status, _ := os.ReadFile("/proc/self/status")
	_, rest, _ := bytes.Cut(status, []byte("\n"+name+":"))
	line, _, _ := bytes.Cut(rest, []byte("\n"))
	return string(bytes.TrimSpace(line))
}
