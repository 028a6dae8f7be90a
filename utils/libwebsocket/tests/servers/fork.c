/* A process a client, which exits without closing. */
#include "common.h"

int main(int argc, char **argv)
{
	(void)argc;
	int listener = listen_on(argv[1]);
	signal(SIGCHLD, SIG_IGN);
	for (;;) {
		int fd = accept(listener, NULL, NULL);
		if (fd < 0)
			continue;
		if (fork() == 0) {
			close(listener);
			while (echo_once(fd))
				;
			exit(0);
		}
		close(fd);
	}
}
