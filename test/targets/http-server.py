"""A Python server as a target: the same service as http-server.ts, with CPython's reference counts and small objects."""
import asyncio
import hashlib
import json
import random
import sys

RECORD_BYTES = 4096
COUNT = int(sys.argv[1]) * 2**20 // RECORD_BYTES if len(sys.argv) > 1 else 8192


def make_record(index, version):
    text = f"{index}.{version}.".ljust(RECORD_BYTES // 2, chr(97 + (index + version) % 26))
    digest = hashlib.sha256(text.encode()).digest()
    return {"version": version, "text": text, "bytes": digest * (RECORD_BYTES // 2 // 32)}


def is_right(record, index):
    return record == make_record(index, record["version"])


RECORDS = [make_record(i, 0) for i in range(COUNT)]


def answer(path):
    if path == "/check":
        return 200, f"wrong={sum(not is_right(r, i) for i, r in enumerate(RECORDS))}"
    index = random.randrange(COUNT)
    record = RECORDS[index]
    RECORDS[index] = make_record(index, record["version"] + 1)
    return 200 if is_right(record, index) else 500, f"{path} {record['text']}"


async def serve(reader, writer):
    while True:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
        except (asyncio.IncompleteReadError, ConnectionError):
            break
        status, body = answer(head.split(b" ", 2)[1].decode())
        writer.write(f"HTTP/1.1 {status} x\r\nContent-Length: {len(body)}\r\n\r\n{body}".encode())
        await writer.drain()
    writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    print("READY", json.dumps({"port": server.sockets[0].getsockname()[1]}), flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)


asyncio.run(main())
