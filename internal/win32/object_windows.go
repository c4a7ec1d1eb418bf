package win32

import (
	"unsafe"

	"golang.org/x/sys/windows"
)

// ObjectKind is what a handle refers to, as far as the driver has to know.
type ObjectKind uint8

// The kinds. Files are pipes, sockets, consoles and devices too.
const (
	OtherObject ObjectKind = iota
	FileObject
	MutexObject // the system's Mutant
)

// objectType is PUBLIC_OBJECT_TYPE_INFORMATION, and room for the name, which the system puts behind it. Its address is a number here, since
// nobody follows it.
type objectType struct {
	nameBytes, maxBytes uint16
	name                uintptr
	_                   [22]uint32
	text                [64]uint16
}

// KindOf asks what h refers to. The answer comes from the handle table, so that it never waits, as questions about a file may.
func KindOf(h windows.Handle) (ObjectKind, error) {
	const objectTypeInformation = 2
	var t objectType
	if err := ntQueryObject(h, objectTypeInformation, &t, uint32(unsafe.Sizeof(t)), nil); err != nil {
		return 0, errno(err)
	}
	switch text := t.text[:t.nameBytes/2]; {
	case is(text, "File"):
		return FileObject, nil
	case is(text, "Mutant"):
		return MutexObject, nil
	}
	return OtherObject, nil
}

func is(text []uint16, name string) bool {
	if len(text) != len(name) {
		return false
	}
	for i := range text {
		if text[i] != uint16(name[i]) {
			return false
		}
	}
	return true
}

// HasWaitPackets reports whether the system has wait completion packets: Windows 8 and later do, Wine 10 doesn't.
func HasWaitPackets() bool {
	return procNtCreateWaitCompletionPacket.Find() == nil && procNtAssociateWaitCompletionPacket.Find() == nil &&
		procNtCancelWaitCompletionPacket.Find() == nil
}

// CreateWaitPacket makes a wait completion packet, which CloseHandle ends. See NtCreateWaitCompletionPacket.
func CreateWaitPacket() (packet windows.Handle, err error) {
	const modifyState = 1
	err = ntCreateWaitCompletionPacket(&packet, modifyState, nil)
	return packet, errno(err)
}

// AssociateWaitPacket has packet wait for object once, and then posts a packet to port with the key and overlapped given, and success. That is
// so too if object is signaled already. Packet can be used again when that has been taken from the port. See
// NtAssociateWaitCompletionPacket.
func AssociateWaitPacket(packet, port, object windows.Handle, key, overlapped uintptr) error {
	var signaled byte
	return errno(ntAssociateWaitCompletionPacket(packet, port, object, key, overlapped, 0, 0, &signaled))
}

// CancelWaitPacket ends packet's wait, and reports whether that was before the object was signaled: then nothing is posted, and packet can be
// used again. Otherwise the wait was satisfied, which may have used up the object's signal, and what it posts is in the port, or was taken from
// it. See NtCancelWaitCompletionPacket, whose RemoveSignaledPacket would lose the signal.
func CancelWaitPacket(packet windows.Handle) bool {
	const removeSignaled = false
	return ntCancelWaitCompletionPacket(packet, removeSignaled) == 0
}
