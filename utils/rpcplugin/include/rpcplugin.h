/*
 * rpcplugin.h: the interface between websocket_jsonrpc and its plugins.
 *
 * A plugin is a shared library that exports rpcplugin_entry(). JSON crosses
 * the interface as UTF-8 text, so both sides are free in how they parse it.
 * Memory never changes hands: each side frees what it has made.
 *
 * The server opens the plugin once for each of its clients, and before that
 * once at its start, to close it at once: a config that the plugin cannot use
 * ends the start. Standard error then still is that of whoever starts it.
 * Calls for one client come one after the other; those of different clients
 * come from different threads at the same time, or with -F from different
 * processes. With -D or -F the server forks after the first close: a thread
 * that is left running then is gone.
 */
#ifndef RPCPLUGIN_H
#define RPCPLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The version of this interface. It changes when a structure changes. */
#define RPCPLUGIN_ABI 2u

/* The error codes of JSON-RPC 2.0, section 5.1, that a plugin may need. */
#define RPCPLUGIN_METHOD_NOT_FOUND (-32601)
#define RPCPLUGIN_INVALID_PARAMS   (-32602)
#define RPCPLUGIN_INTERNAL_ERROR   (-32603)

/* The error code of a plugin that reserve() has refused memory. */
#define RPCPLUGIN_BUSY             (-32000)

/*
 * Where a call leaves its answer: one call of result or of error. If there
 * are several the last one counts; without any the client is told of an
 * internal error. The strings are copied before the function returns.
 *
 * All functions here are for the thread that runs the call, until it returns.
 */
struct rpcplugin_answer {
    void *server; /* the server's own */
    /* json: one JSON value of length bytes. */
    void (*result)(struct rpcplugin_answer *answer,
                   const char *json, size_t length);
    /* data: one JSON value, or NULL. Both strings end with a NUL. */
    void (*error)(struct rpcplugin_answer *answer,
                  int32_t code, const char *message, const char *data);
    /*
     * Whether the answer is still wanted: 1, or 0 once the client has left or
     * its batch has had its time. A call that takes long asks now and then, and
     * returns when it is 0. Asking costs little.
     */
    int (*wanted)(struct rpcplugin_answer *answer);
    /*
     * Asks for memory, before it is allocated: 1 if the call may use this many
     * bytes more until it returns, or 0 if the clients of the server have taken
     * all there is: then the call answers RPCPLUGIN_BUSY.
     */
    int (*reserve)(struct rpcplugin_answer *answer, size_t bytes);
    /* The network address of the client as text, or NULL if it is not known. */
    const char *client;
};

struct rpcplugin {
    uint32_t abi; /* RPCPLUGIN_ABI */

    /* The names of the methods, ended by a NULL. */
    const char *const *methods;

    /*
     * A client has come, or the server starts. config is the string of the
     * option -C ("" without). Returns 0 and, in *connection, what the further
     * calls are given; or something else, after answer->error said why.
     */
    int (*open)(const char *config, void **connection,
                struct rpcplugin_answer *answer);

    /*
     * The client calls methods[method]. params is a JSON array or object of
     * length bytes, followed by a NUL; or NULL if the request had none.
     */
    void (*call)(void *connection, size_t method,
                 const char *params, size_t length,
                 struct rpcplugin_answer *answer);

    /* The client has gone. */
    void (*close)(void *connection);
};

/*
 * What the plugin exports. server_abi is the server's RPCPLUGIN_ABI; a plugin
 * that cannot work with it returns NULL. The structure stays valid for ever.
 */
const struct rpcplugin *rpcplugin_entry(uint32_t server_abi);

#ifdef __cplusplus
}
#endif

#endif
