package win32

import (
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/windows"
)

// StartWinsock makes Winsock usable, for as long as the process lives: the system counts, and package net does the same.
var StartWinsock = sync.OnceValue(func() error {
	var data windows.WSAData
	return windows.WSAStartup(0x202, &data)
})

// ProtocolOf is what kind of socket s is: SO_PROTOCOL_INFO.
func ProtocolOf(s windows.Handle) (info windows.WSAProtocolInfo, err error) {
	const soProtocolInfo = 0x2005
	size := int32(unsafe.Sizeof(info))
	err = windows.Getsockopt(s, windows.SOL_SOCKET, soProtocolInfo, (*byte)(unsafe.Pointer(&info)), &size)
	return info, err
}

// EverySocketIsAHandle reports whether all providers of TCP and UDP have sockets that are handles of the system's own (XP1_IFS_HANDLES), so that no layer between
// posts packets of calls that FILE_SKIP_COMPLETION_PORT_ON_SUCCESS says have none (MSDN, SetFileCompletionNotificationModes).
var EverySocketIsAHandle = sync.OnceValue(func() bool {
	if StartWinsock() != nil {
		return false
	}
	which := [...]int32{windows.IPPROTO_TCP, windows.IPPROTO_UDP, 0}
	all := make([]windows.WSAProtocolInfo, 32)
	for {
		size := uint32(len(all)) * uint32(unsafe.Sizeof(all[0]))
		n, err := windows.WSAEnumProtocols(&which[0], &all[0], &size)
		if err == windows.WSAENOBUFS {
			all = make([]windows.WSAProtocolInfo, 2*len(all))
			continue
		}
		if err != nil {
			return false
		}
		for _, p := range all[:n] {
			if p.ServiceFlags1&windows.XP1_IFS_HANDLES == 0 {
				return false
			}
		}
		return true
	}
})

// SocketExtensions are the functions that a provider has beside Winsock's own; those that it lacks are 0.
type SocketExtensions struct{ acceptEx, getAcceptExSockaddrs, connectEx, recvMsg, sendMsg uintptr }

// ExtensionsOf asks for those of s's provider: SIO_GET_EXTENSION_FUNCTION_POINTER.
func ExtensionsOf(s windows.Handle) *SocketExtensions {
	x := new(SocketExtensions)
	for _, f := range []struct {
		id windows.GUID
		to *uintptr
	}{
		{windows.GUID{Data1: 0xb5367df1, Data2: 0xcbac, Data3: 0x11cf, Data4: [8]byte{0x95, 0xca, 0x00, 0x80, 0x5f, 0x48, 0xa1, 0x92}}, &x.acceptEx},
		{windows.GUID{Data1: 0xb5367df2, Data2: 0xcbac, Data3: 0x11cf, Data4: [8]byte{0x95, 0xca, 0x00, 0x80, 0x5f, 0x48, 0xa1, 0x92}},
			&x.getAcceptExSockaddrs},
		{windows.WSAID_CONNECTEX, &x.connectEx},
		{windows.WSAID_WSARECVMSG, &x.recvMsg},
		{windows.WSAID_WSASENDMSG, &x.sendMsg},
	} {
		var n uint32
		if windows.WSAIoctl(s, windows.SIO_GET_EXTENSION_FUNCTION_POINTER, (*byte)(unsafe.Pointer(&f.id)), uint32(unsafe.Sizeof(f.id)),
			(*byte)(unsafe.Pointer(f.to)), uint32(unsafe.Sizeof(*f.to)), &n, nil, 0) != nil {
			*f.to = 0
		}
	}
	return x
}

// AcceptNames is room for the two addresses that AcceptEx stores, each with the 16 bytes more that it wants.
type AcceptNames [2][acceptNameBytes]byte

const acceptNameBytes = 128 + 16

// AcceptEx accepts a connection as the socket s, which is of the listener's kind and not bound. It is an overlapped call, and so are the others;
// names and got are the system's until the completion.
func (x *SocketExtensions) AcceptEx(listener, s windows.Handle, names *AcceptNames, got *uint32, overlapped *windows.Overlapped) syscall.Errno {
	if x.acceptEx == 0 {
		return windows.WSAEOPNOTSUPP
	}
	ok, _, errno := syscall.SyscallN(x.acceptEx, uintptr(listener), uintptr(s), uintptr(unsafe.Pointer(names)), 0, acceptNameBytes, acceptNameBytes,
		uintptr(unsafe.Pointer(got)), uintptr(unsafe.Pointer(overlapped)))
	return failed(ok == 0, errno)
}

