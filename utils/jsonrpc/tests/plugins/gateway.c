/*
 * gateway.c: a plugin of the C gateway, with every kind of answer such
 * plugins give. The tests build it against libjansson.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <jansson.h>

struct jsonrpc_method_entry_t {
    const char *name;
    int (*func)(json_t *params, json_t **result, void *ctx);
    const char *params_spec;
};

json_t *jsonrpc_error_object(int code, const char *message, json_t *data);
json_t *jsonrpc_error_object_predefined(int code, json_t *data);

static int clients;

static int add(json_t *params, json_t **result, void *ctx)
{
    (void)ctx;
    json_int_t sum = json_integer_value(json_array_get(params, 0))
                   + json_integer_value(json_array_get(params, 1));
    *result = json_integer(sum);
    return 0;
}

static int echo(json_t *params, json_t **result, void *ctx)
{
    (void)ctx;
    *result = params == NULL ? json_null() : json_incref(params);
    return 0;
}

static int config(json_t *params, json_t **result, void *ctx)
{
    (void)params;
    *result = json_string(ctx);
    return 0;
}

static int count(json_t *params, json_t **result, void *ctx)
{
    (void)params;
    (void)ctx;
    *result = json_integer(clients);
    return 0;
}

static int fail(json_t *params, json_t **result, void *ctx)
{
    (void)params;
    (void)ctx;
    *result = jsonrpc_error_object(7, "a failure of its own", json_string("data"));
    return -1;
}

static int predefined(json_t *params, json_t **result, void *ctx)
{
    (void)params;
    (void)ctx;
    *result = jsonrpc_error_object_predefined(-32602, NULL);
    return 1;
}

static int silent(json_t *params, json_t **result, void *ctx)
{
    (void)params;
    (void)result;
    (void)ctx;
    return -1;
}

/* As the C gateway's adduser: success with a code that is not 0. */
static int done(json_t *params, json_t **result, void *ctx)
{
    (void)params;
    (void)ctx;
    *result = json_pack("{ss}", "message", "user added");
    return 101;
}

static int block(json_t *params, json_t **result, void *ctx)
{
    (void)params;
    (void)result;
    (void)ctx;
    pause();
    return -1;
}

static struct jsonrpc_method_entry_t table[] = {
    { "add", add, "[ii]" },
    { "echo", echo, NULL },
    { "object", echo, "o" },
    { "named", echo, "{s:s}" },
    { "config", config, "" },
    { "count", count, "" },
    { "fail", fail, NULL },
    { "predefined", predefined, NULL },
    { "silent", silent, NULL },
    { "done", done, NULL },
    { "block", block, NULL },
    { NULL, NULL, NULL },
};

void *jsonrpc_init(struct jsonrpc_method_entry_t **methods, char *string)
{
    *methods = table;
    if (strcmp(string, "unusable") == 0)
        return NULL;
    clients++;
    return strdup(string);
}

void jsonrpc_release(void *ctx)
{
    /* As most plugins: there is no release without a context. */
    if (ctx == NULL)
        abort();
    clients--;
    free(ctx);
}
