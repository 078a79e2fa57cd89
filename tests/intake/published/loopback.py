"""An HTTP server on 127.0.0.1 that misbehaves as a test tells it to."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass
class Asked:
    path: str
    range: str | None
    if_range: str | None
    encoding: str | None


@dataclass
class Served:
    """What one path gives. `answers` are taken first, one a request; then it is an honest server's answer."""

    data: bytes
    etag: str | None = '"1"'
    modified: str | None = formatdate(0, usegmt=True)
    ranges: bool = True
    length: bool = True
    chunked: bool = False
    cut_after: int | None = None
    """Each answer ends after so many bytes of its body."""
    stall_after: int | None = None
    stall: float = 1.0
    headers: dict[str, str] = field(default_factory=dict)
    answers: list[Callable[["Handler"], None]] = field(default_factory=list)


class Handler(BaseHTTPRequestHandler):
    server: "Server"

    def log_message(self, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        with self.server.lock:
            self.server.asked.append(
                Asked(self.path, self.headers["Range"], self.headers["If-Range"], self.headers["Accept-Encoding"])
            )
        served = self.server.files.get(self.path)
        if served is None:
            self.send_error(404)
            return
        if served.answers:
            served.answers.pop(0)(self)
            return
        wanted, data = self.headers["Range"], served.data
        if_range = self.headers["If-Range"]
        same = if_range is None or if_range in (served.etag, served.modified)
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted and served.ranges and same else 0
        if wanted and served.ranges and same and start >= len(data):
            self.begin(416, {"Content-Range": f"bytes */{len(data)}", "Content-Length": "0"}, served)
            return
        headers = {}
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
        if served.chunked:
            self.protocol_version = "HTTP/1.1"
            headers["Transfer-Encoding"] = "chunked"
        elif served.length:
            headers["Content-Length"] = str(len(data) - start)
        self.begin(206 if start else 200, headers, served)
        self.body(data[start:], served)

    def begin(self, status: int, headers: dict[str, str], served: Served) -> None:
        self.send_response(status)
        if served.etag:
            self.send_header("ETag", served.etag)
        if served.modified:
            self.send_header("Last-Modified", served.modified)
        for name, value in {**headers, **served.headers, "Connection": "close"}.items():
            self.send_header(name, value)
        self.end_headers()

    def body(self, data: bytes, served: Served) -> None:
        end = len(data) if served.cut_after is None else min(served.cut_after, len(data))
        if served.chunked:
            self.wfile.write(b"%x\r\n" % len(data) + data[:end])
            if end == len(data):
                self.wfile.write(b"\r\n0\r\n\r\n")
        elif served.stall_after is not None:
            self.wfile.write(data[: served.stall_after])
            self.wfile.flush()
            time.sleep(served.stall)
        else:
            self.wfile.write(data[:end])
        self.close_connection = True


class Server(ThreadingHTTPServer):
    daemon_threads = False
    request_queue_size = 64

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, Served] = {}
        self.asked: list[Asked] = []
        self.lock = threading.Lock()

    def handle_error(self, request: object, client_address: object) -> None:
        pass  # clients of these tests hang up

    def address(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_port}{path}"

    def serve(self, path: str, data: bytes, **how: object) -> str:
        self.files[path] = Served(data, **how)
        return self.address(path)


@contextmanager
def running() -> Iterator[Server]:
    with Server() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def status(code: int, **headers: str) -> Callable[[Handler], None]:
    """An answer without a body."""

    def answer(handler: Handler) -> None:
        handler.send_response(code)
        for name, value in {"Content-Length": "0", "Connection": "close", **headers}.items():
            handler.send_header(name.replace("_", "-"), value)
        handler.end_headers()

    return answer


def partial(data: bytes, told: str) -> Callable[[Handler], None]:
    """206 with these bytes and this Content-Range."""

    def answer(handler: Handler) -> None:
        handler.send_response(206)
        handler.send_header("Content-Range", told)
        handler.send_header("Content-Length", str(len(data)))
        handler.send_header("Connection", "close")
        handler.end_headers()
        handler.wfile.write(data)

    return answer