// AcceptedFrom is the peer's address in what AcceptEx has stored: GetAcceptExSockaddrs. It is part of names.
func (x *SocketExtensions) AcceptedFrom(names *AcceptNames) []byte {
	if x.getAcceptExSockaddrs == 0 {
		return nil
	}
	var local, remote *byte
	var localBytes, remoteBytes int32
	syscall.SyscallN(x.getAcceptExSockaddrs, uintptr(unsafe.Pointer(names)), 0, acceptNameBytes, acceptNameBytes,
		uintptr(unsafe.Pointer(&local)), uintptr(unsafe.Pointer(&localBytes)), uintptr(unsafe.Pointer(&remote)), uintptr(unsafe.Pointer(&remoteBytes)))
	if remote == nil || remoteBytes <= 0 {
		return nil
	}
	return unsafe.Slice(remote, remoteBytes)
}

// ConnectEx connects s, which is bound, to an address. The address may go when it has returned.
func (x *SocketExtensions) ConnectEx(s windows.Handle, to []byte, overlapped *windows.Overlapped) syscall.Errno {
	if x.connectEx == 0 {
		return windows.WSAEOPNOTSUPP
	}
	ok, _, errno := syscall.SyscallN(x.connectEx, uintptr(s), uintptr(unsafe.Pointer(unsafe.SliceData(to))), uintptr(len(to)), 0, 0, 0,
		uintptr(unsafe.Pointer(overlapped)))
	return failed(ok == 0, errno)
}

// RecvMsg is WSARecvMsg. The message, and all that it refers to, is the system's until the completion.
func (x *SocketExtensions) RecvMsg(s windows.Handle, m *windows.WSAMsg, overlapped *windows.Overlapped) syscall.Errno {
	if x.recvMsg == 0 {
		return windows.WSAEOPNOTSUPP
	}
	r, _, errno := syscall.SyscallN(x.recvMsg, uintptr(s), uintptr(unsafe.Pointer(m)), 0, uintptr(unsafe.Pointer(overlapped)), 0)
	return failed(uint32(r) != 0, errno)
}

// SendMsg is WSASendMsg, with flags MSG_*. The message, and all that it refers to, is the system's until the completion.
func (x *SocketExtensions) SendMsg(s windows.Handle, m *windows.WSAMsg, flags uint32, overlapped *windows.Overlapped) syscall.Errno {
	if x.sendMsg == 0 {
		return windows.WSAEOPNOTSUPP
	}
	r, _, errno := syscall.SyscallN(x.sendMsg, uintptr(s), uintptr(unsafe.Pointer(m)), uintptr(flags), 0, uintptr(unsafe.Pointer(overlapped)), 0)
	return failed(uint32(r) != 0, errno)
}

// failed is errno if a call says that it has failed, and a number in any case.
func failed(yes bool, errno syscall.Errno) syscall.Errno {
	switch {
	case !yes:
		return 0
	case errno == 0:
		return windows.WSAEINVAL
	}
	return errno
}

// BindTo, ConnectTo and NameOf are bind, connect and getsockname with addresses as the system has them.
func BindTo(s windows.Handle, name []byte) error {
	return bind(s, unsafe.SliceData(name), int32(len(name)))
}

// ConnectTo: see BindTo.
func ConnectTo(s windows.Handle, name []byte) error {
	return connect(s, unsafe.SliceData(name), int32(len(name)))
}

// IsBound reports whether s has a local address.
func IsBound(s windows.Handle) bool {
	var name [128]byte
	size := int32(len(name))
	return getsockname(s, &name[0], &size) == nil
}

// Listens reports whether listen was called on s: SO_ACCEPTCONN.
func Listens(s windows.Handle) bool {
	const soAcceptConn = 2
	on, err := windows.GetsockoptInt(s, windows.SOL_SOCKET, soAcceptConn)
	return err == nil && on != 0
}

// HasRoom reports whether a send on s would find room at once. It never waits.
func HasRoom(s windows.Handle) bool {
	const pollWrNorm = 0x10
	fd := wsaPollFD{socket: s, events: pollWrNorm}
	n, err := wsaPoll(&fd, 1, 0)
	return err != nil || n != 0 // an error, also that of the poll itself, is the send's to report
}

type wsaPollFD struct {
	socket          windows.Handle
	events, revents int16
}
