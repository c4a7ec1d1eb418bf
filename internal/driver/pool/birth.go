//go:build darwin || freebsd || netbsd

package pool

import (
	"time"

	"github.com/ringport/ringport/internal/driver"
	"golang.org/x/sys/unix"
)

func birthTime(st *unix.Stat_t) time.Time { return driver.TimeOf(st.Btim) }
