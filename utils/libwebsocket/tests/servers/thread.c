/* A thread a client, blocking. */
#include "common.h"

static void *serve(void *arg)
{
	int fd = (int)(long)arg;
	while (echo_once(fd))
		;
	close(fd);
	return NULL;
}

int main(int argc, char **argv)
{
	(void)argc;
	int listener = listen_on(argv[1]);
	for (;;) {
		int fd = accept(listener, NULL, NULL);
		if (fd < 0)
			continue;
		pthread_t thread;
		if (pthread_create(&thread, NULL, serve, (void *)(long)fd))
			die("pthread_create");
		pthread_detach(thread);
	}
}
