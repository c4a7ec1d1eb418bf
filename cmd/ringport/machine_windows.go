package main

import (
	"fmt"
	"strings"
	"syscall"

	"golang.org/x/sys/windows"
	"golang.org/x/sys/windows/registry"

	"github.com/ringport/ringport/internal/win32"
)

// firstWindows11 is the build that calls itself 11. Its version number has stayed 10.0.
const firstWindows11 = 22000

// kernelVersion is the system's name and version: Windows 11 23H2 (10.0.22631.4460). See RtlGetVersion.
func kernelVersion() string {
	const workstation = 1 // VER_NT_WORKSTATION
	v := windows.RtlGetVersion()
	name := "Windows"
	switch {
	case v.ProductType != workstation:
		name = registryString(currentVersion, "ProductName") // such as Windows Server 2022 Standard
	case v.MajorVersion == 10 && v.BuildNumber >= firstWindows11:
		name += " 11"
	case v.MajorVersion == 10:
		name += " 10"
	}
	if release := registryString(currentVersion, "DisplayVersion"); release != "" {
		name += " " + release
	}
	number := fmt.Sprintf("%d.%d.%d", v.MajorVersion, v.MinorVersion, v.BuildNumber)
	if revision, ok := registryNumber(currentVersion, "UBR"); ok {
		number += fmt.Sprintf(".%d", revision)
	}
	name += " (" + number + ")"
	if version, host := win32.Wine(); version != "" {
		return "Wine " + version + " on " + host + ", as " + name
	}
	return name
}

const (
	currentVersion = `SOFTWARE\Microsoft\Windows NT\CurrentVersion`
	firstProcessor = `HARDWARE\DESCRIPTION\System\CentralProcessor\0`
)

// registryString is a value of the local machine, empty if it is not there.
func registryString(key, name string) string {
	k, err := registry.OpenKey(registry.LOCAL_MACHINE, key, registry.QUERY_VALUE)
	if err != nil {
		return ""
	}
	defer k.Close()
	s, _, err := k.GetStringValue(name)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(s)
}

func registryNumber(key, name string) (uint64, bool) {
	k, err := registry.OpenKey(registry.LOCAL_MACHINE, key, registry.QUERY_VALUE)
	if err != nil {
		return 0, false
	}
	defer k.Close()
	n, _, err := k.GetIntegerValue(name)
	return n, err == nil
}

// cpuModel is the processor's name.
func cpuModel() string { return registryString(firstProcessor, "ProcessorNameString") }

// memoryBytes is how much memory the system has. See GlobalMemoryStatusEx.
func memoryBytes() int64 {
	m, err := win32.MemoryStatus()
	if err != nil {
		return 0
	}
	return int64(m.TotalPhysical)
}

// quoteWord is a word of a command line as the program that is started takes it apart.
func quoteWord(w string) string { return syscall.EscapeArg(w) }

// systemNote is what to mind about figures of this system.
func systemNote() string {
	if version, _ := win32.Wine(); version != "" {
		return "This is Wine: " + wineAdvice
	}
	return ""
}
