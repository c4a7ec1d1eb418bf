//go:build portable

package pool

const sendsWithoutBlocking = true
