//go:build darwin || freebsd || netbsd

package pool

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/ringport/ringport/internal/driver"
)

func birthTime(st *unix.Stat_t) time.Time { return driver.TimeOf(st.Btim) }
