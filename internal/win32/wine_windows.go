package win32

import "golang.org/x/sys/windows"

// UnderWine reports whether this is not Windows itself.
func UnderWine() bool { return procwine_get_version.Find() == nil }

// Wine is the version of Wine that this process runs under, and the system below that, empty on Windows itself.
func Wine() (version, host string) {
	if !UnderWine() || procwine_get_host_version.Find() != nil {
		return "", ""
	}
	var system, release uintptr
	wineGetHostVersion(&system, &release)
	return text(wineGetVersion()), text(system) + " " + text(release)
}

// text copies a C string of the system's. A kernel call does it, since a number is no pointer for Go.
func text(from uintptr) string {
	var buf [128]byte
	if from == 0 || lstrcpyn(&buf[0], from, int32(len(buf))) == 0 {
		return ""
	}
	return windows.ByteSliceToString(buf[:])
}
