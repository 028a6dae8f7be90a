"""Standard input and output over a WebSocket, as an SSH client's ProxyCommand: URL and the
certificate of the authority."""

import os
import ssl
import sys
import threading

from websockets.sync.client import connect

url, authority = sys.argv[1:]
trust = ssl.create_default_context(cafile=authority)
with connect(url, ssl=trust, compression=None, open_timeout=60, ping_timeout=60) as socket:

    def send():
        while data := os.read(0, 1 << 16):
            socket.send(data)
        socket.close()

    threading.Thread(target=send, daemon=True).start()
    for message in socket:
        os.write(1, message if isinstance(message, bytes) else message.encode())
