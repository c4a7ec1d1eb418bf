package ipc

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

func (link) peer(fd uintptr) (Peer, error) {
	u, err := unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED)
	if err != nil {
		return Peer{}, os.NewSyscallError("getsockopt", err)
	}
	return Peer{PID: int(u.Pid), UserID: strconv.FormatUint(uint64(u.Uid), 10), GroupID: strconv.FormatUint(uint64(u.Gid), 10)}, nil
}
