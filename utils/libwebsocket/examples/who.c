/*
 * A server behind the relay that knows who its client is, without any library:
 * the gateway begins each connection with a header where proxy = "v2" is set.
 *
 *	cc -o who who.c
 *	./who /var/run/ouistiti/who
 *
 * It tells each client what the gateway says of it, a line for each field. A
 * process for each client. The header is that of the PROXY protocol, version 2;
 * numbers in it are big-endian.
 */
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static const unsigned char SIGNATURE[12] = "\r\n\r\n\0\r\nQUIT\n";

/* The fields, as the gateway numbers them. */
static const struct { unsigned char kind; const char *name; } FIELDS[] = {
	{ 0x02, "server name" }, { 0xe0, "service" }, { 0xe1, "origin" },
	{ 0xe2, "certificate" }, { 0xe3, "user" },    { 0xe4, "query" },
	{ 0xe5, "cookies" },	 { 0xe6, "id" },
};

static size_t number(const unsigned char *bytes)
{
	return bytes[0] << 8 | bytes[1];
}

/* Reads so many bytes and no more: what follows the header is the client's. */
static int read_all(int fd, unsigned char *buffer, size_t size)
{
	size_t done = 0;

	while (done < size) {
		ssize_t n = read(fd, buffer + done, size - done);

		if (n <= 0)
			return -1;
		done += n;
	}
	return 0;
}

/* Writes what the header says; -1 if there is none. */
static int tell_who(int fd)
{
	static unsigned char header[16 + 65535];
	unsigned char *at = header + 16, *end;
	char text[INET6_ADDRSTRLEN];

	if (read_all(fd, header, 16) || memcmp(header, SIGNATURE, 12))
		return -1;
	end = at + number(header + 14);
	if (read_all(fd, at, end - at))
		return -1;
	/* Both addresses and both ports: the client's come first. */
	if (header[13] == 0x11 && end - at >= 12) {
		dprintf(fd, "address: %s\n", inet_ntop(AF_INET, at, text, sizeof(text)));
		at += 12;
	} else if (header[13] == 0x21 && end - at >= 36) {
		dprintf(fd, "address: %s\n", inet_ntop(AF_INET6, at, text, sizeof(text)));
		at += 36;
	} else if (header[13] == 0x31 && end - at >= 216) {
		at += 216;
	}
	/* Type, length, value. */
	while (end - at >= 3 && (size_t)(end - at) >= 3 + number(at + 1)) {
		for (size_t field = 0; field < sizeof(FIELDS) / sizeof(FIELDS[0]); field++)
			if (FIELDS[field].kind == at[0])
				dprintf(fd, "%s: %.*s\n", FIELDS[field].name,
					(int)number(at + 1), (char *)at + 3);
		at += 3 + number(at + 1);
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int listener;

	if (argc != 2 || strlen(argv[1]) >= sizeof(address.sun_path)) {
		fprintf(stderr, "usage: %s SOCKET\n", argv[0]);
		return 2;
	}
	strcpy(address.sun_path, argv[1]);
	listener = socket(AF_UNIX, SOCK_STREAM, 0);
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) || listen(listener, 16)) {
		perror(argv[1]);
		return 1;
	}
	/* Nobody waits for the processes of the clients. */
	signal(SIGCHLD, SIG_IGN);
	for (;;) {
		int client = accept(listener, NULL, NULL);

		if (client >= 0 && fork() == 0) {
			if (tell_who(client))
				fputs("no header: the gateway needs proxy = \"v2\"\n", stderr);
			return 0;
		}
		if (client >= 0)
			close(client);
	}
}
