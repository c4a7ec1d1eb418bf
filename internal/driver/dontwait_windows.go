package driver

// DontWait, a flag of requests on sockets, is MSG_DONTWAIT. Winsock has none, nor another flag of this value.
const DontWait = 0x40
