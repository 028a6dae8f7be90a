/* Says "hello" to each client before that has said anything, then echoes, one
 * client at a time. The second argument is how it waits for room to write:
 * "block", "poll", "select", "epoll", "edge". When it has accepted a client it
 * makes SOCKET.accepted. */
#include "common.h"

static const char *how;
static int epoll;

/* Waits until the client can be written to, as long as it takes. */
static void wait_for_room(int fd)
{
	struct epoll_event event = { 0 };
	struct pollfd entry = { .fd = fd, .events = POLLOUT };
	fd_set set;

	if (!strcmp(how, "poll")) {
		if (poll(&entry, 1, -1) != 1 || !(entry.revents & POLLOUT))
			die("poll");
	} else if (!strcmp(how, "select")) {
		FD_ZERO(&set);
		FD_SET(fd, &set);
		if (select(fd + 1, NULL, &set, NULL, NULL) != 1 || !FD_ISSET(fd, &set))
			die("select");
	} else if (epoll_wait(epoll, &event, 1, -1) != 1 || !(event.events & EPOLLOUT)) {
		die("epoll_wait");
	}
}

static int greet(int fd)
{
	struct epoll_event event = { .events = EPOLLOUT };
	int tries = 0;

	if (!strcmp(how, "block"))
		return write_all(fd, "hello", 5);
	fcntl(fd, F_SETFL, O_NONBLOCK);
	if (!strcmp(how, "edge"))
		event.events |= EPOLLET;
	epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event);
	while (write(fd, "hello", 5) != 5) {
		/* Room that is not there is told of once at the most. */
		if (errno != EAGAIN || ++tries > 2)
			return -1;
		wait_for_room(fd);
	}
	epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL);
	return fcntl(fd, F_SETFL, 0);
}

int main(int argc, char **argv)
{
	char accepted[200];
	int listener = listen_on(argv[1]);

	how = argc > 2 ? argv[2] : "block";
	epoll = epoll_create1(EPOLL_CLOEXEC);
	snprintf(accepted, sizeof(accepted), "%s.accepted", argv[1]);
	for (;;) {
		int fd = accept(listener, NULL, NULL);
		if (fd < 0)
			continue;
		close(creat(accepted, 0600));
		if (greet(fd) == 0)
			while (echo_once(fd))
				;
		close(fd);
	}
}
