/* Reads, writes, waits, forks and closes in unusual ways. */
#include "checks.h"

/* Made when a client's socket is full. */
static char full[128];

static long now_ms(void)
{
	struct timespec time;
	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000 + time.tv_nsec / 1000000;
}

/* Client: "abcdef". */
static int peek(int fd)
{
	CHECK(is(recv(fd, buffer, 3, MSG_PEEK), "abc"));
	CHECK(is(recv(fd, buffer, sizeof(buffer), MSG_PEEK), "abcdef"));
	CHECK(is(read(fd, buffer, 2), "ab"));
	CHECK(is(recv(fd, buffer, sizeof(buffer), MSG_PEEK), "cdef"));
	CHECK(is(read(fd, buffer, sizeof(buffer)), "cdef"));
	errno = 42;
	CHECK(recv(fd, buffer, 1, MSG_DONTWAIT) == -1 && errno == EAGAIN);
	return 0;
}

/* Client: "ab", "cd", "ef", and a ping among them. */
static int waitall(int fd)
{
	CHECK(is(recv(fd, buffer, 6, MSG_WAITALL), "abcdef"));
	return 0;
}

/* Client: "12345", "67". */
static int fionread(int fd)
{
	int count = -1;
	CHECK(readable(fd, 10000) == 1);
	CHECK(ioctl(fd, FIONREAD, &count) == 0 && count == 5);
	CHECK(is(read(fd, buffer, sizeof(buffer)), "12345"));
	CHECK(is(read(fd, buffer, sizeof(buffer)), "67"));
	CHECK(ioctl(fd, FIONREAD, &count) == 0 && count == 0);
	return 0;
}

/* Client: "one", "two", "three", "four". */
static int duplicate(int fd)
{
	int second = dup(fd), third = fcntl(fd, F_DUPFD_CLOEXEC, 100), fourth;
	CHECK(second >= 0 && third >= 100);
	CHECK(is(read(second, buffer, sizeof(buffer)), "one"));
	CHECK(close(second) == 0);
	CHECK(is(read(third, buffer, sizeof(buffer)), "two"));
	fourth = dup2(third, second);
	CHECK(fourth == second && close(third) == 0);
	CHECK(is(read(fourth, buffer, sizeof(buffer)), "three"));
	CHECK(dup3(open("/dev/null", O_RDONLY), fourth, O_CLOEXEC) == fourth);
	CHECK(read(fourth, buffer, sizeof(buffer)) == 0 && close(fourth) == 0);
	CHECK(is(read(fd, buffer, sizeof(buffer)), "four"));
	return 0;
}

/* Client: pings only, until the answer comes. */
static int timeouts(int fd)
{
	long start = now_ms();
	CHECK(readable(fd, 200) == 0);
	CHECK(now_ms() - start >= 200);
	start = now_ms();
	fd_set set;
	FD_ZERO(&set);
	FD_SET(fd, &set);
	struct timeval left = { .tv_usec = 200000 };
	CHECK(select(fd + 1, &set, NULL, NULL, &left) == 0 && !FD_ISSET(fd, &set));
	CHECK(now_ms() - start >= 200);
	start = now_ms();
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = 7 };
	CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0);
	CHECK(epoll_wait(epoll, &event, 1, 200) == 0);
	CHECK(now_ms() - start >= 200);
	CHECK(readable(fd, 0) == 0);
	event = (struct epoll_event){ .events = EPOLLOUT, .data.u64 = 8 };
	CHECK(epoll_ctl(epoll, EPOLL_CTL_MOD, fd, &event) == 0);
	CHECK(epoll_wait(epoll, &event, 1, 200) == 1 && event.data.u64 == 8);
	CHECK(epoll_ctl(epoll, EPOLL_CTL_DEL, fd, NULL) == 0 && close(epoll) == 0);
	return 0;
}

/* Client: half of a message, and after "go" some of the rest: a poll has made
 * the kernel wait for all of it, which is not what is asked for here. */
static int pieces(int fd)
{
	int kind;
	CHECK(readable(fd, 200) == 0);
	CHECK(is(recv(fd, buffer, sizeof(buffer), MSG_PEEK), "half"));
	CHECK(readable(fd, 200) == 0);
	CHECK(websocket_recv(fd, buffer, sizeof(buffer), &kind) == 4 && kind == WEBSOCKET_TEXT);
	CHECK(write(fd, "go", 2) == 2);
	CHECK(readable(fd, 10000) == 1);
	CHECK(websocket_recv(fd, buffer, sizeof(buffer), &kind) == 4 && kind == WEBSOCKET_TEXT);
	return 0;
}

