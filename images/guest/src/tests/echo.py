# SPDX-License-Identifier: Apache-2.0 OR MIT
"""Echo over TCP: `echo.py server HOST PORT`, `echo.py client HOST PORT COUNT`."""

import asyncio
import sys


async def answer(reader, writer):
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    writer.close()


async def serve(host, port):
    server = await asyncio.start_server(answer, host, port, backlog=1024)
    await server.serve_forever()


async def ask(host, port, number, open_by_all):
    reader, writer = await asyncio.open_connection(host, port)
    await open_by_all.wait()
    said = (f"{number} " * 2000).encode()
    writer.write(said)
    writer.write_eof()
    heard = await reader.read(-1)
    writer.close()
    assert heard == said, f"connection {number} gave {len(heard)} of {len(said)} bytes"


async def ask_all(host, port, count):
    together = asyncio.Barrier(count)
    await asyncio.gather(*(ask(host, port, n, together) for n in range(count)))
    print(f"{count} connections at once")


def main():
    role, host, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
    if role == "server":
        asyncio.run(serve(host, port))
    else:
        asyncio.run(ask_all(host, port, int(sys.argv[4])))


main()
