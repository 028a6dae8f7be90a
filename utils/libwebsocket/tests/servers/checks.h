/* A server that does what a client names, with the calls that servers seldom
 * use, and answers "ok" or the line that went wrong. Linked with -lwebsocket. */
#include "common.h"
#include <netinet/in.h>
#include <sys/ioctl.h>
#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <time.h>
#include <websocket.h>

#define CHECK(condition)                                                       \
	do {                                                                   \
		if (!(condition))                                              \
			return __LINE__;                                       \
	} while (0)

/* In place of a line: the client is to get no answer. */
#define SILENT -1

static char buffer[4096];
/* Where the server listens. */
static const char *path;

static int is(ssize_t n, const char *text)
{
	return n == (ssize_t)strlen(text) && !memcmp(buffer, text, n);
}

static int readable(int fd, int ms)
{
	struct pollfd entry = { .fd = fd, .events = POLLIN };
	return poll(&entry, 1, ms);
}

/* What a client may name, and what is done then: 0, a line, or SILENT. */
struct check {
	const char *name;
	int (*run)(int fd);
};

/* A client that connects by itself is told what has come of its message. */
static void answer_plain(int fd)
{
	union {
		char bytes[CMSG_SPACE(4 * sizeof(int)) + CMSG_SPACE(sizeof(struct ucred))];
		struct cmsghdr align;
	} control;
	struct iovec part = { buffer, sizeof(buffer) };
	struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1,
				  .msg_control = &control, .msg_controllen = sizeof(control) };
	ssize_t n = recvmsg(fd, &message, 0);
	int descriptors = 0;
	char answer[64];
	for (struct cmsghdr *part = CMSG_FIRSTHDR(&message); part;
	     part = CMSG_NXTHDR(&message, part))
		if (part->cmsg_type == SCM_RIGHTS)
			descriptors += (part->cmsg_len - CMSG_LEN(0)) / sizeof(int);
	snprintf(answer, sizeof(answer), "%zd bytes, %d descriptors", n, descriptors);
	write_all(fd, answer, strlen(answer));
}

/* Does what the client has named first. */
static void run_check(int fd, const char *file, const struct check *checks, size_t count)
{
	ssize_t n = read(fd, buffer, sizeof(buffer));
	for (size_t at = 0; n > 0 && at < count; at++) {
		if (!is(n, checks[at].name))
			continue;
		int line = checks[at].run(fd);
		if (line == SILENT)
			return;
		if (line)
			fprintf(stderr, "%s: %s: line %d: %m\n", file, checks[at].name, line);
		char answer[32];
		snprintf(answer, sizeof(answer), line ? "line %d" : "ok", line);
		write_all(fd, answer, strlen(answer));
		return;
	}
}

static void serve(const char *socket, const char *file, const struct check *checks, size_t count)
{
	int on = 1, listener = listen_on(path = socket);
	/* Messages come with their sender's name, the gateway's too. */
	if (setsockopt(listener, SOL_SOCKET, SO_PASSCRED, &on, sizeof(on)))
		die("SO_PASSCRED");
	for (;;) {
		int fd = accept(listener, NULL, NULL);
		struct pollfd entry = { .fd = fd, .events = POLLOUT };
		/* It is known then what a connection is. */
		poll(&entry, 1, 10000);
		if (websocket_is(fd))
			run_check(fd, file, checks, count);
		else
			answer_plain(fd);
		close(fd);
	}
}