/* Client: "abc". The answer: "xyz", one message of three buffers. */
static int vectors(int fd)
{
	char one[2], two[8];
	struct iovec in[] = { { NULL, 0 }, { one, 2 }, { two, 8 } };
	ssize_t n = readv(fd, in, 3);
	CHECK(n == 2 && !memcmp(one, "ab", 2));
	struct msghdr message = { .msg_iov = in + 1, .msg_iovlen = 2 };
	CHECK(recvmsg(fd, &message, 0) == 1 && one[0] == 'c');
	struct iovec out[] = { { "x", 1 }, { NULL, 0 }, { "y", 1 }, { "z", 1 } };
	CHECK(writev(fd, out, 4) == 3);
	return 0;
}

/* Nothing that bypasses the frames. */
static int bypass(int fd)
{
	CHECK(send(fd, "!", 1, MSG_OOB) == -1 && errno == EOPNOTSUPP);
	CHECK(write(fd, "", 0) == 0 && read(fd, buffer, 0) == 0);
	return 0;
}

/* Client: "one", "two". However a descriptor is closed, its number is none of
 * a client's then; and what fails closes nothing. */
static int closings(int fd)
{
	int number = dup(fd);
	CHECK(websocket_is(number) == 1);
	CHECK(fclose(fdopen(number, "r+")) == 0 && websocket_is(number) == 0);
	CHECK(dup2(fd, 200) == 200 && close_range(200, 300, CLOSE_RANGE_CLOEXEC) == 0);
	CHECK(websocket_is(200) == 1);
	CHECK(close_range(200, 300, 0) == 0 && websocket_is(200) == 0);
	CHECK(dup2(fd, 200) == 200);
	CHECK(syscall(SYS_close_range, 200, 300, 0) == 0 && websocket_is(200) == 0);
	CHECK(dup2(fd, 200) == 200);
	closefrom(200);
	CHECK(websocket_is(200) == 0 && websocket_is(fd) == 1);
	CHECK(dup2(-1, fd) == -1 && dup3(300, fd, 0) == -1 && dup3(0, fd, 1) == -1);
	CHECK(close_range(300, 200, 0) == -1);
	struct iovec parts[] = { { buffer, 3 }, { buffer + 3, 3 } };
	struct mmsghdr messages[] = {
		{ .msg_hdr = { .msg_iov = parts, .msg_iovlen = 1 } },
		{ .msg_hdr = { .msg_iov = parts + 1, .msg_iovlen = 1 } },
	};
	CHECK(recvmmsg(fd, messages, 2, 0, NULL) == 1 && messages[0].msg_len == 3);
	CHECK(recvmmsg(fd, messages + 1, 1, 0, NULL) == 1 && messages[1].msg_len == 3);
	CHECK(is(6, "onetwo"));
	CHECK(sendmmsg(fd, messages, 2, 0) == 1 && messages[0].msg_len == 3);
	return 0;
}

/* What is no text goes out as binary, half a character waits for its rest:
 * the answers are binary ff, then the text of e2 82 ac. */
static int types(int fd)
{
	CHECK(write(fd, "\xff", 1) == 1);
	CHECK(write(fd, "\xe2\x82", 2) == 2);
	CHECK(write(fd, "\xac", 1) == 1);
	return 0;
}

/* The client sends "later" after our Close, then its own. */
static int half_close(int fd)
{
	CHECK(shutdown(fd, SHUT_WR) == 0);
	CHECK(write(fd, "no more", 7) == -1 && errno == EPIPE);
	CHECK(is(read(fd, buffer, sizeof(buffer)), "later"));
	CHECK(read(fd, buffer, sizeof(buffer)) == 0);
	CHECK(readable(fd, 0) == 1);
	return 0;
}

/* What a full socket does not take: no byte is lost, none comes twice. The
 * client begins to read when it has been told by the ping's pong. */
