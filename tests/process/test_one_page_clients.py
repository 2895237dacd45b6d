"""The clients in Go and C# of docs/clients.md: compiled, and run at a real worker."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from streamlstm import Engine
from streamlstm.errors import RemoteError

from .conftest import WorkerProcess

PAGE = Path(__file__).resolve().parents[2] / "docs" / "clients.md"
GO_MODULES = ("github.com/go-zeromq/zmq4@v0.17.0", "github.com/vmihailenco/msgpack/v5@v5.4.1")
PROJECT = """<Project Sdk="Microsoft.NET.Sdk">
  <PropertyGroup>
    <OutputType>Exe</OutputType>
    <TargetFramework>net8.0</TargetFramework>
    <RollForward>Major</RollForward>
  </PropertyGroup>
  <ItemGroup>
    <PackageReference Include="NetMQ" Version="4.*" />
    <PackageReference Include="MessagePack" Version="2.*" />
  </ItemGroup>
</Project>
"""


def program(language: str) -> str:
    """Return the program of the page in a language."""
    found = re.search(rf"^```{language}\n(.*?)^```$", PAGE.read_text(), re.M | re.S)
    assert found is not None
    return found[1]


def run(folder: Path, *command: str, timeout: float = 240) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"GOFLAGS": "-mod=mod", "GOPROXY": "off", "GONOSUMDB": "*"},
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )


def router(request: pytest.FixtureRequest) -> str:
    """Return the ROUTER of a worker, where the streams of the programs are new."""
    worker: WorkerProcess = request.getfixturevalue("worker")
    with worker.client() as client:
        for stream in ("pump-7", 2**64 - 1):
            with suppress(RemoteError):
                client.forget(stream)
    return worker.endpoints["router"]


def compare(shown: subprocess.CompletedProcess[str], engine: Engine) -> None:
    """Compare what a program has shown with the predictions of an engine."""
    assert shown.returncode == 0, shown.stdout + shown.stderr
    for stream in ("pump-7", str(2**64 - 1)):
        lines = [line for line in shown.stdout.splitlines() if line.startswith(f"{stream} ")]
        assert len(lines) == 3, shown.stdout + shown.stderr
        for seq, line in enumerate(lines, start=1):
            found = [float(each) for each in re.findall(r"-?\d+\.\d+(?:e-?\d+)?", line)]
            y = engine.step(stream, np.float32([20 + seq, 0.5]), seq=seq)
            np.testing.assert_allclose(found, y, rtol=1e-6)


def test_in_go(request: pytest.FixtureRequest, engine: Engine, tmp_path: Path) -> None:
    go = shutil.which("go")
    if go is None:
        pytest.skip("needs go 1.19 or newer on the PATH")
    (tmp_path / "main.go").write_text(program("go"))
    formatted = run(tmp_path, "gofmt", "-l", ".")
    assert (formatted.returncode, formatted.stdout) == (0, ""), formatted.stderr
    run(tmp_path, go, "mod", "init", "example.com/client")
    for module in GO_MODULES:
        if run(tmp_path, go, "get", module).returncode != 0:
            pytest.skip(f"needs the module in the cache: go mod download {module}")
    vetted = run(tmp_path, go, "vet", ".")
    assert vetted.returncode == 0, vetted.stderr
    compare(run(tmp_path, go, "run", ".", router(request)), engine)


def test_in_c_sharp(request: pytest.FixtureRequest, engine: Engine, tmp_path: Path) -> None:
    dotnet = shutil.which("dotnet")
    if dotnet is None:
        pytest.skip("needs dotnet, the SDK of .NET 8 or newer, on the PATH")
    (tmp_path / "Program.cs").write_text(program("csharp"))
    (tmp_path / "client.csproj").write_text(PROJECT)
    restored = run(tmp_path, dotnet, "restore")
    if restored.returncode != 0:
        pytest.skip("needs the packages NetMQ and MessagePack, which dotnet restore fetches")
    compare(run(tmp_path, dotnet, "run", router(request)), engine)
