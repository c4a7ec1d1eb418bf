package main

import (
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/ringport/ringport"
)

// Names of limits that advice is about.
const (
	memlock     = "memlock"
	descriptors = "descriptors"
)

const (
	littleMemlock     = 8 << 20 // the default since Linux 5.16
	littleDescriptors = 4096
)

// write prints d for a reader.
func (d *diagnosis) write(out io.Writer) error {
	var s strings.Builder
	if d.Backend == "" {
		fmt.Fprintf(&s, "Backend     none works: %s\n", strings.TrimPrefix(d.Why, "ringport: "))
	} else {
		fmt.Fprintf(&s, "Backend     %s (%s)\n", d.Backend, d.Why)
	}
	fmt.Fprintf(&s, "System      %s\n", d.System)
	fmt.Fprintf(&s, "Processors  %d, GOMAXPROCS %d\n", d.Processors, d.GoMaxProcs)
	if d.Ring != nil {
		d.Ring.write(&s)
	}
	if d.Port != nil {
		d.Port.write(&s)
	}
	if len(d.Limits) > 0 {
		s.WriteString("\nLimits\n")
	}
	for _, l := range d.Limits {
		fmt.Fprintf(&s, "  %-12s %s, at most %s: %s\n", l.Name, l.show(l.Soft), l.show(l.Hard), l.About)
	}
	s.WriteString("\nAdvice\n")
	for _, a := range d.Advice {
		fmt.Fprintf(&s, "  - %s\n", a)
	}
	if len(d.Advice) == 0 {
		s.WriteString("  Nothing is in the way.\n")
	}
	_, err := io.WriteString(out, s.String())
	return err
}

func (l limit) show(v int64) string {
	switch {
	case v < 0:
		return "unlimited"
	case l.Unit == "bytes":
		return formatSize(v)
	}
	return strconv.FormatInt(v, 10)
}

func (f *ringFindings) write(s *strings.Builder) {
	s.WriteString("\nio_uring\n")
	if !f.Usable {
		fmt.Fprintf(s, "  not usable    %s\n", f.Reason)
	} else {
		fmt.Fprintf(s, "  usable        yes\n")
		fmt.Fprintf(s, "  threaded      %s\n", showSet(f.Threaded))
		fmt.Fprintf(s, "  caller-driven %s\n", showSet(f.Driven))
		fmt.Fprintf(s, "  features      %s\n", showSet(f.Features))
		fmt.Fprintf(s, "  operations    %s\n", showOperations(f.Operations))
	}
	disabled := f.Disabled
	if disabled == "" {
		disabled = "not there (before Linux 6.6)"
	}
	fmt.Fprintf(s, "  sysctl        kernel.io_uring_disabled: %s\n", disabled)
	mode := map[string]string{"0": "none", "1": "strict", "2": "filter"}[f.Seccomp]
	if mode == "" {
		mode = "unknown"
	}
	fmt.Fprintf(s, "  seccomp       %s\n", mode)
}

// portFeatures are what doctor asks completion ports for, in the order in which it shows them.
var portFeatures = []struct{ name, about, otherwise string }{
	{portSkip, "a transfer of a file or pipe that is done at once posts no packet", "each transfer costs a packet"},
	{portAlarm, "timeouts are exact to a millisecond", "timeouts are up to 16 ms late: Windows 10 1803 or later is needed"},
	{portWaits, "the port can be waited for like an event: Pollable", "Pollable reports that there is no such handle"},
	{portDetach, "a handle can leave its port: Detach", "Detach fails with ErrUnsupported: Windows 8.1 or later is needed"},
	{portWaitPackets, "the system posts a packet for an event, process or timer", "a thread has to wait for these: Windows 8 or later is needed"},
}

// The names of portFeatures.
const (
	portSkip        = "skip-on-success"
	portAlarm       = "high-resolution-timers"
	portWaits       = "waitable"
	portDetach      = "detach"
	portWaitPackets = "wait-packets"
)

func (f *portFindings) write(s *strings.Builder) {
	s.WriteString("\nCompletion ports\n")
	for _, p := range portFeatures {
		answer, about := "yes", p.about
		if !f.Features[p.name] {
			answer, about = "no ", p.otherwise
		}
		fmt.Fprintf(s, "  %-23s %s  %s\n", p.name, answer, about)
	}
}

// showSet lists what is there, and then what is missing.
func showSet(set map[string]bool) string {
	var have, lack []string
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if set[name] {
			have = append(have, name)
		} else {
			lack = append(lack, name)
		}
	}
	text := strings.Join(have, ", ")
	if len(lack) > 0 {
		text += "; missing: " + strings.Join(lack, ", ")
	}
	return strings.TrimPrefix(text, "; ")
}

