/*
 * faulty.c: a plugin of rpcplugin.h that keeps to its types and to nothing
 * else. Built with -DVERSION=2 it is one of another version.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "rpcplugin.h"

#ifndef VERSION
#define VERSION RPCPLUGIN_ABI
#endif

static const char *const methods[] = { "nothing", "broken", "lines", "twice", "odd", "blocks", "crashes", "patient", NULL };

static int faulty_open(const char *config, void **connection,
                       struct rpcplugin_answer *answer)
{
    (void)connection;
    /* With "later:FILE" it opens as long as FILE is there. */
    if (config[0] == '\0' || (strncmp(config, "later:", 6) == 0 && access(config + 6, F_OK) == 0))
        return 0;
    answer->error(answer, 1, config, NULL);
    return 1;
}

static void faulty_call(void *connection, size_t method, const char *params,
                        size_t length, struct rpcplugin_answer *answer)
{
    (void)connection;
    (void)params;
    (void)length;
    switch (method) {
    case 1:
        answer->result(answer, "{\"a\":\xff", 6);
        break;
    case 2:
        answer->result(answer, "[1,\n2]", 6);
        break;
    case 3:
        answer->error(answer, 1, "first", NULL);
        answer->result(answer, "2", 1);
        break;
    case 4:
        answer->error(answer, -5, "a \"quoted\"\nmessage", "no JSON");
        break;
    case 5:
        for (;;)
            pause();
    case 6:
        abort();
    case 7:
        while (answer->wanted(answer))
            usleep(1000);
        answer->error(answer, 1, "not wanted", NULL);
    }
}

static void faulty_close(void *connection)
{
    (void)connection;
}

static const struct rpcplugin faulty = {
    .abi = VERSION,
    .methods = methods,
    .open = faulty_open,
    .call = faulty_call,
    .close = faulty_close,
};

const struct rpcplugin *rpcplugin_entry(uint32_t server_abi)
{
    (void)server_abi;
    return &faulty;
}
