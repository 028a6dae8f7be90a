#!/usr/bin/env python3
"""Tells the gateway who may come in: 2xx with Remote-User, or 403 (login-forward.conf)."""
import http.cookies
import http.server

SESSIONS = {"6f1ed002ab5595859014ebf0951522d9": "ann"}  # the cookie "session" of a sign-in page


class Check(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        cookie = http.cookies.SimpleCookie(self.headers.get("Cookie")).get("session")
        user = SESSIONS.get(cookie.value) if cookie else None
        self.send_response(204 if user else 403)
        self.send_header("Remote-User", user or "")
        self.end_headers()


http.server.ThreadingHTTPServer(("127.0.0.1", 9091), Check).serve_forever()
