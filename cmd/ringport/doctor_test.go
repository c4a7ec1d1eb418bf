package main

import (
	"encoding/json"
	"strings"
	"testing"
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
