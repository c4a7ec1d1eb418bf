package rnet

import (
	"math"
	"net"
	"syscall"
	"time"

	"github.com/ringport/ringport"
)

// setting applies set to the socket, which stays open meanwhile.
func (s *socket) setting(set func(h ringport.Handle) error) error {
	c, err := s.f.SyscallConn()
	if err == nil {
		closed := c.Control(func(fd uintptr) { err = set(ringport.Handle(fd)) })
		if closed != nil {
			err = closed
		}
	}
	return s.failedHere("set", err)
}

func (s *socket) setInt(level, name, value int) error {
	return s.setting(func(h ringport.Handle) error { return ringport.SetSocketOption(h, level, name, value) })
}

// SetReadBuffer sets the size in bytes of what the system keeps of data that was not read yet (SO_RCVBUF). See socket(7).
func (s *socket) SetReadBuffer(bytes int) error {
	return s.setInt(syscall.SOL_SOCKET, syscall.SO_RCVBUF, bytes)
}

// SetWriteBuffer sets the size in bytes of what the system keeps of data that was not sent yet (SO_SNDBUF). See socket(7).
func (s *socket) SetWriteBuffer(bytes int) error {
	return s.setInt(syscall.SOL_SOCKET, syscall.SO_SNDBUF, bytes)
}

// SetNoDelay says whether small writes are sent at once (true, as every TCP connection begins) or wait for more to go with them
// (TCP_NODELAY). See tcp(7).
func (c *Conn) SetNoDelay(noDelay bool) error {
	return c.setInt(syscall.IPPROTO_TCP, syscall.TCP_NODELAY, number(noDelay))
}

// SetLinger says what Close does about data that was not sent yet (SO_LINGER): negative, the default: it is sent in the background; 0:
// it is thrown away, and the connection reset; else it is sent in the background, for at least that many seconds on some systems. See
// socket(7).
func (c *Conn) SetLinger(seconds int) error {
	return c.setting(func(h ringport.Handle) error { return setLinger(h, seconds) })
}

// SetKeepAlive says whether the system makes sure from time to time that the peer is still there (SO_KEEPALIVE). See tcp(7).
func (c *Conn) SetKeepAlive(keepAlive bool) error {
	return c.setInt(syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, number(keepAlive))
}

// SetKeepAlivePeriod sets after how long without traffic the system begins to ask the peer, in whole seconds, rounded up. Zero means 15 s.
func (c *Conn) SetKeepAlivePeriod(d time.Duration) error {
	if d == 0 {
		d = keepAliveTime
	}
	return c.setting(func(h ringport.Handle) error { return setKeepAliveTimes(h, d, -1, -1) })
}

// SetKeepAliveConfig sets all about keep-alive as package net does: zero means the default (15 s, 15 s, 9 times), a negative value that
// it stays as it is. EOPNOTSUPP for what the system can't set.
func (c *Conn) SetKeepAliveConfig(config net.KeepAliveConfig) error {
	return c.setting(func(h ringport.Handle) error { return keepAlive(h, config) })
}

// The keep-alive of package net.
const (
	keepAliveTime  = 15 * time.Second
	keepAliveCount = 9
)

func keepAlive(h ringport.Handle, config net.KeepAliveConfig) error {
	if err := ringport.SetSocketOption(h, syscall.SOL_SOCKET, syscall.SO_KEEPALIVE, number(config.Enable)); err != nil || !config.Enable {
		return err
	}
	if config.Idle == 0 {
		config.Idle = keepAliveTime
	}
	if config.Interval == 0 {
		config.Interval = keepAliveTime
	}
	if config.Count == 0 {
		config.Count = keepAliveCount
	}
	return setKeepAliveTimes(h, config.Idle, config.Interval, config.Count)
}

// startTCP gives a new TCP connection the options that package net gives it: no delay, and keep-alive, as config says; or after d and
// every 15 s if that doesn't, where zero means 15 s too and a negative d none.
func (c *Conn) startTCP(h ringport.Handle, d time.Duration, config net.KeepAliveConfig) {
	ringport.SetSocketOption(h, syscall.IPPROTO_TCP, syscall.TCP_NODELAY, 1) // best effort, as in package net
	if !config.Enable && d >= 0 {
		config = net.KeepAliveConfig{Enable: true, Idle: d}
	}
	if config.Enable {
		keepAlive(h, config)
	}
}

// seconds is d in whole seconds, rounded up, as options take it; negative if d is.
func seconds(d time.Duration) int {
	if d < 0 {
		return -1
	}
	return int(min((d+time.Second-1)/time.Second, math.MaxInt32))
}
