"""An HTTP/2 client that says what it is told, right or wrong: frames by hand, windows by hand."""

import socket
import struct
import time

import hpack

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS = 1, 1, 4


def frame(kind, flags, stream, payload=b"", length=None):
    size = len(payload) if length is None else length
    return struct.pack(">I", size)[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def header_block(pairs):
    """Literals without indexing, plain."""
    out = b""
    for name, value in pairs:
        out += b"\0"
        for text in (name, value):
            data = text.encode() if isinstance(text, str) else text
            out += hpack_length(len(data)) + data
    return out


def hpack_length(size):
    if size < 127:
        return bytes([size])
    out, size = bytearray([127]), size - 127
    while size >= 128:
        out.append(size % 128 + 128)
        size //= 128
    out.append(size)
    return bytes(out)


class Http2:
    """One connection. Windows stay as the settings say until grant() is called."""

    def __init__(self, address, window=65535, preface=True, timeout=10):
        host, port = address.rsplit(":", 1)
        self.socket = socket.create_connection((host, int(port)), timeout=timeout)
        self.buffer = b""
        self.decoder = hpack.Decoder()
        self.next_stream = 1
        if preface:
            self.send(PREFACE + frame(SETTINGS, 0, 0, struct.pack(">HI", 4, window)))

    def send(self, data):
        self.socket.sendall(data)

    def close(self):
        self.socket.close()

    def grant(self, stream, size):
        self.send(frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", size)))

    def read_frame(self, timeout=10):
        """(kind, flags, stream, payload), or None when the peer has closed. The payload of HEADERS is the
        decoded list of pairs."""
        self.socket.settimeout(timeout)
        while len(self.buffer) < 9 or len(self.buffer) < 9 + int.from_bytes(self.buffer[:3], "big"):
            try:
                more = self.socket.recv(65536)
            except ConnectionError:
                return None
            if not more:
                return None
            self.buffer += more
        size = int.from_bytes(self.buffer[:3], "big")
        kind, flags, stream = struct.unpack(">BBI", self.buffer[3:9])
        payload, self.buffer = self.buffer[9:9 + size], self.buffer[9 + size:]
        if kind == SETTINGS and not flags & ACK:
            self.send(frame(SETTINGS, ACK, 0))
        if kind == PING and not flags & ACK:
            self.send(frame(PING, ACK, 0, payload))
        if kind == HEADERS:
            payload = self.decoder.decode(payload)
        return kind, flags, stream & 0x7FFFFFFF, payload

    def request(self, path, headers=(), end=False, authority="test"):
        """Opens a stream with the headers of a gRPC call; gives its number."""
        stream, self.next_stream = self.next_stream, self.next_stream + 2
        pairs = [(":method", "POST"), (":scheme", "http"), (":path", path), (":authority", authority),
                 ("content-type", "application/grpc"), ("te", "trailers"), *headers]
        self.send(frame(HEADERS, END_HEADERS | (END_STREAM if end else 0), stream, header_block(pairs)))
        return stream

    def data(self, stream, payload, end=True):
        for at in range(0, max(1, len(payload)), 16384):
            last = end and at + 16384 >= len(payload)
            self.send(frame(DATA, END_STREAM if last else 0, stream, payload[at:at + 16384]))


class Answer:
    def __init__(self):
        self.headers, self.data, self.reset, self.goaway, self.closed = {}, bytearray(), None, None, False

    @property
    def grpc_status(self):
        """The code; None when the call got no status."""
        return int(self.headers["grpc-status"]) if "grpc-status" in self.headers else None

    @property
    def messages(self):
        out, at = [], 0
        while at + 5 <= len(self.data):
            size = int.from_bytes(self.data[at + 1:at + 5], "big")
            out.append(bytes(self.data[at + 5:at + 5 + size]))
            at += 5 + size
        return out

    def __repr__(self):
        return f"<{self.headers} {len(self.data)} bytes, reset {self.reset}, goaway {self.goaway}, closed {self.closed}>"


def finish(connection, stream, timeout=15, grant=True):
    """Reads to the end of a stream: its trailers, a reset, a GOAWAY that closes, or the close."""
    answer, end = Answer(), time.monotonic() + timeout
    while time.monotonic() < end:
        got = connection.read_frame(max(0.01, end - time.monotonic()))
        if got is None:
            answer.closed = True
            return answer
        kind, flags, number, payload = got
        if kind == GOAWAY:
            answer.goaway = struct.unpack(">I", payload[4:8])[0]
        elif kind == HEADERS:
            if number == stream:
                answer.headers.update((str(name), str(value)) for name, value in payload)
                if flags & END_STREAM:
                    return answer
        elif kind == DATA and number == stream:
            answer.data += payload
            if grant and payload:
                connection.grant(0, len(payload))
                connection.grant(stream, len(payload))
            if flags & END_STREAM:
                return answer
        elif kind == RST_STREAM and number == stream:
            answer.reset = struct.unpack(">I", payload)[0]
            return answer
    raise TimeoutError(f"stream {stream} did not end: {answer}")


def call(address, path, payload, headers=(), timeout=15):
    """One unary or server-streaming call from start to end; payload is framed already."""
    connection = Http2(address, timeout=timeout)
    try:
        stream = connection.request(path, headers)
        connection.data(stream, payload)
        return finish(connection, stream, timeout)
    finally:
        connection.close()
