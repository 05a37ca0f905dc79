"""What the parser refuses, and in which words, beside the real Prometheus 3.16: mutations of the corpus from a seed."""

import os
from pathlib import Path

import pytest

from cluster import binary
from parse_errors import compare

CORPUS = Path(__file__).resolve().parent.parent / "fuzz/corpus/promql"
COUNT = 30000 if os.environ.get("TITAN_LONG") else 2500


@pytest.mark.parametrize("all_features", [False, True], ids=["no_features", "all_features"])
def test_queries_are_refused_in_the_words_of_prometheus(all_features):
    parser = Path(binary("titan")).parent / "test/titan-promql-parse"
    if not parser.exists():
        pytest.skip(f"{parser} is not built")
    queries, refused, differences = compare(binary("prometheus"), parser, CORPUS, COUNT, 11, all_features)
    assert queries > COUNT and refused > COUNT / 2
    assert not differences, "\n".join(differences[:20])
