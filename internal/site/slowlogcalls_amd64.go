package site

import "golang.org/x/sys/unix"

func init() { // those that newer machines do not have
	for n, name := range map[int]string{
		unix.SYS_POLL: "poll", unix.SYS_SELECT: "select", unix.SYS_EPOLL_WAIT: "epoll_wait", unix.SYS_PAUSE: "pause",
		unix.SYS_ACCEPT: "accept", unix.SYS_OPEN: "open",
	} {
		calls[n] = name
	}
}
