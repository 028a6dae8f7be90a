/*
 * What the machine does to a daemon on its worst days, for tests: loaded before libc by
 * LD_PRELOAD, each fault switched on by a variable of the environment.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/*
 * FAULT_BETWEEN: no fault, but a look: tells how many of the calls below a thread makes between its
 * connect to a UNIX socket and the hand-over of a client there.
 */
static __thread int between = -1;

#define REAL(type, name) ((type)dlsym(RTLD_NEXT, name))

static int real_poll(struct pollfd *fds, nfds_t count, int limit)
{
	int (*real)(struct pollfd *, nfds_t, int) =
		REAL(int (*)(struct pollfd *, nfds_t, int), "poll");

	return real(fds, count, limit);
}

/*
 * FAULT_CALLED=N: a signal arrives in one of N calls that wait, which ends with EINTR (signal(7)).
 */
static int is_called(void)
{
	static unsigned count;
	const char *text = getenv("FAULT_CALLED");
	unsigned number;

	if (!text)
		return 0;
	/* Mixed: a loop of N calls would meet it in the same one for ever. */
	number = __sync_add_and_fetch(&count, 1) * 2654435761u >> 16;
	if (number % (unsigned)atoi(text))
		return 0;
	errno = EINTR;
	return 1;
}

/* Whether a call waits for the descriptor to be ready for that, and a signal ends it. */
static int is_called_out(int fd, short events, int flags)
{
	struct pollfd ready = { .fd = fd, .events = events };

	return !(flags & MSG_DONTWAIT) && getenv("FAULT_CALLED") &&
	       real_poll(&ready, 1, 0) == 0 && is_called();
}

int poll(struct pollfd *fds, nfds_t count, int limit)
{
	int ready = real_poll(fds, count, 0);

	if (ready || !limit)
		return ready;
	return is_called() ? -1 : real_poll(fds, count, limit);
}

int epoll_wait(int set, struct epoll_event *events, int most, int limit)
{
	int (*real)(int, struct epoll_event *, int, int) =
		REAL(int (*)(int, struct epoll_event *, int, int), "epoll_wait");

	return is_called_out(set, POLLIN, 0) ? -1 : real(set, events, most, limit);
}

ssize_t read(int fd, void *buffer, size_t length)
{
	ssize_t (*real)(int, void *, size_t) = REAL(ssize_t (*)(int, void *, size_t), "read");

	return is_called_out(fd, POLLIN, 0) ? -1 : real(fd, buffer, length);
}

ssize_t recvfrom(int fd, void *buffer, size_t length, int flags, struct sockaddr *from,
		 socklen_t *size)
{
	ssize_t (*real)(int, void *, size_t, int, struct sockaddr *, socklen_t *) =
		REAL(ssize_t (*)(int, void *, size_t, int, struct sockaddr *, socklen_t *),
		     "recvfrom");

	return is_called_out(fd, POLLIN, flags) ? -1 : real(fd, buffer, length, flags, from, size);
}

ssize_t writev(int fd, const struct iovec *pieces, int count)
{
	ssize_t (*real)(int, const struct iovec *, int) =
		REAL(ssize_t (*)(int, const struct iovec *, int), "writev");

	return is_called_out(fd, POLLOUT, 0) ? -1 : real(fd, pieces, count);
}

/*
 * FAULT_HEAR=TEXT: receiving a message that holds TEXT claims more bytes than the buffer has, but
 * not a look at it (MSG_PEEK): the thread that watches whoever is silent takes such looks.
 */
ssize_t recv(int fd, void *buffer, size_t length, int flags)
{
	ssize_t (*real)(int, void *, size_t, int) =
		REAL(ssize_t (*)(int, void *, size_t, int), "recv");
	const char *text = getenv("FAULT_HEAR");
	ssize_t got;

	if (is_called_out(fd, POLLIN, flags))
		return -1;
	got = real(fd, buffer, length, flags);

	if (text && got > 0 && !(flags & MSG_PEEK) && memmem(buffer, (size_t)got, text, strlen(text)))
		return (ssize_t)length + 1;
	return got;
}

/*
 * FAULT_OPENAT2: a kernel that has no openat2(2).
 */
long syscall(long number, ...)
{
	long (*real)(long, ...) = REAL(long (*)(long, ...), "syscall");
	long a[6];
	va_list list;

	va_start(list, number);
	for (int i = 0; i < 6; i++)
		a[i] = va_arg(list, long);
	va_end(list);
	if (number == SYS_openat2 && getenv("FAULT_OPENAT2")) {
		errno = ENOSYS;
		return -1;
	}
	return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

/*
 * FAULT_THREADS=FILE: while FILE is there, with a digit N in it, every Nth thread cannot be
 * created.
 */
int pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
		   void *(*start)(void *), void *argument)
{
	static int count;
	int (*real)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *) =
		REAL(int (*)(pthread_t *, const pthread_attr_t *, void *(*)(void *), void *),
		     "pthread_create");
	const char *path = getenv("FAULT_THREADS");
	FILE *file = path ? fopen(path, "re") : NULL;

	if (file) {
		int every = fgetc(file) - '0';

		fclose(file);
		if (every > 0 && __sync_add_and_fetch(&count, 1) % every == 0)
			return EAGAIN;
	}
	return real(thread, attributes, start, argument);
}

