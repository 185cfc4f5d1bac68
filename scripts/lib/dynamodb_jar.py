"""Write the jar that starts DynamoDB Local as the official image does: `java -jar DynamoDBLocal.jar`."""

import sys
import zipfile
from pathlib import Path

MAIN = "software.amazon.dynamodb.services.local.main.ServerRunner"


def manifest(libraries: list[str]) -> str:
    """Return a manifest whose class path is DynamoDBLocal_lib; its lines may have 72 bytes (JAR specification)."""
    lines = ["Manifest-Version: 1.0", f"Main-Class: {MAIN}"]
    path = "Class-Path: " + " ".join(f"DynamoDBLocal_lib/{name}" for name in libraries)
    lines.append(path[:70])
    lines.extend(" " + path[start : start + 69] for start in range(70, len(path), 69))
    return "".join(line + "\r\n" for line in lines)


def main() -> None:
    folder = Path(sys.argv[1])
    names = sorted(path.name for path in folder.glob("*.jar") if path.name != "DynamoDBLocal-run.jar")
    with zipfile.ZipFile(folder / "DynamoDBLocal-run.jar", "w") as jar:
        jar.writestr("META-INF/MANIFEST.MF", manifest(names))


if __name__ == "__main__":
    main()
