package ipc

// peerPID: package unix's Xucred doesn't name the number.
func peerPID(fd int) int { return 0 }
