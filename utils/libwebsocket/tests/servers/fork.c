/* A process a client, which exits without closing; or, with a second argument,
 * closes and leaves by _exit. */
#include "common.h"

int main(int argc, char **argv)
{
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
			if (argc > 2) {
				close(fd);
				_exit(0);
			}
			exit(0);
		}
		close(fd);
	}
}
