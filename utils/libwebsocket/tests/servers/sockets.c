/* What programs ask of their sockets, and by which calls they reach them beside
 * read and write. */
#include "checks.h"

/* A UNIX address, and not a byte of rubbish in it or behind it. */
static int is_unix(struct sockaddr_un *address, socklen_t size, const char *path)
{
	char *bytes = (char *)address;
	if (address->sun_family != AF_UNIX)
		return 0;
	for (size_t at = size; at < sizeof(*address); at++)
		if (bytes[at] != 0x55)
			return 0;
	if (!path)
		return size == sizeof(sa_family_t);
	return !strcmp(address->sun_path, path);
}

/* Who and what the socket is: all but the client's own address is that of a
 * UNIX socket. */
static int addresses(int fd)
{
	struct sockaddr_storage any;
	struct sockaddr_un name;
	struct sockaddr *address = (struct sockaddr *)&name;
	struct ucred who = { 0 };
	socklen_t size = sizeof(any);
	int number = -1;
	CHECK(getpeername(fd, (struct sockaddr *)&any, &size) == 0);
	CHECK(any.ss_family == AF_INET && size == sizeof(struct sockaddr_in));
	memset(&name, 0x55, size = sizeof(name));
	CHECK(getpeername(fd, address, &size) == 0 && is_unix(&name, size, NULL));
	memset(&name, 0x55, size = sizeof(name));
	CHECK(getsockname(fd, address, &size) == 0 && is_unix(&name, size, path));
	size = sizeof(any);
	CHECK(getsockname(fd, (struct sockaddr *)&any, &size) == 0 && any.ss_family == AF_UNIX);
	CHECK(getsockname(fd, NULL, &size) == -1 && errno == EFAULT);
	size = sizeof(number);
	CHECK(getsockopt(fd, SOL_SOCKET, SO_DOMAIN, &number, &size) == 0 && number == AF_UNIX);
	CHECK(getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &number, &size) == 0 && number == 0);
	CHECK(getsockopt(fd, SOL_SOCKET, SO_TYPE, &number, &size) == 0 && number == SOCK_STREAM);
	CHECK(getsockopt(fd, SOL_SOCKET, SO_ERROR, &number, &size) == 0 && number == 0);
	size = sizeof(who);
	CHECK(getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &who, &size) == 0);
	CHECK(who.pid > 0 && who.uid == getuid());
	return 0;
}

/* The same in a program that closes all it does not know of. The numbers may be
 * somebody else's then. */
static int closed_all(int fd)
{
	struct sockaddr_un name;
	socklen_t size = sizeof(name);
	closefrom(fd + 1);
	for (int number = fd + 1; number < 700; number++)
		CHECK(dup2(0, number) == number);
	memset(&name, 0x55, size);
	CHECK(getsockname(fd, (struct sockaddr *)&name, &size) == 0 && is_unix(&name, size, NULL));
	size = sizeof(name);
	memset(&name, 0x55, size);
	CHECK(getpeername(fd, (struct sockaddr *)&name, &size) == 0 && is_unix(&name, size, NULL));
	int second = dup2(fd, 700);
	CHECK(second == 700 && dup2(second, fd) == fd && close(second) == 0);
	for (int number = fd + 1; number < 700; number++)
		CHECK(fcntl(number, F_GETFD) == 0 && close(number) == 0);
	return 0;
}

/* From a file: the answers are its bytes, 16 KiB a message. */
static int send_files(int fd)
{
	char name[] = "/tmp/calls-XXXXXX";
	int file = mkstemp(name);
	off_t offset = 5;
	CHECK(file >= 0 && unlink(name) == 0);
	for (int at = 0; at < 40000; at++)
		CHECK(write(file, &"0123456789"[at % 10], 1) == 1);
	CHECK(sendfile(fd, file, &offset, 10) == 10 && offset == 15);
	CHECK(lseek(file, 0, SEEK_CUR) == 40000 && lseek(file, 3, SEEK_SET) == 3);
	CHECK(sendfile(fd, file, NULL, 4) == 4 && lseek(file, 0, SEEK_CUR) == 7);
	offset = 0;
	CHECK(sendfile(fd, file, &offset, 100000) == 40000 && offset == 40000);
	CHECK(sendfile(fd, file, &offset, 100000) == 0);
	CHECK(sendfile(file, fd, NULL, 10) == -1 && errno == EINVAL);
	CHECK(sendfile(fd, fd, NULL, 10) == -1 && errno == EINVAL);
	CHECK(sendfile(fd, -1, NULL, 10) == -1 && errno == EINVAL);
	return close(file);
}

