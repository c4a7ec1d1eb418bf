package iocp

import (
	"io/fs"
	"time"

	"golang.org/x/sys/windows"

	"github.com/ringport/ringport/internal/driver"
	"github.com/ringport/ringport/internal/win32"
)

// execStat asks for FD itself, or for a path, which it opens for no more than its attributes.
func execStat(_ *Driver, b *block) (int, error) {
	r := b.r
	if r.Ext.Stat == nil {
		return 0, windows.ERROR_NOACCESS
	}
	if r.Ext.Path == "" {
		return 0, stat(b.h, r.Ext.Stat)
	}
	p, err := locate(r.FD, r.Ext.Path)
	if err != nil {
		return 0, err
	}
	attributes := uint32(windows.FILE_FLAG_BACKUP_SEMANTICS)
	if r.Arg&atSymlinkNofollow != 0 {
		attributes |= windows.FILE_FLAG_OPEN_REPARSE_POINT
	}
	h, err := p.open(windows.FILE_READ_ATTRIBUTES, win32.ShareAll, windows.OPEN_EXISTING, attributes)
	if err != nil {
		return 0, err
	}
	defer windows.CloseHandle(h)
	return 0, stat(h, r.Ext.Stat)
}

// sectorBytes is what FileStat.Blocks counts in.
const sectorBytes = 512

// stat fills in s. What is neither file nor directory has a type and nothing else.
func stat(h windows.Handle, s *driver.FileStat) error {
	kind, err := windows.GetFileType(h)
	switch {
	case err != nil:
		return err
	case kind == windows.FILE_TYPE_PIPE:
		*s = driver.FileStat{Mode: fs.ModeNamedPipe | 0o666}
		return nil
	case kind != windows.FILE_TYPE_DISK:
		*s = driver.FileStat{Mode: fs.ModeDevice | fs.ModeCharDevice | 0o666}
		return nil
	}
	var st windows.ByHandleFileInformation
	if err := windows.GetFileInformationByHandle(h, &st); err != nil {
		return err
	}
	extra, err := win32.QueryExtra(h)
	if err != nil {
		return err
	}
	*s = driver.FileStat{
		SizeBytes: int64(st.FileSizeHigh)<<32 | int64(st.FileSizeLow), Mode: mode(h, st.FileAttributes),
		ModTime: timeOf(st.LastWriteTime), AccessTime: timeOf(st.LastAccessTime), ChangeTime: timeOf(extra.ChangeTime),
		BirthTime: timeOf(st.CreationTime),
		Inode:     uint64(st.FileIndexHigh)<<32 | uint64(st.FileIndexLow), Device: uint64(st.VolumeSerialNumber), LinkCount: uint64(st.NumberOfLinks),
		BlockBytes: 4096, Blocks: (extra.AllocationBytes + sectorBytes - 1) / sectorBytes,
	}
	return nil
}

// mode is what package os makes of the attributes: read-only or not, and the type.
func mode(h windows.Handle, attributes uint32) fs.FileMode {
	m := fs.FileMode(0o666)
	if attributes&windows.FILE_ATTRIBUTE_READONLY != 0 {
		m = 0o444
	}
	if attributes&windows.FILE_ATTRIBUTE_REPARSE_POINT != 0 {
		switch tag, err := win32.ReparseTag(h); {
		case err != nil:
		case tag == windows.IO_REPARSE_TAG_SYMLINK:
			return m | fs.ModeSymlink
		case tag == windows.IO_REPARSE_TAG_MOUNT_POINT:
			return m | fs.ModeIrregular
		}
	}
	if attributes&windows.FILE_ATTRIBUTE_DIRECTORY != 0 {
		m |= fs.ModeDir | 0o111
	}
	return m
}

func timeOf(t windows.Filetime) time.Time {
	if t == (windows.Filetime{}) {
		return time.Time{}
	}
	return time.Unix(0, t.Nanoseconds())
}
