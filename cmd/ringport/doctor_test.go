package main

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/ringport/ringport"
)

// diagnosed runs doctor --json and returns what it says.
func diagnosed(t *testing.T, wantCode int, env ...string) (d diagnosis) {
	t.Helper()
	stdout, stderr, code := runCommand(t, "", env, "doctor", "--json")
	if code != wantCode {
		t.Fatalf("doctor with %v: exit code %d, not %d\n%s%s", env, code, wantCode, stdout, stderr)
	}
	if err := json.Unmarshal([]byte(stdout), &d); err != nil {
		t.Fatalf("%v in %s", err, stdout)
	}
	return d
}

// diagnosedAs runs doctor, which must say the same as the library, and returns both.
func diagnosedAs(t *testing.T) (d diagnosis, s ringport.Stats) {
	t.Helper()
	t.Setenv(ringport.BackendVariable, "")
	m, err := ringport.New(ringport.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	d, s = diagnosed(t, 0), m.Stats()
	if d.Backend != s.Backend || d.Why != s.Why {
		t.Errorf("doctor says %s (%s), the library %s (%s)", d.Backend, d.Why, s.Backend, s.Why)
	}
	return d, s
}

func hasAdvice(d diagnosis, words ...string) bool {
	for _, a := range d.Advice {
		all := true
		for _, w := range words {
			all = all && strings.Contains(a, w)
		}
		if all {
			return true
		}
	}
	return false
}
