"""proto/embed.py NAME OUT IN...: writes the FileDescriptorSets of all IN as one, each file once, as a
C array NAME and its length NAME_len."""

import sys
from pathlib import Path


def files(data):
    """The FileDescriptorProtos of a set, each with its tag and length."""
    at = 0
    while at < len(data):
        start, at = at, at + 1
        length, shift = 0, 0
        while True:
            length |= (data[at] & 0x7F) << shift
            shift, at = shift + 7, at + 1
            if data[at - 1] < 0x80:
                break
        at += length
        yield data[start:at]


name, out = sys.argv[1:3]
data = b"".join(dict.fromkeys(file for path in sys.argv[3:] for file in files(Path(path).read_bytes())))
rows = "\n".join("    " + " ".join(f"{b}," for b in data[i : i + 24]) for i in range(0, len(data), 24))
Path(out).write_text(
    f"#include <stddef.h>\n#include <stdint.h>\n\nextern const uint8_t {name}[];\nextern const size_t {name}_len;\n"
    f"const uint8_t {name}[] = {{\n{rows}\n}};\nconst size_t {name}_len = {len(data)};\n"
)
