"""S3 on a real server, versitygw: the acceptance suite of buckets in every way of talking to it, and a
store gateway over it."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from cluster import binary, free_port, wait_until

ACCEPTANCE = Path(binary("titan")).parent / "test/titan-bucket-acceptance"
LONG = bool(os.environ.get("TITAN_LONG"))
MANY, LARGE = (5000, 200 << 20) if LONG else (1200, 34 << 20)
KEY, SECRET = "titan-access-key", "titan-secret-key"


class S3:
    def __init__(self, cluster, name):
        self.folder, self.port = cluster.folder / f"s3-{name}", free_port()
        self.folder.mkdir()
        self.process = cluster.processes.start(f"s3-{name}", [binary("versitygw"), "--port", f"127.0.0.1:{self.port}", "posix", str(self.folder)],
                                               env={"ROOT_ACCESS_KEY": KEY, "ROOT_SECRET_KEY": SECRET})
        wait_until("the S3 server answers", 20, lambda: b"VersityGW" in self.process.log().encode())

    def bucket(self, name, **more):
        (self.folder / name).mkdir(exist_ok=True)
        prefix = {"prefix": more.pop("prefix")} if "prefix" in more else {}
        return json.dumps({"type": "S3", "config": {"bucket": name, "endpoint": f"127.0.0.1:{self.port}", "access_key": KEY, "secret_key": SECRET,
                                                    "insecure": True, **more}, **prefix})


@pytest.fixture(scope="module")
def s3(module_cluster):
    return S3(module_cluster, "server")


def accept(config, many=MANY, large=LARGE, env=None):
    done = subprocess.run([ACCEPTANCE, config, str(many), str(large)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=600,
                          env={**os.environ, **(env or {})})
    assert done.returncode == 0 and "PASSED  ] 1" in done.stdout, done.stdout
    assert SECRET not in done.stdout


def test_bucket_passes_the_acceptance_suite(s3):
    accept(s3.bucket("plain"))


@pytest.mark.parametrize("name, more", [
    ("listv1", {"list_objects_version": "v1"}), ("onepart", {"disable_multipart": True}), ("smallparts", {"part_size": 5 << 20}),
    ("nodigests", {"send_content_md5": False}), ("region", {"region": "us-east-1"}), ("prefixed", {"prefix": "some/where"}),
    ("metadata", {"put_user_metadata": {"X-Scope": "a b"}}), ("path", {"bucket_lookup_type": "path"}),
])
def test_bucket_passes_it_in_other_ways(s3, name, more):
    accept(s3.bucket(name, **more), many=30, large=12 << 20)


def test_credentials_of_the_surroundings(s3, tmp_path):
    config = json.loads(s3.bucket("surroundings"))
    del config["config"]["access_key"], config["config"]["secret_key"]
    accept(json.dumps(config), 3, 1000, {"AWS_ACCESS_KEY_ID": KEY, "AWS_SECRET_ACCESS_KEY": SECRET})
    file = tmp_path / "credentials"
    file.write_text(f"[default]\naws_access_key_id = x\naws_secret_access_key = y\n[titan]\naws_access_key_id = {KEY}\naws_secret_access_key = {SECRET}\n")
    accept(json.dumps(config), 3, 1000, {"AWS_SHARED_CREDENTIALS_FILE": str(file), "AWS_PROFILE": "titan"})


def test_wrong_key_is_refused_and_no_secret_is_told(s3):
    config = json.loads(s3.bucket("refused"))
    config["config"]["secret_key"] = "wrong-secret-key"
    done = subprocess.run([ACCEPTANCE, json.dumps(config), "1", "1"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    assert done.returncode != 0 and "SignatureDoesNotMatch" in done.stdout, done.stdout
    assert "wrong-secret-key" not in done.stdout and SECRET not in done.stdout
