"""An echo server as Python's asyncio makes them: argv is the socket."""
import asyncio
import sys


async def echo(reader, writer):
    while data := await reader.read(16384):
        writer.write(data)
        await writer.drain()
        if data == b"quit":
            break
    writer.close()


async def main():
    server = await asyncio.start_unix_server(echo, sys.argv[1], backlog=128)
    await server.serve_forever()


asyncio.run(main())
