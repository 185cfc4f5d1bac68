"""The jar that starts DynamoDB Local in the image that we build ourselves."""

import subprocess
import sys
import zipfile
from pathlib import Path

SCRIPT = Path(__file__).resolve().parents[2] / "scripts/lib/dynamodb_jar.py"


def test_the_manifest_names_every_jar_once_in_lines_of_at_most_72_bytes(tmp_path: Path) -> None:
    names = [f"library-with-a-long-name-{number}.jar" for number in range(40)]
    for name in [*names, "libnative.so"]:
        (tmp_path / name).touch()

    for _ in range(2):  # the second run finds the jar of the first, and does not list it
        subprocess.run([sys.executable, SCRIPT, tmp_path], check=True, timeout=50)

    raw = zipfile.ZipFile(tmp_path / "DynamoDBLocal-run.jar").read("META-INF/MANIFEST.MF")
    assert all(len(line) <= 72 for line in raw.split(b"\r\n"))
    headers = dict(line.split(": ", 1) for line in raw.decode().replace("\r\n ", "").splitlines())
    assert headers["Class-Path"].split() == sorted(f"DynamoDBLocal_lib/{name}" for name in names)
    assert headers["Main-Class"] == "software.amazon.dynamodb.services.local.main.ServerRunner"