// showOperations lists only what is missing.
func showOperations(set map[string]bool) string {
	var lack []string
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if !set[name] {
			lack = append(lack, name)
		}
	}
	if len(lack) == 0 {
		return fmt.Sprintf("all %d", len(set))
	}
	return fmt.Sprintf("%d of %d; on a thread instead: %s", len(set)-len(lack), len(set), strings.Join(lack, ", "))
}

// wineAdvice is what to mind about figures that were measured there.
const wineAdvice = "each overlapped transfer goes through its server, and files through Linux's cache, so that figures say nothing about Windows"

// advise says what to do about what is in the way.
func (d *diagnosis) advise() (advice []string) {
	if chosen := os.Getenv(ringport.BackendVariable); chosen != "" {
		text := fmt.Sprintf("%s=%s chooses the backend; without it the best one wins.", ringport.BackendVariable, chosen)
		if d.Ring != nil && d.Ring.Usable && chosen == ringport.BackendPool {
			text = fmt.Sprintf("%s=%s chooses the backend; without it io_uring would win, which is usable here.", ringport.BackendVariable, chosen)
		}
		advice = append(advice, text)
	}
	if d.Ring != nil {
		advice = append(advice, d.Ring.advise()...)
	}
	if d.Port != nil && d.Port.Wine != "" {
		advice = append(advice, "This is Wine "+d.Port.Wine+": "+wineAdvice+".")
	}
	for _, l := range d.Limits {
		switch {
		case l.Name == memlock && l.Soft >= 0 && l.Soft < littleMemlock:
			advice = append(advice, fmt.Sprintf("Registered buffers can pin %s at most. More: ulimit -l, LimitMEMLOCK= in a systemd unit, "+
				"--ulimit memlock= for a container, or the capability CAP_IPC_LOCK.", l.show(l.Soft)))
		case l.Name == descriptors && l.Hard >= 0 && l.Hard < littleDescriptors:
			advice = append(advice, fmt.Sprintf("At most %d descriptors can be open. More: ulimit -Hn, LimitNOFILE= in a systemd unit, "+
				"--ulimit nofile= for a container.", l.Hard))
		}
	}
	return advice
}

// The calls that a seccomp profile must let through.
const ringCalls = "io_uring_setup, io_uring_enter and io_uring_register"

func (f *ringFindings) advise() (advice []string) {
	switch {
	case f.Usable:
		return f.adviseNewer()
	case f.Killed:
		return []string{"A seccomp filter ends every process that asks for io_uring: set " + ringport.BackendVariable + "=" + ringport.BackendPool +
			", which is read before anything is tried, or let " + ringCalls + " through."}
	}
	switch syscall.Errno(f.Errno) {
	case syscall.EPERM, syscall.EACCES:
		switch f.Disabled {
		case "2":
			return []string{"io_uring is switched off for everybody; as root: sysctl -w kernel.io_uring_disabled=0"}
		case "1":
			return []string{"io_uring is for the group kernel.io_uring_group and for CAP_SYS_ADMIN alone; as root: sysctl -w kernel.io_uring_disabled=0, " +
				"or sysctl -w kernel.io_uring_group=GID"}
		}
		if f.Seccomp == "2" {
			return []string{"A seccomp filter forbids io_uring, as containers' default profiles do. Let " + ringCalls + " through: " +
				"docker run --security-opt seccomp=PROFILE.json; in Kubernetes a seccompProfile of type Localhost; SystemCallFilter= in a systemd unit."}
		}
		return []string{"Neither the sysctl nor a seccomp filter is in the way: look at the security module's log (SELinux, AppArmor)."}
	case syscall.ENOSYS:
		if f.Seccomp == "2" {
			return []string{"A sandbox answers that there is no io_uring. If the kernel has it (Linux 5.12 or later), let " + ringCalls + " through."}
		}
		return []string{"This kernel has no io_uring: Linux 5.12 or later, built with CONFIG_IO_URING, is needed. gVisor and WSL1 have none."}
	case syscall.ENOMEM:
		return []string{"Before Linux 5.12 the rings count against the memlock limit: raise it (ulimit -l)."}
	case syscall.EMFILE, syscall.ENFILE:
		return []string{"The descriptor table is full: close files or raise the limit (ulimit -n)."}
	}
	return nil
}

// adviseNewer says what a newer kernel would bring.
func (f *ringFindings) adviseNewer() (advice []string) {
	var lack []string
	for _, s := range setupFlags {
		if s.threaded && !f.Threaded[s.name] || s.driven && !f.Driven[s.name] {
			lack = append(lack, s.name+" (Linux "+s.since+")")
		}
	}
	if len(lack) > 0 {
		advice = append(advice, "A newer kernel would make it faster; missing: "+strings.Join(lack, ", ")+".")
	}
	if slices.Contains(slices.Collect(maps.Values(f.Operations)), false) {
		advice = append(advice, "The operations that this kernel's io_uring lacks run as system calls on threads.")
	}
	return advice
}
