/* What the test servers share: a listening UNIX socket, and an echo that ends
 * at the word "quit". None of them knows of WebSocket. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#ifndef BUFFER
#define BUFFER 16384
#endif

static inline void die(const char *what)
{
	perror(what);
	exit(1);
}

static inline int listen_on(const char *path)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&address, sizeof(address)) || listen(fd, 128))
		die(path);
	signal(SIGPIPE, SIG_IGN);
	return fd;
}

static inline int write_all(int fd, const char *data, size_t size)
{
	while (size > 0) {
		ssize_t n = write(fd, data, size);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -1;
		data += n;
		size -= n;
	}
	return 0;
}

/* One read and its echo; 0 when the client is done with. */
static inline int echo_once(int fd)
{
	char buffer[BUFFER];
	ssize_t n = read(fd, buffer, sizeof(buffer));
	if (n < 0 && errno == EINTR)
		return 1;
	if (n <= 0 || write_all(fd, buffer, n))
		return 0;
	return !(n == 4 && !memcmp(buffer, "quit", 4));
}