static int partial(int fd)
{
	CHECK(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
	static char block[50000];
	unsigned int sent = 0, total = 8u << 20;
	while (sent < total) {
		unsigned int size = total - sent < sizeof(block) ? total - sent : sizeof(block);
		for (unsigned int at = 0; at < size; at++)
			block[at] = 'a' + (sent + at) % 23;
		/* Another length at each try, as programs may. */
		ssize_t n = write(fd, block, size - size * (sent % 7) / 10);
		if (n < 0) {
			CHECK(errno == EAGAIN);
			struct pollfd entry = { .fd = fd, .events = POLLOUT };
			CHECK(poll(&entry, 1, 30000) == 1);
			continue;
		}
		sent += n;
	}
	CHECK(fcntl(fd, F_SETFL, 0) == 0);
	return 0;
}

/* Pings until there is no room: in our buffer, and in the client's, which does
 * not read yet. So no message is half sent. */
static int fill(int fd)
{
	int size = 65536, sent = 1;
	if (fcntl(fd, F_SETFL, O_NONBLOCK) ||
	    setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)))
		return -1;
	for (int quiet = 0; quiet < 5; quiet = sent ? 0 : quiet + 1) {
		for (sent = 0; websocket_ping(fd, "x", 1) == 0; sent++)
			;
		if (errno != EAGAIN)
			return -1;
		usleep(sent ? 0 : 50000);
	}
	return 0;
}

/* Lets the client read. */
static void drain(void)
{
	close(creat(full, 0600));
}

/* Client: a ping at once, and "done" when it has the pong, for which there is
 * room only when it reads. */
static int full_pong(int fd)
{
	CHECK(fill(fd) == 0);
	drain();
	CHECK(readable(fd, 10000) == 1);
	CHECK(is(read(fd, buffer, sizeof(buffer)), "done"));
	return SILENT;
}

/* Client: a ping at once. There is no room for its pong, nor for the fragment
 * that is sent behind it, and then sent again. */
static int full_fragment(int fd)
{
	struct pollfd entry = { .fd = fd, .events = POLLOUT };
	CHECK(fill(fd) == 0 && readable(fd, 0) == 0);
	CHECK(websocket_send(fd, WEBSOCKET_TEXT, "begin", 5) == -1 && errno == EAGAIN);
	drain();
	CHECK(poll(&entry, 1, 10000) == 1);
	CHECK(websocket_send(fd, WEBSOCKET_TEXT, "begin", 5) == 5);
	CHECK(websocket_send(fd, WEBSOCKET_CONTINUATION | WEBSOCKET_FIN, "end", 3) == 3);
	return SILENT;
}

static void *write_some(void *arg)
{
	int fd = *(int *)arg;
	for (int count = 0; count < 200; count++)
		if (write(fd, "some", 4) != 4)
			return arg;
	return NULL;
}

static int two_writers(int fd)
{
	pthread_t thread;
	void *failed = NULL;
	CHECK(pthread_create(&thread, NULL, write_some, &fd) == 0);
	void *also_failed = write_some(&fd);
	CHECK(pthread_join(thread, &failed) == 0 && !failed && !also_failed);
	return SILENT;
}

/* There is room for all of it: EAGAIN would mean no more than that another
 * thread writes. */
static int two_nonblocking_writers(int fd)
{
	int size = 4 << 20;
	CHECK(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
	CHECK(setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size)) == 0);
	return two_writers(fd);
}

/* Client: its Close in answer to ours, behind half a character. */
static int full_close(int fd)
{
	CHECK(fill(fd) == 0);
	CHECK(write(fd, "\xe2\x82", 2) == 2);
	for (int again = 0; again < 100; again++)
		CHECK(shutdown(fd, SHUT_WR) == 0);
	CHECK(write(fd, "more", 4) == -1 && errno == EPIPE);
	drain();
	CHECK(readable(fd, 10000) == 1);
	CHECK(read(fd, buffer, sizeof(buffer)) == 0);
	return SILENT;
}

/* Client: nothing. The server closes a blocking socket without room, and then
 * does nothing but wait for the next client. */
static int full_then_close(int fd)
{
	CHECK(fill(fd) == 0 && fcntl(fd, F_SETFL, 0) == 0);
	drain();
	return SILENT;
}

/* Client: "after the fork". A child has no use for the descriptors, which are
 * still the parent's, and so are what epoll knows of them. */
static int fork_epoll(int fd)
{
	int second = dup(fd), epoll = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = { .events = EPOLLIN, .data.u64 = 1 };
	CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0);
	event.data.u64 = 2;
	CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, second, &event) == 0);
	pid_t child = fork();
	if (child == 0)
		_exit(close(fd) || dup2(open("/dev/null", O_RDONLY), second) != second);
	int status = -1;
	CHECK(waitpid(child, &status, 0) == child && status == 0);
	struct epoll_event events[2];
	CHECK(epoll_wait(epoll, events, 2, 10000) == 2);
	CHECK(events[0].data.u64 + events[1].data.u64 == 3);
	CHECK(is(read(fd, buffer, sizeof(buffer)), "after the fork"));
	CHECK(close(second) == 0 && close(epoll) == 0);
	return 0;
}

