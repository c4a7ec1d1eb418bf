//go:build unix && !linux

package drivertest

import (
	"syscall"

	"github.com/ringport/ringport/internal/driver"
)

func platformTests() []test {
	var all []test
	for _, family := range [][]test{rwTests, syncTests, pathTests, waitTests} {
		all = append(all, family...)
	}
	return all
}

// sameTimes compares no more than is there: each system names the fields of Stat_t differently.
func sameTimes(f *fixture, name string, s *driver.FileStat, want *syscall.Stat_t) {
	f.Helper()
	if s.ChangeTime.IsZero() || s.AccessTime.IsZero() {
		f.Errorf("%s: changed %v, accessed %v", name, s.ChangeTime, s.AccessTime)
	}
}