/* From a file to a full socket: every byte once. */
static int send_file_in_parts(int fd)
{
	char name[] = "/tmp/calls-XXXXXX";
	int file = mkstemp(name);
	off_t offset = 0, size = 8 << 20;
	CHECK(file >= 0 && unlink(name) == 0 && fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
	for (off_t at = 0; at < size; at += 4096) {
		for (int byte = 0; byte < 4096; byte++)
			buffer[byte] = 'a' + (at + byte) % 23;
		CHECK(write(file, buffer, 4096) == 4096);
	}
	while (offset < size) {
		struct pollfd entry = { .fd = fd, .events = POLLOUT };
		ssize_t n = sendfile(fd, file, &offset, 100000);
		CHECK(n > 0 || (n == -1 && errno == EAGAIN && poll(&entry, 1, 30000) == 1));
	}
	CHECK(fcntl(fd, F_SETFL, 0) == 0);
	return close(file);
}

/* Client: "abc", "def", "ghi". What a program may try to go faster is refused
 * as the kernel refuses it elsewhere, and nothing is lost by that. */
static int refusals(int fd)
{
	int pipes[2], file = open("/proc/self/exe", O_RDONLY);
	CHECK(pipe(pipes) == 0);
	CHECK(splice(fd, NULL, pipes[1], NULL, 10, 0) == -1 && errno == EINVAL);
	CHECK(write(pipes[1], "x", 1) == 1);
	CHECK(splice(pipes[0], NULL, fd, NULL, 1, 0) == -1 && errno == EINVAL);
	CHECK(tee(pipes[0], fd, 1, 0) == -1 && errno == EINVAL);
	CHECK(copy_file_range(file, NULL, fd, NULL, 10, 0) == -1 && errno == EINVAL);
	CHECK(pread(fd, buffer, 1, 0) == -1 && errno == ESPIPE);
	CHECK(pwrite(fd, buffer, 1, 0) == -1 && errno == ESPIPE);
	CHECK(recv(fd, buffer, 1, MSG_OOB) == -1 && errno == EOPNOTSUPP);
	CHECK(syscall(SYS_io_uring_setup, 8, buffer) == -1 && errno == ENOSYS);
	CHECK(close(pipes[0]) == 0 && close(pipes[1]) == 0 && close(file) == 0);
	/* A UNIX stream knows no MSG_TRUNC, by which TCP would drop the bytes. */
	memset(buffer, 0, sizeof(buffer));
	CHECK(is(recv(fd, buffer, sizeof(buffer), MSG_TRUNC), "abc"));
	CHECK(is(recv(fd, buffer, sizeof(buffer), MSG_WAITFORONE), "def"));
	struct sockaddr_un name;
	socklen_t size = sizeof(name);
	ssize_t n = recvfrom(fd, buffer, sizeof(buffer), 0, (struct sockaddr *)&name, &size);
	CHECK(is(n, "ghi") && size == 0);
	return 0;
}

/* Client: pings, and "one", "two", "three" when it has their pongs. */
static int other_waits(int fd)
{
	struct timespec time = { .tv_sec = 20 };
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = 7 };
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	fd_set set;
	FD_ZERO(&set);
	FD_SET(fd, &set);
	CHECK(pselect(fd + 1, &set, NULL, NULL, &time, NULL) == 1 && FD_ISSET(fd, &set));
	CHECK(is(recv(fd, buffer, 3, MSG_DONTWAIT), "one"));
	CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0);
	event.data.u64 = 0;
	CHECK(epoll_pwait2(epoll, &event, 1, &time, NULL) == 1 && event.data.u64 == 7);
	CHECK(is(recv(fd, buffer, 3, MSG_DONTWAIT), "two"));
	CHECK(epoll_pwait(epoll, &event, 1, 20000, NULL) == 1 && event.data.u64 == 7);
	CHECK(is(recv(fd, buffer, 5, MSG_DONTWAIT), "three"));
	struct pollfd entry = { .fd = fd, .events = POLLIN };
	time = (struct timespec){ .tv_nsec = 1000 };
	CHECK(ppoll(&entry, 1, &time, NULL) == 0);
	return close(epoll);
}

/* Client: two lines in three messages. The answer: a line, by stdio. */
static int streams(int fd)
{
	FILE *in = fdopen(dup(fd), "r"), *out = fdopen(dup(fd), "w");
	char line[64];
	CHECK(in && out);
	CHECK(fgets(line, sizeof(line), in) && !strcmp(line, "first\n"));
	CHECK(fgets(line, sizeof(line), in) && !strcmp(line, "second\n"));
	CHECK(fprintf(out, "%d lines\n", 2) == 8 && fflush(out) == 0);
	CHECK(fclose(in) == 0 && fclose(out) == 0 && websocket_is(fd) == 1);
	return 0;
}

static const struct check CHECKS[] = {
	{ "addresses", addresses },
	{ "closed_all", closed_all },
	{ "send_files", send_files },
	{ "send_file_in_parts", send_file_in_parts },
	{ "refusals", refusals },
	{ "other_waits", other_waits },
	{ "streams", streams },
};

int main(int argc, char **argv)
{
	(void)argc;
	serve(argv[1], __FILE__, CHECKS, sizeof(CHECKS) / sizeof(*CHECKS));
}
