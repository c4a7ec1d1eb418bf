package win32

import (
	"unsafe"

	"golang.org/x/sys/windows"
)

// AFD is the driver below Winsock. What it can be asked to poll is documented nowhere, and what every event loop for Windows is built on since
// Windows XP: wepoll, libuv, mio. The names are theirs.

// AFDPoll is AFD_POLL_INFO for one socket. AFD reads it when the call is made, and writes to it until the completion.
type AFDPoll struct {
	Timeout   int64  // in 100 ns; NoTimeout
	Handles   uint32 // in: 1; out: how many are ready
	Exclusive uint32 // 1: ends other polls of the same socket
	Socket    windows.Handle
	Events    uint32 // AFDReceive and so on; in: waited for, out: there
	Status    windows.NTStatus
}

// NoTimeout is AFDPoll.Timeout without one.
const NoTimeout = 1<<63 - 1

// Events of AFDPoll.
const (
	AFDReceive          = 1 << 0
	AFDReceiveExpedited = 1 << 1
	AFDSend             = 1 << 2
	AFDDisconnect       = 1 << 3 // the peer will send no more
	AFDAbort            = 1 << 4 // the peer has reset the connection
	AFDLocalClose       = 1 << 5 // our own end was closed
	AFDAccept           = 1 << 7
	AFDConnectFail      = 1 << 8
)

// OpenAFD opens a handle to send polls to, of any number of sockets.
func OpenAFD() (h windows.Handle, err error) {
	name, err := windows.NewNTUnicodeString(`\Device\Afd\ringport`) // the last part is anybody's choice
	if err != nil {
		return 0, err
	}
	object := windows.OBJECT_ATTRIBUTES{ObjectName: name}
	object.Length = uint32(unsafe.Sizeof(object))
	var iosb windows.IO_STATUS_BLOCK
	const share = windows.FILE_SHARE_READ | windows.FILE_SHARE_WRITE
	err = windows.NtCreateFile(&h, windows.SYNCHRONIZE, &object, &iosb, nil, 0, share, windows.FILE_OPEN, 0, 0, 0)
	return h, errno(err)
}

// PollAFD is IOCTL_AFD_POLL: an overlapped call on a handle of OpenAFD.
func PollAFD(afd windows.Handle, poll *AFDPoll, overlapped *windows.Overlapped) error {
	const ioctl, size = 0x12024, uint32(unsafe.Sizeof(*poll))
	p := (*byte)(unsafe.Pointer(poll))
	return windows.DeviceIoControl(afd, ioctl, p, size, p, size, nil, overlapped)
}

// BaseSocket is the socket that AFD knows, below what other providers may have put on top of s: SIO_BASE_HANDLE. It fails for what is no
// socket.
func BaseSocket(s windows.Handle) (base windows.Handle, err error) {
	const sioBaseHandle = 0x48000022
	var n uint32
	err = windows.WSAIoctl(s, sioBaseHandle, nil, 0, (*byte)(unsafe.Pointer(&base)), uint32(unsafe.Sizeof(base)), &n, nil, 0)
	return base, err
}
