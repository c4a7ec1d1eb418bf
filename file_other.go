//go:build !unix && !windows

package ringport

import (
	"syscall"

	"github.com/ringport/ringport/internal/driver"
)

// There is no backend for this system yet, so that no File can be made.

// errReadFolder is the system's answer to who reads a directory as a file.
const errReadFolder = syscall.EISDIR

// errBadHandle is what the system calls what is no open handle.
const errBadHandle = syscall.EBADF

// errInvalid is the system's word for arguments that it can't use.
const errInvalid = syscall.EINVAL

const maxVecBytes = MaxTransferBytes

func describe(h Handle, foreign bool) (traits, error) { return traits{}, ErrUnsupported }

func openWaits(name string, flag int) bool { return false }

func isStandard(h Handle) bool { return false }

func readHere(h Handle, p []byte, off int64) int { return -1 }

func tryCached(h Handle, p []byte, off int64) (n int, ok bool) { return 0, false }

func trySend(h Handle, p []byte) (int, error)    { return 0, ErrUnsupported }
func tryReceive(h Handle, p []byte) (int, error) { return 0, ErrUnsupported }
func tryMessage(r *driver.Request) (done bool)   { return false }

func tryReceiveFrom(Handle, []byte, *SocketAddress) (int, error) { return 0, ErrUnsupported }
func trySendTo(Handle, []byte, *SocketAddress) (int, error)      { return 0, ErrUnsupported }

func seekHandle(h Handle, offset int64, whence int) (int64, error) { return 0, ErrUnsupported }

func openDirectory(h Handle) (Handle, error) { return 0, ErrUnsupported }

func writeStandard(h Handle, p []byte) (n int, err error, ok bool) { return 0, nil, false }

// saysClosed: no system but Windows has an error for that.
func saysClosed(error) bool { return false }

// moreFollows: no system but Windows has messages in a File.
func moreFollows(error) bool { return false }

func checkOpen(h Handle) error { return ErrUnsupported }