static void fork_now(void)
{
	if (fork() == 0)
		_exit(0);
	wait(NULL);
}

static void *fork_later(void *unused)
{
	usleep(300000);
	fork_now();
	return unused;
}

/* What the library asks for the kernel's version. */
static const char *pretended;

int uname(struct utsname *name)
{
	int result = syscall(SYS_uname, name);
	if (pretended)
		snprintf(name->release, sizeof(name->release), "%s", pretended);
	return result;
}

/* Client: 40 000 bytes of a message of 60 000, of which the receive buffer has
 * room for a quarter at least; the rest after "go". */
static int old_kernel(int fd)
{
	static char message[60000];
	pretended = "5.6.19";
	CHECK(readable(fd, 10000) == 1);
	pretended = NULL;
	CHECK(recv(fd, message, 40000, MSG_WAITALL) == 40000);
	CHECK(write(fd, "go", 2) == 2);
	CHECK(recv(fd, message, 20000, MSG_WAITALL) == 20000);
	return 0;
}

/* Client: its Close, after the fork. The process that forked goes on with the
 * client, so its close is the one that says Close: here and below. */
static int fork_in_read(int fd)
{
	pthread_t thread;
	CHECK(pthread_create(&thread, NULL, fork_later, NULL) == 0);
	ssize_t n = read(fd, buffer, sizeof(buffer));
	CHECK(pthread_join(thread, NULL) == 0 && n == 0);
	return SILENT;
}

static int fork_then_poll(int fd)
{
	fork_now();
	CHECK(readable(fd, 10) == 0);
	return SILENT;
}

static int fork_then_select(int fd)
{
	fd_set set;
	FD_ZERO(&set);
	FD_SET(fd, &set);
	struct timeval time = { .tv_usec = 10000 };
	fork_now();
	CHECK(select(fd + 1, &set, NULL, NULL, &time) == 0);
	return SILENT;
}

static int fork_with_epoll(int fd)
{
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event = { .events = EPOLLIN };
	CHECK(epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event) == 0);
	fork_now();
	return SILENT;
}

/* Nothing is done with the client since: it is the child's. */
static int fork_alone(int fd)
{
	(void)fd;
	fork_now();
	return SILENT;
}

/* Where there is no client, a wait is as short as it was asked to be. */
static int is_exact(void)
{
	int epoll = epoll_create1(EPOLL_CLOEXEC);
	struct epoll_event event;
	struct timespec short_time = { .tv_nsec = 1000 }, start, end;
	for (int tries = 0; tries < 100; tries++) {
		clock_gettime(CLOCK_MONOTONIC, &start);
		if (epoll_pwait2(epoll, &event, 1, &short_time, NULL))
			break;
		clock_gettime(CLOCK_MONOTONIC, &end);
		long nanos = (end.tv_sec - start.tv_sec) * 1000000000 + end.tv_nsec - start.tv_nsec;
		if (nanos < 1000000)
			return close(epoll) == 0;
	}
	return 0;
}

static const struct check CHECKS[] = {
	{ "peek", peek },
	{ "waitall", waitall },
	{ "fionread", fionread },
	{ "dup", duplicate },
	{ "timeouts", timeouts },
	{ "vectors", vectors },
	{ "bypass", bypass },
	{ "types", types },
	{ "half_close", half_close },
	{ "partial", partial },
	{ "pieces", pieces },
	{ "closings", closings },
	{ "old_kernel", old_kernel },
	{ "full_fragment", full_fragment },
	{ "two_writers", two_writers },
	{ "two_nonblocking_writers", two_nonblocking_writers },
	{ "full_pong", full_pong },
	{ "full_close", full_close },
	{ "full_then_close", full_then_close },
	{ "fork_epoll", fork_epoll },
	{ "fork_in_read", fork_in_read },
	{ "fork_then_poll", fork_then_poll },
	{ "fork_then_select", fork_then_select },
	{ "fork_with_epoll", fork_with_epoll },
	{ "fork_alone", fork_alone },
};

int main(int argc, char **argv)
{
	(void)argc;
	if (!is_exact())
		die("epoll_pwait2");
	snprintf(full, sizeof(full), "%s.full", argv[1]);
	serve(argv[1], __FILE__, CHECKS, sizeof(CHECKS) / sizeof(*CHECKS));
}