/*
 * FAULT_SYSLOG=FILE: the log daemon listens there.
 */
int connect(int fd, const struct sockaddr *address, socklen_t length)
{
	int (*real)(int, const struct sockaddr *, socklen_t) =
		REAL(int (*)(int, const struct sockaddr *, socklen_t), "connect");
	const char *path = getenv("FAULT_SYSLOG");
	struct sockaddr_un other = { .sun_family = AF_UNIX };

	if (path && address->sa_family == AF_UNIX &&
	    !strcmp(((const struct sockaddr_un *)address)->sun_path, "/dev/log")) {
		strncpy(other.sun_path, path, sizeof(other.sun_path) - 1);
		return real(fd, (const struct sockaddr *)&other, sizeof(other));
	}
	between = address->sa_family == AF_UNIX ? 0 : between;
	return real(fd, address, length);
}

ssize_t sendmsg(int fd, const struct msghdr *message, int flags)
{
	ssize_t (*real)(int, const struct msghdr *, int) =
		REAL(ssize_t (*)(int, const struct msghdr *, int), "sendmsg");
	ssize_t sent;

	if (is_called_out(fd, POLLOUT, flags))
		return -1;
	sent = real(fd, message, flags);

	if (between >= 0 && message->msg_controllen && getenv("FAULT_BETWEEN"))
		dprintf(2, "%d calls between connect and hand-over\n", between);
	between = -1;
	return sent;
}

int fcntl(int fd, int command, ...)
{
	int (*real)(int, int, ...) = REAL(int (*)(int, int, ...), "fcntl");
	va_list list;
	void *argument;

	va_start(list, command);
	argument = va_arg(list, void *);
	va_end(list);
	between += between >= 0;
	return real(fd, command, argument);
}

int setsockopt(int fd, int level, int name, const void *value, socklen_t length)
{
	int (*real)(int, int, int, const void *, socklen_t) =
		REAL(int (*)(int, int, int, const void *, socklen_t), "setsockopt");

	between += between >= 0;
	return real(fd, level, name, value, length);
}

int close(int fd)
{
	int (*real)(int) = REAL(int (*)(int), "close");

	between += between >= 0;
	return real(fd);
}

ssize_t send(int fd, const void *buffer, size_t length, int flags)
{
	ssize_t (*real)(int, const void *, size_t, int) =
		REAL(ssize_t (*)(int, const void *, size_t, int), "send");

	if (is_called_out(fd, POLLOUT, flags))
		return -1;
	between += between >= 0;
	return real(fd, buffer, length, flags);
}

ssize_t write(int fd, const void *buffer, size_t length)
{
	ssize_t (*real)(int, const void *, size_t) =
		REAL(ssize_t (*)(int, const void *, size_t), "write");

	if (is_called_out(fd, POLLOUT, 0))
		return -1;
	between += between >= 0;
	return real(fd, buffer, length);
}

/*
 * FAULT_RESOLVER=SECONDS: a name server that answers nothing.
 */
int getaddrinfo(const char *host, const char *service, const struct addrinfo *hints,
		struct addrinfo **result)
{
	int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **) =
		REAL(int (*)(const char *, const char *, const struct addrinfo *,
			     struct addrinfo **), "getaddrinfo");
	const char *seconds = getenv("FAULT_RESOLVER");

	if (seconds) {
		sleep((unsigned)atoi(seconds));
		return EAI_AGAIN;
	}
	return real(host, service, hints, result);
}

/*
 * FAULT_SLEEP: a 32-bit kernel without the old system calls for time, as musl meets it.
 */
int nanosleep(const struct timespec *pause, struct timespec *left)
{
	int (*real)(const struct timespec *, struct timespec *) =
		REAL(int (*)(const struct timespec *, struct timespec *), "nanosleep");

	if (getenv("FAULT_SLEEP")) {
		errno = ENOSYS;
		return -1;
	}
	return real(pause, left);
}

int clock_nanosleep(clockid_t clock, int flags, const struct timespec *pause,
		    struct timespec *left)
{
	int (*real)(clockid_t, int, const struct timespec *, struct timespec *) =
		REAL(int (*)(clockid_t, int, const struct timespec *, struct timespec *),
		     "clock_nanosleep");

	return getenv("FAULT_SLEEP") ? ENOSYS : real(clock, flags, pause, left);
}
