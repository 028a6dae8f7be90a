"""A WSGI application: text, what was posted, and a file by sendfile where gunicorn can."""
import os

from gunicorn.http.wsgi import FileWrapper


def application(environ, start_response):
    path = environ["PATH_INFO"]
    if path == "/file":
        file = open(os.environ["WEB_FILE"], "rb")
        start_response("200 OK", [("Content-Length", str(os.fstat(file.fileno()).st_size))])
        return FileWrapper(file)
    body = environ["wsgi.input"].read() if path == "/echo" else b"Hello"
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
