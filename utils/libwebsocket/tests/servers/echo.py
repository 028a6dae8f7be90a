"""An echo server as Python's socketserver makes them: argv is the socket and
"thread" or "fork"."""
import socketserver
import sys


class Echo(socketserver.BaseRequestHandler):
    def handle(self):
        while data := self.request.recv(16384):
            self.request.sendall(data)
            if data == b"quit":
                return


class Threads(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 128


class Forks(socketserver.ForkingMixIn, socketserver.UnixStreamServer):
    request_queue_size = 128
    max_children = 200


with (Forks if sys.argv[2] == "fork" else Threads)(sys.argv[1], Echo) as server:
    server.serve_forever()
