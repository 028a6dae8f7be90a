/* One process, select, blocking sockets: a wrong "readable" stops it all. */
#include "common.h"

int main(int argc, char **argv)
{
	(void)argc;
	int listener = listen_on(argv[1]);
	fd_set all;
	FD_ZERO(&all);
	FD_SET(listener, &all);
	for (int top = listener;;) {
		fd_set ready = all;
		struct timeval timeout = { .tv_sec = 60 };
		if (select(top + 1, &ready, NULL, NULL, &timeout) < 0)
			die("select");
		for (int fd = 0; fd <= top; fd++) {
			if (!FD_ISSET(fd, &ready))
				continue;
			if (fd != listener) {
				if (!echo_once(fd)) {
					FD_CLR(fd, &all);
					close(fd);
				}
				continue;
			}
			int client = accept(listener, NULL, NULL);
			if (client >= 0) {
				FD_SET(client, &all);
				top = client > top ? client : top;
			}
		}
	}
}
