package main

import (
	"golang.org/x/sys/windows"

	"github.com/ringport/ringport"
	"github.com/ringport/ringport/internal/win32"
)

// probePort asks the system for what the driver can make use of. See package iocp.
func probePort() *portFindings {
	f := &portFindings{Features: map[string]bool{portAlarm: hasHighResolutionTimers(), portWaits: portsCanBeWaitedFor(),
		portWaitPackets: windows.NewLazySystemDLL("ntdll.dll").NewProc("NtAssociateWaitCompletionPacket").Find() == nil}}
	f.Wine, _ = win32.Wine()
	f.Features[portSkip], f.Features[portDetach] = probeHandle()
	return f
}

func hasHighResolutionTimers() bool {
	timer, err := win32.CreateWaitableTimerEx(nil, nil, win32.TimerHighResolution, windows.SYNCHRONIZE)
	if err == nil {
		windows.CloseHandle(timer)
	}
	return err == nil
}

func portsCanBeWaitedFor() bool {
	m, err := ringport.New(ringport.Config{CallerDriven: true})
	if err != nil {
		return false
	}
	defer m.Close()
	_, ok := m.Pollable()
	return ok
}

// probeHandle puts this program's own file on a port and takes it away again.
func probeHandle() (skips, detaches bool) {
	path := make([]uint16, 1<<15)
	if n, err := windows.GetModuleFileName(0, &path[0], uint32(len(path))); err != nil || int(n) >= len(path) {
		return false, false
	}
	h, err := windows.CreateFile(&path[0], windows.GENERIC_READ, windows.FILE_SHARE_READ|windows.FILE_SHARE_DELETE, nil, windows.OPEN_EXISTING,
		windows.FILE_FLAG_OVERLAPPED, 0)
	if err != nil {
		return false, false
	}
	defer windows.CloseHandle(h)
	port, err := windows.CreateIoCompletionPort(h, 0, 0, 0)
	if err != nil {
		return false, false
	}
	defer windows.CloseHandle(port)
	detaches = win32.Detach(h) == nil
	return windows.SetFileCompletionNotificationModes(h, windows.FILE_SKIP_COMPLETION_PORT_ON_SUCCESS) == nil, detaches
}
