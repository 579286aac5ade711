"""Runs kubectl and helm as a user would, and shows the commands that change something."""

import json
import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from trimtab.demo.narrate import Narrator

_Value = TypeVar("_Value")
Object = dict[str, Any]


class DemoError(Exception):
    """A step did not come out as it should; the message says what was waited for and what was there."""


@dataclass(frozen=True)
class Shell:
    """kubectl and helm against one cluster, from the root of the checkout."""

    kubectl_path: Path
    helm_path: Path
    kubeconfig: Path
    root: Path
    narrator: Narrator

    def _run(self, command: list[str], text: str | None = None) -> str:
        try:
            done = subprocess.run(command, input=text, capture_output=True, text=True, cwd=self.root, timeout=300)
        except subprocess.TimeoutExpired as error:
            raise DemoError(f"{' '.join(command)}: no answer in 300 s") from error
        if done.returncode != 0:
            raise DemoError(f"{' '.join(command)}\n{done.stderr.strip()}")
        return done.stdout

    def query(self, *arguments: str) -> str:
        """A kubectl command that only looks; it is not shown."""
        return self._run([str(self.kubectl_path), "--kubeconfig", str(self.kubeconfig), *arguments])

    def apply(self, manifest: str) -> str:
        """Apply a manifest from a text."""
        return self._run([str(self.kubectl_path), "--kubeconfig", str(self.kubeconfig), "apply", "-f", "-"], manifest)

    def kubectl(self, *arguments: str) -> str:
        """A kubectl command of the story: shown, with what it prints."""
        self.narrator.command("kubectl", *arguments)
        output = self.query(*arguments)
        self.narrator.output(output)
        return output

    def helm(self, *arguments: str) -> str:
        """A helm command of the story."""
        self.narrator.command("helm", *arguments)
        output = self._run([str(self.helm_path), "--kubeconfig", str(self.kubeconfig), *arguments])
        self.narrator.output(next(iter(output.splitlines()), ""))
        return output

    def get(self, kind: str, name: str, namespace: str = "demo") -> Object:
        """One object, as it is now; empty when there is none."""
        text = self.query("get", kind, name, "-n", namespace, "-o", "json", "--ignore-not-found")
        return json.loads(text) if text.strip() else {}

    def items(self, kind: str, selector: str = "", namespace: str = "demo") -> list[Object]:
        """All objects of a kind that match."""
        found: list[Object] = json.loads(self.query("get", kind, "-n", namespace, "-l", selector, "-o", "json"))[
            "items"
        ]
        return found

    def until(
        self,
        what: str,
        condition: Callable[[], _Value | None],
        timeout_seconds: float,
        state: Callable[[], str] = lambda: "",
    ) -> _Value:
        """Wait for a condition, showing each change of `state`.

        Args:
            what: What is waited for, for messages.
            condition: Gives something when it holds, None (or something empty) while not.
            timeout_seconds: When to give up.
            state: One line on how far it is.

        Raises:
            DemoError: when it does not hold in time.
        """
        deadline, shown = time.monotonic() + timeout_seconds, ""
        while time.monotonic() < deadline:
            value = condition()
            line = state()
            if line and line != shown:
                self.narrator.state(line)
                shown = line
            if value:
                return value
            time.sleep(1.0)  # The pace of looking; what is waited for is the condition.
        raise DemoError(f"{what} did not come about in {timeout_seconds:.0f} s; last seen: {shown or 'nothing'}")
