/* One process, poll, blocking sockets: a wrong "readable" stops it all. */
#include "common.h"

int main(int argc, char **argv)
{
	(void)argc;
	static struct pollfd set[256];
	int n = 1;
	set[0] = (struct pollfd){ .fd = listen_on(argv[1]), .events = POLLIN };
	for (;;) {
		if (poll(set, n, -1) < 0)
			die("poll");
		for (int at = n - 1; at > 0; at--) {
			if (!set[at].revents || echo_once(set[at].fd))
				continue;
			close(set[at].fd);
			set[at] = set[--n];
		}
		if (set[0].revents && n < 256) {
			int client = accept(set[0].fd, NULL, NULL);
			if (client >= 0)
				set[n++] = (struct pollfd){ .fd = client, .events = POLLIN };
		}
	}
}
