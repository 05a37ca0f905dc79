#!/usr/bin/env python3
"""Compares what the parser refuses, and in which words, with a real Prometheus (held against 3.16).

    parse_errors.py --prometheus build/peers/prometheus --titan build/debug/test/titan-promql-parse
                    [--corpus test/fuzz/corpus/promql] [--count 5000] [--seed 1] [--all-features]
    parse_errors.py --prometheus build/peers/prometheus --capture test/golden/parse/errors.txt

Queries are those of the corpus (a file each) and random mutations of them: tokens taken out,
doubled, swapped, taken over from another query. Each goes to /api/v1/query of a Prometheus without
data and to the parser; both must accept it or give the same text."""
import argparse, concurrent.futures, http.client, json, pathlib, random, re, socket, subprocess, sys, tempfile, time, urllib.parse

FEATURES = "promql-experimental-functions,promql-binop-fill-modifiers,promql-unquoted-utf8-names"
TOKEN = re.compile(rb'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\'|`[^`]*`|[A-Za-z_:][A-Za-z0-9_:]*|[0-9][0-9a-zA-Z_.]*|[ \t\r\n]+|==|!=|=~|!~|<=|>=|</|>/|.', re.S)
EXTRA = [b"(", b")", b"{", b"}", b"[", b"]", b",", b"=", b"==", b"=~", b"+", b"-", b"^", b"@", b":", b"offset", b"by", b"without", b"on",
         b"ignoring", b"group_left", b"bool", b"sum", b"rate", b"5m", b"1", b'"a"', b"foo", b"start", b"end", b"step", b"range", b"max_of",
         b"fill", b"fill_left", b"anchored", b"smoothed", b"and", b"or", b"unless", b"atan2", b"#", b"inf", b"0x1f", b"1_0", b"$", b"\xc3\xa9",
         b"sum(", b"foo[5m]", b"[5m:]", b"step()", b"topk", b"label_replace(", b"a:b", b"'x", b"\n", b" ", "où".encode(), b"a.b", b".", "foo.ö{".encode(),
         "Ω.x".encode(), b"info(", b"{{", b"}}", b"0x", b"1e", b"1d", b"9223372036854775807", b"-1m", b"timestamp("]


def mutate(rng, corpus):
    tokens = TOKEN.findall(rng.choice(corpus))
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3, 5))):
        at = rng.randrange(len(tokens) + 1)
        kind = rng.randrange(6)
        if kind == 0 and tokens:
            del tokens[at % len(tokens)]
        elif kind == 1:
            tokens.insert(at, rng.choice(EXTRA))
        elif kind == 2 and tokens:
            tokens.insert(at, rng.choice(tokens))
        elif kind == 3 and tokens:
            tokens[at % len(tokens)] = rng.choice(EXTRA)
        elif kind == 4:
            other = TOKEN.findall(rng.choice(corpus))
            start = rng.randrange(len(other) + 1)
            tokens[at:at] = other[start:start + rng.randrange(1, 6)]
        elif tokens:
            other = at % len(tokens)
            at = rng.randrange(len(tokens))
            tokens[at], tokens[other] = tokens[other], tokens[at]
    return b"".join(tokens).replace(b"\0", b"")


class Prometheus:
    def __init__(self, binary, all_features):
        self.dir = tempfile.TemporaryDirectory()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        config = pathlib.Path(self.dir.name) / "c.yml"
        config.write_text("global: {scrape_interval: 1h}\n")
        command = [binary, f"--config.file={config}", f"--storage.tsdb.path={self.dir.name}/data",
                   f"--web.listen-address=127.0.0.1:{self.port}"]
        if all_features:
            command.append("--enable-feature=" + FEATURES)
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(300):
            try:
                if self.get("/-/ready")[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.1)
        raise SystemExit("prometheus did not start")

    def get(self, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("POST" if body else "GET", path, body, {"Content-Type": "application/x-www-form-urlencoded"} if body else {})
        response = connection.getresponse()
        return response.status, response.read()

    def answer(self, query):
        _, body = self.get("/api/v1/query", urllib.parse.urlencode({"query": query}))
        answer = json.loads(body)
        if answer["status"] == "success" or ": parse error: " not in answer["error"]:
            return "="  # durations that cannot be are found later, by the plan
        return "!" + answer["error"].removeprefix('invalid parameter "query": ')

    def close(self):
        self.process.terminate()
        self.process.wait()
        self.dir.cleanup()


def titan(binary, queries, all_features):
    output = subprocess.run([binary] + (["--all-features"] if all_features else []), input=b"\0".join(queries) + b"\0",
                            stdout=subprocess.PIPE, check=True).stdout
    return [answer.decode("utf-8", "replace") for answer in output.split(b"\0")[:-1]]


def capture(path, prometheus):
    """Writes under each query of a golden file what Prometheus says of it."""
    lines = path.read_text().split("\n")
    out = []
    for line in lines:
        if line.startswith("#"):
            out.append(line)
        elif line.startswith("> "):
            answer = prometheus.answer(line[2:].encode())
            out += [line, "fine" if answer == "=" else answer[1:]]
    path.write_text("\n".join(out) + "\n")


def compare(prometheus, parser, corpus, count, seed, all_features):
    """How many queries there were, how many Prometheus refuses, and a text for each that is answered differently."""
    rng = random.Random(seed)
    corpus = [path.read_bytes() for path in sorted(pathlib.Path(corpus).iterdir())]
    corpus = [query for query in corpus if query and b"\0" not in query and len(query) < 4000]
    queries = corpus + [query for query in (mutate(rng, corpus) for _ in range(count)) if query]
    got = titan(parser, queries, all_features)
    server = Prometheus(prometheus, all_features)
    try:
        with concurrent.futures.ThreadPoolExecutor(4) as pool:
            want = list(pool.map(server.answer, queries))
    finally:
        server.close()
    differences = []
    for query, ours, theirs in zip(queries, got, want):
        ours = "=" if ours.startswith("=") else ours
        if ours == theirs or ("error parsing regexp" in ours and "error parsing regexp" in theirs):
            continue
        differences.append(f"{query!r}\n  prometheus {theirs}\n  titan      {ours}")
    return len(queries), sum(1 for text in want if text != "="), differences


def main():
    args = argparse.ArgumentParser()
    args.add_argument("--prometheus", required=True)
    args.add_argument("--titan", help="needed without --capture")
    args.add_argument("--capture", type=pathlib.Path, help="renew this golden file and do no more")
    args.add_argument("--corpus", default="test/fuzz/corpus/promql")
    args.add_argument("--count", type=int, default=5000)
    args.add_argument("--seed", type=int, default=1)
    args.add_argument("--all-features", action="store_true")
    args.add_argument("--show", type=int, default=20)
    args = args.parse_args()
    if args.capture:
        prometheus = Prometheus(args.prometheus, args.all_features)
        try:
            capture(args.capture, prometheus)
        finally:
            prometheus.close()
        return 0
    queries, refused, differences = compare(args.prometheus, args.titan, args.corpus, args.count, args.seed, args.all_features)
    print("\n".join(differences[:args.show]))
    print(f"{queries} queries, {refused} refused by prometheus, {len(differences)} answered differently")
    return 1 if differences else 0


if __name__ == "__main__":
    sys.exit(main())
