"""proto/embed.py IN OUT NAME: writes the bytes of IN as a C array NAME and its length NAME_len."""

import sys
from pathlib import Path

data = Path(sys.argv[1]).read_bytes()
name = sys.argv[3]
rows = "\n".join("    " + " ".join(f"{b}," for b in data[i : i + 24]) for i in range(0, len(data), 24))
Path(sys.argv[2]).write_text(
    f"#include <stddef.h>\n#include <stdint.h>\n\nextern const uint8_t {name}[];\nextern const size_t {name}_len;\n"
    f"const uint8_t {name}[] = {{\n{rows}\n}};\nconst size_t {name}_len = {len(data)};\n"
)
