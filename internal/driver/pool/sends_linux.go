package pool

// sendsWithoutBlocking: send(2) heeds MSG_DONTWAIT.
const sendsWithoutBlocking = true
