/*
 * A complete server with websocket.h: each message goes back as it came.
 *
 *	cc -o message_echo message_echo.c $(pkg-config --cflags --libs libwebsocket)
 *	./message_echo /var/run/websocket/echo
 *
 * One process and poll(2), to show that a client's descriptor waits like any
 * other. A message of any length passes in pieces: what was read becomes a
 * fragment, and the fragment that ends the message has WEBSOCKET_FIN.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <websocket.h>

#define CLIENTS 64

struct client {
	int continues; /* The message being echoed has begun. */
};

/* Echoes a piece; returns 0 when the connection is over and closed. */
static int echo(int fd, struct client *client)
{
	char buffer[16384];
	int kind;
	ssize_t n = websocket_recv(fd, buffer, sizeof(buffer), &kind);

	if (n < 0 || (kind & ~WEBSOCKET_FIN) == WEBSOCKET_CLOSE) {
		if (n >= 0)
			printf("closed with %d\n", websocket_close_code(fd));
		websocket_close(fd, 0, NULL);
		return 0;
	}
	if (client->continues)
		kind = (kind & WEBSOCKET_FIN) | WEBSOCKET_CONTINUATION;
	client->continues = !(kind & WEBSOCKET_FIN);
	if (n == 3 && kind != WEBSOCKET_CONTINUATION && !memcmp(buffer, "bye", 3)) {
		websocket_close(fd, 4000, "bye yourself");
		return 0;
	}
	if (websocket_send(fd, kind, buffer, n) != n) {
		close(fd);
		return 0;
	}
	return 1;
}

int main(int argc, char **argv)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct pollfd set[1 + CLIENTS];
	struct client clients[1 + CLIENTS];
	int count = 1;

	if (argc != 2 || strlen(argv[1]) >= sizeof(address.sun_path)) {
		fprintf(stderr, "usage: %s SOCKET\n", argv[0]);
		return 2;
	}
	strcpy(address.sun_path, argv[1]);
	set[0].fd = socket(AF_UNIX, SOCK_STREAM, 0);
	set[0].events = POLLIN;
	if (bind(set[0].fd, (struct sockaddr *)&address, sizeof(address)) ||
	    listen(set[0].fd, 16)) {
		perror(argv[1]);
		return 1;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	for (;;) {
		/* At the limit, new clients wait in the listener's queue. */
		set[0].events = count <= CLIENTS ? POLLIN : 0;
		if (poll(set, count, -1) < 0 && errno != EINTR) {
			perror("poll");
			return 1;
		}
		for (int at = count - 1; at > 0; at--) {
			if (set[at].revents && !echo(set[at].fd, &clients[at])) {
				count--;
				set[at] = set[count];
				clients[at] = clients[count];
			}
		}
		if (set[0].revents) {
			int fd = websocket_accept(set[0].fd, NULL, NULL);

			if (fd < 0)
				continue;
			set[count] = (struct pollfd){ .fd = fd, .events = POLLIN };
			clients[count] = (struct client){ 0 };
			count++;
		}
	}
}
