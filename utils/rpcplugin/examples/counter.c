/*
 * counter.c: an example plugin in C. Each client has a counter of its own.
 *
 *     cc -shared -fPIC -I ../include -o counter.so counter.c
 *     websocket_jsonrpc -R /var/run/ouistiti -n counter -L ./counter.so -C 40
 *
 *     {"jsonrpc": "2.0", "method": "next", "id": 1}   ->  41
 *     {"jsonrpc": "2.0", "method": "echo", "params": [1, 2], "id": 2}  ->  [1, 2]
 *
 * The string of -C is the number to start from.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "rpcplugin.h"

enum { NEXT, ECHO };

static const char *const methods[] = { [NEXT] = "next", [ECHO] = "echo", NULL };

static int counter_open(const char *config, void **connection,
                        struct rpcplugin_answer *answer)
{
    char *end;
    errno = 0;
    long start = strtol(config, &end, 10);
    if (*end != '\0' || errno != 0) {
        answer->error(answer, RPCPLUGIN_INTERNAL_ERROR,
                      "the option -C of counter takes a number", NULL);
        return -1;
    }
    long *count = malloc(sizeof *count);
    if (count == NULL) {
        answer->error(answer, RPCPLUGIN_INTERNAL_ERROR, "out of memory", NULL);
        return -1;
    }
    *count = start;
    *connection = count;
    return 0;
}

static void counter_call(void *connection, size_t method,
                         const char *params, size_t length,
                         struct rpcplugin_answer *answer)
{
    long *count = connection;
    char text[24];

    switch (method) {
    case NEXT:
        if (params != NULL) {
            answer->error(answer, RPCPLUGIN_INVALID_PARAMS,
                          "Invalid params", "\"next takes none\"");
            return;
        }
        *count = (long)((unsigned long)*count + 1);
        int written = snprintf(text, sizeof text, "%ld", *count);
        answer->result(answer, text, (size_t)written);
        break;
    case ECHO:
        if (params == NULL)
            answer->result(answer, "null", 4);
        else
            answer->result(answer, params, length);
        break;
    }
}

static void counter_close(void *connection)
{
    free(connection);
}

static const struct rpcplugin counter = {
    .abi = RPCPLUGIN_ABI,
    .methods = methods,
    .open = counter_open,
    .call = counter_call,
    .close = counter_close,
};

const struct rpcplugin *rpcplugin_entry(uint32_t server_abi)
{
    return server_abi == RPCPLUGIN_ABI ? &counter : NULL;
}
