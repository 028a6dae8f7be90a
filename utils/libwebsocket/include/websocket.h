/*
 * websocket.h - WebSocket messages on clients handed over by the gateway.
 *
 * A server listens on a UNIX socket that the gateway serves with
 * options="direct". The gateway does the WebSocket handshake and gives the
 * client's TCP socket to the server; these functions read and write messages
 * on it (RFC 6455). Pings are answered inside. See websocket.h(3).
 *
 * Link with -lwebsocket. All functions set errno when they fail: ENOTCONN for
 * a descriptor that is no WebSocket connection, and what stands beside them.
 * None raises SIGPIPE.
 */
#ifndef WEBSOCKET_H
#define WEBSOCKET_H

#include <sys/socket.h>
#include <sys/types.h>

#ifdef __cplusplus
extern "C" {
#endif

/* This header's version: 10000 for the first number, 100 for the second. */
#define WEBSOCKET_VERSION 100

/* What a message or frame is: its opcode. */
#define WEBSOCKET_CONTINUATION 0x00
#define WEBSOCKET_TEXT 0x01
#define WEBSOCKET_BINARY 0x02
#define WEBSOCKET_CLOSE 0x08
/* Added to the opcode where a message ends. */
#define WEBSOCKET_FIN 0x80

/* What the gateway says of a client, for websocket_client_info. */
#define WEBSOCKET_SERVICE 0xe0 /* the name that was asked for */
#define WEBSOCKET_ORIGIN 0xe1  /* the page's; only browsers send it */
#define WEBSOCKET_USER 0xe3    /* who has logged in at the gateway */
#define WEBSOCKET_QUERY 0xe4   /* of the request, without its '?' */
#define WEBSOCKET_COOKIES 0xe5 /* as the Cookie field has them */

/*
 * Accepts a client as accept(2) does. The descriptor is close-on-exec and
 * blocking; it may be given to poll, select and epoll. A plain UNIX client that
 * has said something already is closed and fails with EPROTO: go on with the
 * next. One that speaks later counts as a client that has left. Address and
 * length, or NULL, get the client's IP address if the client is there already,
 * else a UNIX address: getpeername(2) tells it after the first message.
 */
int websocket_accept(int listener, struct sockaddr *address, socklen_t *length);

/*
 * The same over a connection from the gateway that has been accepted by
 * other means; that connection stays open and is to be closed, and its end
 * tells the gateway that of the client. EAGAIN: nothing has come within 300 ms,
 * or yet on a non-blocking socket. EPROTO: it is not the gateway's.
 */
int websocket_receive(int gateway, struct sockaddr *address, socklen_t *length);

/*
 * 1 if the descriptor is a WebSocket connection, else 0, also where its client
 * has not come yet: that is known once poll calls it readable or writable.
 */
int websocket_is(int fd);

/*
 * What the gateway says of the client: WEBSOCKET_USER and the like. A string
 * that lives until the client's last descriptor is closed; or NULL, with
 * ENODATA where the request has no such thing or it is too long (all together
 * have room for 4 KiB), EAGAIN where the client has not come yet to a
 * non-blocking socket. The address is getpeername(2)'s.
 */
const char *websocket_client_info(int fd, int what);

/*
 * Reads up to size bytes of a message. *kind gets the message's opcode, TEXT
 * or BINARY, with WEBSOCKET_FIN added where the message ends with these
 * bytes; a longer message, or one in fragments, takes several calls. An empty
 * message gives 0 bytes with FIN.
 *
 * At the end of the connection it returns 0 with kind WEBSOCKET_CLOSE |
 * WEBSOCKET_FIN: see websocket_close_code. -1: EINVAL for a size of 0 or no
 * kind, EPROTO if the client broke a rule (it has been sent a Close that says
 * so), EAGAIN on a non-blocking socket, or what recv(2) says.
 */
ssize_t websocket_recv(int fd, void *buffer, size_t size, int *kind);

/*
 * Sends a frame: a message of its own (TEXT or BINARY, with FIN), or the first
 * fragment of one (without FIN), or a further one (CONTINUATION, the last with
 * FIN). Returns the bytes sent; fewer than size on a non-blocking socket, and
 * then the rest is to be sent by a call with the same kind. -1: EAGAIN on a
 * non-blocking socket, where the same call is to be made again, with the same
 * kind and data, and no other message before it; EINVAL for fragments out of
 * order, EILSEQ for text that is not UTF-8, EPIPE after a Close, or what
 * send(2) says.
 */
ssize_t websocket_send(int fd, int kind, const void *data, size_t size);

/*
 * Sends a ping of up to 125 bytes: 0, also if it has to wait for room and goes
 * by itself as soon as there is some; or -1, and then it has not been sent:
 * EINVAL for a longer one, EPIPE after a Close, EAGAIN on a non-blocking
 * socket where another waits already or a message is half sent.
 */
int websocket_ping(int fd, const void *data, size_t size);

/* How many pongs have come so far (they are counted by websocket_recv). */
unsigned int websocket_pongs(int fd);

/*
 * How the client ended the connection: its close code, 1005 if its Close had
 * none, 1006 if there was no Close; 0 while it is open.
 */
int websocket_close_code(int fd);

/*
 * Sends a Close with this code (1000 is the normal one; 0 answers with the
 * client's own) and reason (UTF-8 of up to 123 bytes, or NULL), and closes
 * the descriptor. close(2) does the same as code 0; the reason is ignored
 * then. -1 with EINVAL for a code or reason that may not be sent, or with
 * ENOTCONN for a descriptor that is no WebSocket connection: it is open then.
 */
int websocket_close(int fd, int code, const char *reason);

#ifdef __cplusplus
}
#endif

#endif
