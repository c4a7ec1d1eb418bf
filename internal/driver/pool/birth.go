//go:build darwin || freebsd || netbsd

package pool

import (
	"time"

	"golang.org/x/sys/unix"
)

func birthTime(st *unix.Stat_t) time.Time { return timeOf(st.Btim) }
