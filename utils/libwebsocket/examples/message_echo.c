/*
 * A complete server with websocket.h: each message goes back as it came. The
 * message "who" is answered with what the gateway says of the client.
 *
 *	cc -o message_echo message_echo.c $(pkg-config --cflags --libs libwebsocket)
 *	./message_echo /var/run/ouistiti/echo
 *
 * One process and poll(2), to show that a client's descriptor waits like any
 * other. A message comes in pieces, which are collected until WEBSOCKET_FIN.
 */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <websocket.h>

#define CLIENTS 64
#define MIN_ROOM 16384
#define MAX_MESSAGE (32 << 20)

/* The message a client is sending. */
struct message {
	char *data;
	size_t length, size;
};

/* Makes room for the next piece: 0, or -1 without memory. */
static int make_room(struct message *message)
{
	size_t size = message->size ? message->size * 2 : MIN_ROOM;
	char *data;

	if (message->size - message->length >= MIN_ROOM / 2)
		return 0;
	data = realloc(message->data, size);
	if (!data)
		return -1;
	message->data = data;
	message->size = size;
	return 0;
}

/* Answers "who": 0 when the connection is over. */
static int tell_who(int fd)
{
	static const struct { int what; const char *name; } fields[] = {
		{ WEBSOCKET_USER, "user" },
		{ WEBSOCKET_SERVICE, "service" },
		{ WEBSOCKET_ORIGIN, "origin" },
		{ WEBSOCKET_QUERY, "query" },
		{ WEBSOCKET_COOKIES, "cookies" },
	};
	char text[8192] = "";
	size_t length = 0;

	for (size_t at = 0; at < sizeof(fields) / sizeof(fields[0]); at++) {
		const char *value = websocket_client_info(fd, fields[at].what);

		if (value)
			length += snprintf(text + length, sizeof(text) - length,
					   "%s: %s\n", fields[at].name, value);
	}
	return websocket_send(fd, WEBSOCKET_TEXT | WEBSOCKET_FIN, text, length) ==
	       (ssize_t)length;
}

/* Reads a piece, and echoes the message if it was the last; 0 when the
 * connection is over, with the close code that is due, or 0, in *code. */
static int serve(int fd, struct message *message, int *code)
{
	int kind;
	ssize_t n;

	*code = 1011;
	if (make_room(message))
		return 0;
	n = websocket_recv(fd, message->data + message->length,
			   message->size - message->length, &kind);
	*code = 0;
	if (n < 0)
		return 0;
	if (kind == (WEBSOCKET_CLOSE | WEBSOCKET_FIN)) {
		printf("closed with %d\n", websocket_close_code(fd));
		return 0;
	}
	message->length += n;
	if (message->length > MAX_MESSAGE) {
		*code = 1009;
		return 0;
	}
	if (!(kind & WEBSOCKET_FIN))
		return 1;
	if (message->length == 3 && !memcmp(message->data, "bye", 3)) {
		*code = 4000;
		return 0;
	}
	if (message->length == 3 && !memcmp(message->data, "who", 3)) {
		if (!tell_who(fd))
			return 0;
	} else {
		n = websocket_send(fd, kind, message->data, message->length);
		if (n != (ssize_t)message->length)
			return 0;
	}
	/* An idle client holds no memory. */
	free(message->data);
	*message = (struct message){ 0 };
	return 1;
}

int main(int argc, char **argv)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct pollfd set[1 + CLIENTS];
	struct message messages[1 + CLIENTS];
	int code;
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
		if (poll(set, count, -1) < 0) {
			if (errno == EINTR)
				continue;
			perror("poll");
			return 1;
		}
		for (int at = count - 1; at > 0; at--) {
			if (!set[at].revents || serve(set[at].fd, &messages[at], &code))
				continue;
			websocket_close(set[at].fd, code, code == 4000 ? "bye yourself" : NULL);
			free(messages[at].data);
			count--;
			set[at] = set[count];
			messages[at] = messages[count];
		}
		if (set[0].revents) {
			int fd = websocket_accept(set[0].fd, NULL, NULL);

			if (fd < 0)
				continue;
			set[count] = (struct pollfd){ .fd = fd, .events = POLLIN };
			messages[count] = (struct message){ 0 };
			count++;
		}
	}
}
