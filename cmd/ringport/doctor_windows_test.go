package main

import (
	"strings"
	"testing"

	"github.com/ringport/ringport"
	"github.com/ringport/ringport/internal/win32"
)

// Doctor says the same as the library, what the system can do, and whether it is Windows.
func TestDoctor(t *testing.T) {
	d, _ := diagnosedAs(t)
	if d.Backend != ringport.BackendIOCP {
		t.Errorf("doctor says %s (%s)", d.Backend, d.Why)
	}
	if d.Processors < 1 || d.GoMaxProcs < 1 || d.Ring != nil || d.Port == nil || len(d.Port.Features) != len(portFeatures) {
		t.Fatalf("implausible: %+v", d)
	}
	for _, p := range portFeatures {
		has, said := d.Port.Features[p.name]
		if !said {
			t.Errorf("nothing is said of %s", p.name)
		}
		// Every Windows that Go runs on has them all, and Wine 10 all but two.
		if missing := d.Port.Wine != "" && (p.name == portDetach || p.name == portWaitPackets); has == missing {
			t.Errorf("%s: %v", p.name, has)
		}
	}
	text := mustRun(t, "", "doctor")
	for _, want := range []string{"Backend     iocp (best available)", "System      ", "Windows ", "(10.0.", "Completion ports", "Advice"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	version, host := win32.Wine()
	if d.Port.Wine != version || strings.Contains(text, "Wine") != (version != "") || !strings.Contains(text, host) || hasAdvice(d, "Wine", version) != (version != "") {
		t.Errorf("Wine %q on %q, and doctor says\n%s", version, host, text)
	}
}

func TestDoctorChosenBackend(t *testing.T) {
	d := diagnosed(t, 0, ringport.BackendVariable+"="+ringport.BackendIOCP)
	if d.Backend != ringport.BackendIOCP || !strings.Contains(d.Why, ringport.BackendVariable) || !hasAdvice(d, ringport.BackendVariable+"="+ringport.BackendIOCP) {
		t.Errorf("%+v", d)
	}
	d = diagnosed(t, exitFailed, ringport.BackendVariable+"="+ringport.BackendPool)
	if d.Backend != "" || !strings.Contains(d.Why, "not on this operating system") {
		t.Errorf("%+v", d)
	}
}

// The machine is described by what the system has of it.
func TestMachine(t *testing.T) {
	facts := map[string]string{}
	for _, f := range machineFacts() {
		facts[f.Name] = f.Value
	}
	if !strings.Contains(facts["System"], "Windows") || !strings.Contains(facts["Processors"], " × ") || !strings.HasSuffix(facts["Memory"], "iB") {
		t.Errorf("%q", facts)
	}
	if n := memoryBytes(); n < 1<<28 || n > 1<<50 {
		t.Errorf("%d bytes of memory", n)
	}
}
