"""A commit in a checkout of its own, and a process of it that measures when it is asked."""

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, Self

ROOT = Path(__file__).parents[2]
PROGRAM = Path(__file__).with_name("revision_process.py")
ATTEMPTS, WAIT_SECONDS = 4, 5.0  # to end a process
SOMEBODY = ("-c", "user.name=benchmarks", "-c", "user.email=benchmarks@localhost")


def git(*arguments: str, **env: str) -> str:
    """Run git in this repository; return what it says, or exit with its error."""
    command = ["git", "-C", str(ROOT), *arguments]
    done = subprocess.run(
        command, env=os.environ | env, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise SystemExit(f"git {' '.join(arguments)}: {done.stderr.strip()}")
    return done.stdout.strip()


def commit_of(name: str | None) -> str:
    """Return the commit of a git revision; if None, a new one of the working tree as it is."""
    if name is not None:
        return git("rev-parse", "--verify", f"{name}^{{commit}}")
    with tempfile.TemporaryDirectory() as folder:
        index = {"GIT_INDEX_FILE": f"{folder}/index"}
        git("add", "--all", **index)
        tree = git("write-tree", **index)
    return git(*SOMEBODY, "commit-tree", tree, "-p", "HEAD", "-m", "The working tree as it is")


class Revision(NamedTuple):
    """A checkout, and the environment in which its packages and its kernels are found."""

    name: str
    root: Path
    env: dict[str, str]

    def start(self, *arguments: str, **options: Any) -> subprocess.Popen[str]:
        """Start Python there, in a session of its own: Ctrl-C is for the benchmark."""
        command = [sys.executable, *arguments]
        place: dict[str, Any] = {"cwd": self.root, "env": self.env, "start_new_session": True}
        return subprocess.Popen(command, text=True, **place, **options)


def end(process: subprocess.Popen[str]) -> None:
    """End a process that was started there, and those that it has started."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGINT)


@contextmanager
def checked_out(name: str, commit: str) -> Iterator[Revision]:
    """Check a commit out into a git worktree, until the end of a ``with`` block."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "tree"
        env = os.environ | {"PYTHONPATH": str(root), "NUMBA_CACHE_DIR": f"{folder}/kernels"}
        env.pop("PYTHONDONTWRITEBYTECODE", None)  # would compile everything at each import
        try:
            git("worktree", "add", "--quiet", "--detach", str(root), commit)
            yield Revision(name, root, env)
        finally:
            with suppress(SystemExit):  # where adding failed
                git("worktree", "remove", "--force", "--force", str(root))


class Measuring:
    """A process of a revision, until the end of a ``with`` block.

    Attributes
    ----------
    cases : list of str
        What it can measure, once it is :meth:`ready`.
    missing : dict of str to str
        What it cannot, and why.
    """

    def __init__(self, revision: Revision, groups: Sequence[str]) -> None:
        self.revision = revision
        self._errors = revision.root.parent / "stderr"
        with self._errors.open("w") as errors:
            pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": errors}
            self._process = revision.start("-P", str(PROGRAM), *groups, **pipes)

    def ready(self) -> None:
        """Wait until it can measure."""
        said = json.loads(self._answer())
        if not Path(said["from"]).is_relative_to(self.revision.root):
            raise SystemExit(f"expected the package of {self.revision.root}, got {said['from']}")
        self.cases: list[str] = said["cases"]
        self.missing: dict[str, str] = said["missing"]

    def seconds(self, case: str) -> float:
        """Measure a block of a case; return the seconds of one step."""
        assert self._process.stdin is not None
        print(case, file=self._process.stdin, flush=True)
        return float(self._answer())

    def _answer(self) -> str:
        assert self._process.stdout is not None
        if line := self._process.stdout.readline():
            return line
        raise SystemExit(f"{self.revision.name} ended:\n{self._errors.read_text()[-4000:]}")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *exception: object) -> None:
        for _ in range(ATTEMPTS):
            if kind is not None:
                end(self._process)  # again, as compilers lose what is raised in their callbacks
            with suppress(subprocess.TimeoutExpired):
                self._process.communicate(timeout=WAIT_SECONDS)  # its worker ends with its input
                return
        self._process.kill()
        self._process.communicate()
