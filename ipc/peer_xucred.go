//go:build darwin || freebsd

package ipc

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

func (link) peer(fd uintptr) (Peer, error) {
	u, err := unix.GetsockoptXucred(int(fd), unix.SOL_LOCAL, unix.LOCAL_PEERCRED)
	if err != nil {
		return Peer{}, os.NewSyscallError("getsockopt", err)
	}
	p := Peer{PID: peerPID(int(fd)), UserID: strconv.FormatUint(uint64(u.Uid), 10)}
	if u.Ngroups > 0 {
		p.GroupID = strconv.FormatUint(uint64(u.Groups[0]), 10)
	}
	return p, nil
}
