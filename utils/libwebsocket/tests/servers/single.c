/* One client after the other, blocking: what holds one up holds up all. */
#include "common.h"

int main(int argc, char **argv)
{
	(void)argc;
	int listener = listen_on(argv[1]);
	for (;;) {
		int fd = accept(listener, NULL, NULL);
		if (fd < 0)
			continue;
		while (echo_once(fd))
			;
		close(fd);
	}
}
