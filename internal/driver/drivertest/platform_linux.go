package drivertest

import (
	"io/fs"
	"syscall"
	"time"

	"github.com/ringport/ringport/internal/driver"
)

func platformTests() []test {
	var all []test
	for _, family := range [][]test{rwTests, syncTests, pathTests, waitTests, signalTests, linuxTests} {
		all = append(all, family...)
	}
	return all
}

func sameTimes(f *fixture, name string, s *driver.FileStat, want *syscall.Stat_t) {
	f.Helper()
	if !s.ChangeTime.Equal(time.Unix(want.Ctim.Unix())) {
		f.Errorf("%s: changed %v, os says %v", name, s.ChangeTime, time.Unix(want.Ctim.Unix()))
	}
	// Reading the directory or following the link may have moved the access time forward, never backward.
	if s.AccessTime.IsZero() || s.AccessTime.After(time.Unix(want.Atim.Unix())) && s.Mode.Type() != fs.ModeSymlink {
		f.Errorf("%s: accessed %v, os says %v", name, s.AccessTime, time.Unix(want.Atim.Unix()))
	}
}
