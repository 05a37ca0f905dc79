"""Bytes as they go over the wire: protobuf fields, XOR chunks, remote-read frames, and the few
messages of the Store API that tests send and read. Kept apart from Titan's own encoders on purpose."""

import struct

# --- Protobuf

def varint(number):
    number &= (1 << 64) - 1
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def field(number, value):
    """One field: an int as varint, bytes or text with its length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    if isinstance(value, str):
        value = value.encode()
    return varint(number << 3 | 2) + varint(len(value)) + value


def read_varint(data, at):
    result = shift = 0
    while True:
        byte = data[at]
        at += 1
        result |= (byte & 0x7F) << shift
        if byte < 0x80:
            return result, at
        shift += 7


def fields(data):
    """[(number, int or bytes)] of a message."""
    at, out = 0, []
    while at < len(data):
        key, at = read_varint(data, at)
        if key & 7 == 0:
            value, at = read_varint(data, at)
        elif key & 7 == 2:
            size, at = read_varint(data, at)
            value, at = data[at:at + size], at + size
        else:
            size = 8 if key & 7 == 1 else 4
            value, at = data[at:at + size], at + size
        out.append((key >> 3, value))
    return out


def labels_message(labels, number=1):
    """Repeated Label {name = 1; value = 2} as field `number`."""
    return b"".join(field(number, field(1, name) + field(2, value)) for name, value in labels)


# --- XOR chunks

class Bits:
    def __init__(self):
        self.bits = []

    def add(self, value, count):
        self.bits.append(format(value & ((1 << count) - 1), f"0{count}b") if count else "")

    def bytes(self):
        text = "".join(self.bits)
        text += "0" * (-len(text) % 8)
        return int(text, 2).to_bytes(len(text) // 8, "big") if text else b""


def zigzag(number):
    return number << 1 if number >= 0 else (-number << 1) - 1


def xor_chunk(samples):
    """[(time in ms, value)] as Prometheus's XOR chunk."""
    bits = Bits()
    leading, trailing, delta = 255, 0, 0
    for index, (t, v) in enumerate(samples):
        raw = struct.unpack(">Q", struct.pack(">d", v))[0]
        if index == 0:
            for byte in varint(zigzag(t)):
                bits.add(byte, 8)
            bits.add(raw, 64)
        else:
            step = t - samples[index - 1][0]
            if index == 1:
                for byte in varint(step):
                    bits.add(byte, 8)
            else:
                change = step - delta
                if change == 0:
                    bits.add(0, 1)
                elif -8191 <= change <= 8192:
                    bits.add(0b10, 2), bits.add(change, 14)
                elif -65535 <= change <= 65536:
                    bits.add(0b110, 3), bits.add(change, 17)
                elif -524287 <= change <= 524288:
                    bits.add(0b1110, 4), bits.add(change, 20)
                else:
                    bits.add(0b1111, 4), bits.add(change, 64)
            delta = step
            difference = raw ^ before
            if difference == 0:
                bits.add(0, 1)
            else:
                lead = min(31, 64 - difference.bit_length())
                trail = (difference & -difference).bit_length() - 1
                if leading != 255 and lead >= leading and trail >= trailing:
                    bits.add(0b10, 2), bits.add(difference >> trailing, 64 - leading - trailing)
                else:
                    leading, trailing = lead, trail
                    size = 64 - lead - trail
                    bits.add(0b11, 2), bits.add(lead, 5), bits.add(size & 63, 6), bits.add(difference >> trail, size)
        before = raw
    return struct.pack(">H", len(samples)) + bits.bytes()


# --- Remote read, streamed

def _crc_table():
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = byte >> 1 ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


CRC_TABLE = _crc_table()


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc = CRC_TABLE[(crc ^ byte) & 255] ^ crc >> 8
    return crc ^ 0xFFFFFFFF


def read_frame(data, crc=None):
    return varint(len(data)) + struct.pack(">I", crc32c(data) if crc is None else crc) + data


def chunk_message(samples, encoding=1, data=None, times=None):
    low, high = times or (samples[0][0], samples[-1][0])
    return field(1, low) + field(2, high) + field(3, encoding) + field(4, xor_chunk(samples) if data is None else data)


def read_response(labels, chunks):
    """ChunkedReadResponse with one series of encoded chunk messages."""
    return field(1, labels_message(labels) + b"".join(field(2, chunk) for chunk in chunks))


# --- Store API

def matcher(name, value, kind=0):
    return field(1, kind) + field(2, name) + field(3, value)


def series_request(min_time, max_time, *matchers, more=b""):
    return field(1, min_time) + field(2, max_time) + b"".join(field(3, m) for m in matchers) + more


def grpc_message(payload, compressed=0, size=None):
    return struct.pack(">BI", compressed, len(payload) if size is None else size) + payload
