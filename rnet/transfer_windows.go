package rnet

import (
	"errors"
	"io"
	"syscall"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport"
)

// mostAtOnce is how much one call moves, so that a cancel, which may lose count of what it has moved, is of little.
const mostAtOnce = 4 << 20

// sendFile moves up to most bytes from a regular file, at its position, into the connection: TransmitFile.
func sendFile(c *Conn, file syscall.Conn, most int64) (n int64, err error, handled bool) {
	in, err := file.SyscallConn()
	if err != nil {
		return 0, nil, false // reading it will say why
	}
	if closed := in.Control(func(fd uintptr) { n, err, handled = c.transmit(windows.Handle(fd), most) }); closed != nil {
		return 0, nil, false
	}
	return n, err, handled
}

func (c *Conn) transmit(file windows.Handle, most int64) (n int64, err error, handled bool) {
	if kind, _ := windows.GetFileType(file); kind != windows.FILE_TYPE_DISK {
		return 0, nil, false
	}
	var st windows.ByHandleFileInformation
	if windows.GetFileInformationByHandle(file, &st) != nil || st.FileAttributes&windows.FILE_ATTRIBUTE_DIRECTORY != 0 {
		return 0, nil, false
	}
	at, err := windows.Seek(file, 0, io.SeekCurrent)
	if err != nil {
		return 0, nil, false
	}
	most = min(most, int64(st.FileSizeHigh)<<32+int64(st.FileSizeLow)-at)
	for n < most && err == nil {
		part := uint32(min(most-n, mostAtOnce))
		op := ringport.Overlapped("TransmitFile", 0, at+n, func(ov *windows.Overlapped) ringport.Started {
			return ringport.Unchecked(windows.TransmitFile(windows.Handle(c.f.Fd()), file, part, 0, ov, nil, 0))
		})
		var m int
		m, err = c.f.DoWrite(&op)
		n += int64(m)
	}
	if errors.Is(err, windows.ERROR_OPERATION_ABORTED) {
		ask := ringport.Send(0, nil, 0) // of nothing, which ends by what has ended the other
		if _, cause := c.f.DoWrite(&ask); cause != nil {
			err = cause
		}
	}
	if err == io.EOF { // the file has become shorter
		err = nil
	}
	windows.Seek(file, at+n, io.SeekStart)
	return n, err, true
}

func splice(_, _ *Conn, _ int64) (int64, error, bool) { return 0, nil, false }
