package main

import (
	"os"
	"strings"
	"syscall"
	"testing"

	"github.com/ringport/ringport"
	"github.com/ringport/ringport/internal/driver"
)

// Doctor says the same as the library, whatever this system has.
func TestDoctor(t *testing.T) {
	d, s := diagnosedAs(t)
	if d.Ring == nil || d.Ring.Usable != (s.Backend == ringport.BackendIOUring) {
		t.Fatalf("io_uring: %+v, and the backend is %s", d.Ring, s.Backend)
	}
	if d.Ring.Usable && (!d.Ring.Operations["read"] || !d.Ring.Features["NODROP"] || len(d.Ring.Threaded) == 0 || len(d.Ring.Driven) == 0) {
		t.Errorf("io_uring is usable, and has %+v", d.Ring)
	}
	if d.Processors < 1 || d.GoMaxProcs < 1 || len(d.Limits) != 3 || d.Limits[1].Soft < 1 {
		t.Errorf("implausible: %+v", d)
	}
	text := mustRun(t, "", "doctor")
	for _, want := range []string{"Backend     " + s.Backend + " (" + s.Why + ")", "Linux ", "kernel.io_uring_disabled", "seccomp", "memlock", "descriptors", "Advice"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// Every kind of operation that the library has is in doctor's list, but for raw entries, which have no opcode of their own.
func TestDoctorKnowsEveryOperation(t *testing.T) {
	for k := range driver.KindCount {
		if _, known := ringOperations[k.String()]; !known && k != driver.Raw {
			t.Errorf("doctor does not know %v", k)
		}
	}
}

func TestDoctorBackendChosen(t *testing.T) {
	usable := diagnosed(t, 0).Ring.Usable
	d := diagnosed(t, 0, "RINGPORT_BACKEND=pool")
	if d.Backend != ringport.BackendPool || !strings.Contains(d.Why, ringport.BackendVariable) {
		t.Errorf("backend %s (%s)", d.Backend, d.Why)
	}
	if d.Ring.Usable != usable || !hasAdvice(d, "RINGPORT_BACKEND=pool") || usable && !hasAdvice(d, "io_uring would win") {
		t.Errorf("usable %v (without the variable: %v), advice %q", d.Ring.Usable, usable, d.Advice)
	}
	d = diagnosed(t, exitFailed, "RINGPORT_BACKEND=steam")
	if d.Backend != "" || !strings.Contains(d.Why, "steam") {
		t.Errorf("backend %q (%s)", d.Backend, d.Why)
	}
}

// Without io_uring doctor says why, and what to do.
func TestDoctorDenied(t *testing.T) {
	for name, errno := range map[string]syscall.Errno{"EPERM": syscall.EPERM, "ENOSYS": syscall.ENOSYS} {
		d := diagnosed(t, 0, denyVariable+"="+name)
		if d.Backend != ringport.BackendPool || !strings.Contains(d.Why, "io_uring is not available") {
			t.Errorf("%s: backend %s (%s)", name, d.Backend, d.Why)
		}
		if d.Ring.Usable || d.Ring.Killed || d.Ring.Errno != int(errno) || d.Ring.Seccomp != "2" {
			t.Errorf("%s: %+v", name, d.Ring)
		}
		if !hasAdvice(d, "io_uring_setup, io_uring_enter and io_uring_register") {
			t.Errorf("%s: advice %q", name, d.Advice)
		}
	}
}

// Where the attempt alone ends the process, doctor lives and says so; with the environment variable it finds the pool.
func TestDoctorKilled(t *testing.T) {
	d := diagnosed(t, exitFailed, denyVariable+"=KILL")
	if d.Backend != "" || !d.Ring.Killed || !strings.Contains(d.Why, "bad system call") || !hasAdvice(d, "RINGPORT_BACKEND=pool") {
		t.Errorf("backend %q (%s), %+v, advice %q", d.Backend, d.Why, d.Ring, d.Advice)
	}
	d = diagnosed(t, 0, denyVariable+"=KILL", "RINGPORT_BACKEND=pool")
	if d.Backend != ringport.BackendPool || !d.Ring.Killed {
		t.Errorf("backend %q (%s), %+v", d.Backend, d.Why, d.Ring)
	}
}

// What each obstacle leads to.
func TestAdvice(t *testing.T) {
	t.Setenv(ringport.BackendVariable, "")
	os.Unsetenv(ringport.BackendVariable)
	all := map[string]bool{}
	for name := range ringOperations {
		all[name] = true
	}
	set := func(drop string, names ...string) map[string]bool {
		m := map[string]bool{}
		for _, n := range names {
			m[n] = n != drop
		}
		return m
	}
	old := &ringFindings{Usable: true, Operations: map[string]bool{"truncate": false}, Threaded: set("", "SUBMIT_ALL", "COOP_TASKRUN", "NO_SQARRAY"),
		Driven: set("DEFER_TASKRUN", "SUBMIT_ALL", "SINGLE_ISSUER", "DEFER_TASKRUN", "NO_SQARRAY")}
	for _, test := range []struct {
		name string
		d    diagnosis
		want string // empty: no advice
	}{
		{"nothing", diagnosis{Ring: &ringFindings{Usable: true, Operations: all, Threaded: old.Threaded,
			Driven: set("", "SUBMIT_ALL", "SINGLE_ISSUER", "DEFER_TASKRUN", "NO_SQARRAY")}}, ""},
		{"sysctl 2", diagnosis{Ring: &ringFindings{Errno: int(syscall.EPERM), Disabled: "2"}}, "sysctl -w kernel.io_uring_disabled=0"},
		{"sysctl 1", diagnosis{Ring: &ringFindings{Errno: int(syscall.EPERM), Disabled: "1"}}, "kernel.io_uring_group"},
		{"seccomp", diagnosis{Ring: &ringFindings{Errno: int(syscall.EPERM), Disabled: "0", Seccomp: "2"}}, "--security-opt seccomp=PROFILE.json"},
		{"neither", diagnosis{Ring: &ringFindings{Errno: int(syscall.EPERM), Disabled: "0", Seccomp: "0"}}, "SELinux"},
		{"no io_uring", diagnosis{Ring: &ringFindings{Errno: int(syscall.ENOSYS), Seccomp: "0"}}, "Linux 5.12 or later"},
		{"memory", diagnosis{Ring: &ringFindings{Errno: int(syscall.ENOMEM)}}, "ulimit -l"},
		{"descriptors", diagnosis{Ring: &ringFindings{Errno: int(syscall.EMFILE)}}, "ulimit -n"},
		{"older kernel", diagnosis{Ring: old}, "DEFER_TASKRUN (Linux 6.1)"},
		{"no opcode", diagnosis{Ring: old}, "run as system calls on threads"},
		{"little memlock", diagnosis{Limits: []limit{{Name: memlock, Unit: "bytes", Soft: 64 << 10, Hard: 64 << 10}}}, "pin 64 KiB"},
		{"no memlock limit", diagnosis{Limits: []limit{{Name: memlock, Unit: "bytes", Soft: -1, Hard: -1}}}, ""},
		{"few descriptors", diagnosis{Limits: []limit{{Name: descriptors, Soft: 256, Hard: 256}}}, "At most 256 descriptors"},
	} {
		advice := test.d.advise()
		if text := strings.Join(advice, "\n"); !strings.Contains(text, test.want) || (test.want == "") != (text == "") {
			t.Errorf("%s: %q", test.name, text)
		}
	}
}
