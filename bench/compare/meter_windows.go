package main

import (
	"time"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport/internal/win32"
)

// now is the performance counter's time: under Wine, time.Now stands still for up to 26 ms at times.
func now() time.Duration {
	var count, perSecond int64
	win32.QueryPerformanceCounter(&count)
	win32.QueryPerformanceFrequency(&perSecond)
	return time.Duration(float64(count) / float64(perSecond) * 1e9)
}

func cpuTime() time.Duration {
	var created, ended, kernel, user windows.Filetime
	if err := windows.GetProcessTimes(windows.CurrentProcess(), &created, &ended, &kernel, &user); err != nil {
		return 0
	}
	return ticks(kernel) + ticks(user)
}

// ticks is a FILETIME that is a duration, in units of 100 ns.
func ticks(t windows.Filetime) time.Duration {
	return time.Duration(int64(t.HighDateTime)<<32|int64(t.LowDateTime)) * 100
}
