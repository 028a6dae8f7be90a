/* One process, epoll, non-blocking sockets, output kept until there is room.
 * With a second argument "edge", edge-triggered; with "oneshot", one event at
 * a time. */
#include "common.h"

struct client {
	int fd, quit;
	size_t start, end;
	char buffer[BUFFER];
};

static int epoll;
static unsigned int mode;

static void watch(struct client *client, int operation)
{
	struct epoll_event event = { .data.ptr = client };
	event.events = mode | (client->end > client->start ? EPOLLOUT : EPOLLIN);
	if (mode & EPOLLET)
		event.events = mode | EPOLLIN | EPOLLOUT;
	if (epoll_ctl(epoll, operation, client->fd, &event))
		die("epoll_ctl");
}

static void drop(struct client *client)
{
	close(client->fd);
	free(client);
}

/* Everything that can be done without waiting; 0 when the client is done. */
static int work(struct client *client)
{
	for (;;) {
		while (client->start < client->end) {
			ssize_t n = send(client->fd, client->buffer + client->start,
					 client->end - client->start, MSG_NOSIGNAL);
			if (n < 0)
				return errno == EAGAIN;
			client->start += n;
		}
		if (client->quit)
			return 0;
		client->start = client->end = 0;
		ssize_t n = recv(client->fd, client->buffer, BUFFER, 0);
		if (n < 0)
			return errno == EAGAIN;
		if (n == 0)
			return 0;
		client->end = n;
		client->quit = n == 4 && !memcmp(client->buffer, "quit", 4);
		/* As some event loops do: less than asked for means no more. */
		if (!(mode & EPOLLET) || n == BUFFER || client->quit)
			continue;
		while (client->start < client->end) {
			n = send(client->fd, client->buffer + client->start,
				 client->end - client->start, MSG_NOSIGNAL);
			if (n < 0)
				return errno == EAGAIN;
			client->start += n;
		}
		return 1;
	}
}

int main(int argc, char **argv)
{
	int listener = listen_on(argv[1]);
	fcntl(listener, F_SETFL, O_NONBLOCK);
	if (argc > 2)
		mode = strcmp(argv[2], "edge") ? EPOLLONESHOT : EPOLLET;
	epoll = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = { .events = EPOLLIN };
	if (epoll_ctl(epoll, EPOLL_CTL_ADD, listener, &event))
		die("epoll_ctl");
	for (;;) {
		struct epoll_event events[16];
		int n = epoll_wait(epoll, events, 16, -1);
		for (int at = 0; at < n; at++) {
			struct client *client = events[at].data.ptr;
			if (client) {
				if (!work(client))
					drop(client);
				else if (!(mode & EPOLLET))
					watch(client, EPOLL_CTL_MOD);
				continue;
			}
			int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
			if (fd < 0)
				continue;
			client = calloc(1, sizeof(*client));
			client->fd = fd;
			watch(client, EPOLL_CTL_ADD);
		}
	}
}
